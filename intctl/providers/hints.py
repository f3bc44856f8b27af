"""What a config tells about a refusal: the secret fields in use, and a value that looks mangled. Never a value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from intctl.health.codes import CODES
from intctl.text import Secret

if TYPE_CHECKING:
    from intctl.health.outcome import Outcome
    from intctl.providers.base import Provider

# Forms of a value that is no credential, or not only one.
_LOOKS = (
    (re.compile(r"\$\{?\w+\}?|\$\([^)]*\)|\{\{.*\}\}|%\w+%|@\{.*\}"), "an unresolved variable"),
    (re.compile(r"(op|vault|secret|secrets|env|file|ref|arn|awssm|keyvault)(\+\w+)?:.*"), "an unresolved reference"),
    (re.compile(r"[*•●x.]{4,}(\w{4})?", re.IGNORECASE), "a mask"),
    (re.compile(r"<.*>|change.?me|replace.?me|todo|(your|my)[-_ ].*|.*[-_]here", re.IGNORECASE), "a placeholder"),
    (re.compile(r"([\"'`]).*\1"), "a value with quotes around it"),
    (re.compile(r"(bearer|basic|token|apikey) .+", re.IGNORECASE), "a whole header: leave its first word out"),
    (re.compile(r"\{.*\}"), "a JSON document"),
    (re.compile(r"(~|\.{1,2})?(/[\w.-]+){2,}|[A-Za-z]:\\.*"), "the path of a file"),
    (re.compile(r".*%[0-9A-Fa-f]{2}.*"), "a percent-encoded value"),
    (re.compile(r"[A-Za-z_]\w*=.+"), "a line of an .env file: leave the name out"),
)


def with_hints(outcome: Outcome, provider: Provider, config: Mapping[str, object]) -> Outcome:
    """Return the outcome of a refusal with the secret fields in use, and a word about one that looks mangled.

    The fact `secret_fields` has the names of the fields that a person may have to renew.
    """
    if not CODES[outcome.code].rejection and outcome.code not in ("auth.method", "credential.malformed"):
        return outcome
    fields = fields_in_use(outcome.code, outcome.phase, provider, config)
    if not fields:
        return outcome
    detail = outcome.detail
    for name in fields:
        value = config[name]
        if isinstance(value, Secret) and not _has_form(provider, name) and (what := looks_like(value.reveal())):
            detail = f"{detail}; {name} looks like {what}" if detail else f"{name} looks like {what}"
    return replace(outcome, detail=detail, facts={**outcome.facts, "secret_fields": fields})


def fields_in_use(code: str, phase: str, provider: Provider, config: Mapping[str, object]) -> list[str]:
    """Return the secret fields that this config has and that the code is about, in the provider's order."""
    found = [field.name for field in provider.fields if field.secret and config.get(field.name) is not None]
    if code == "reauthorise":
        return [name for name in found if name == "refresh_token"] or found
    if "refresh_token" in found and phase == "auth" and code == "http.auth.rejected":
        return [name for name in found if name != "refresh_token"] or found  # the token endpoint refused the client
    return found


def looks_like(value: str) -> str:
    """Return what a secret looks like if it hardly is one, such as "a placeholder"; "" if it may be one."""
    if value != value.strip():
        return "a value with a blank at an end"
    if any(unicodedata.category(char) == "Cf" for char in value):
        return "a value with an invisible character"
    return next((what for form, what in _LOOKS if form.fullmatch(value)), "")


def _has_form(provider: Provider, name: str) -> bool:
    """Whether the field's value has a form of its own, such as PEM."""
    return any(field.name == name and field.kind != "text" for field in provider.fields)
