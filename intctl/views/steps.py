"""The next step, with commands to paste."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from intctl.health.codes import CODES
from intctl.text import clean

_NO_FACTS: Mapping[str, object] = {}

_CORRECT = r"Put the right \1 in place{of}, in the file, in its source or at the prompt, and run the command again."
# What a step says of something that is saved, and what it says instead of something that is not.
_UNSAVED = (
    (re.compile(r"Put the right (\w+) in place: intctl edit NAME .*"), _CORRECT),
    (re.compile(r" \(intctl edit NAME --secret \w+\)"), ""),
    (re.compile(r",? (or )?(set the config again with|with) intctl edit NAME -f FILE"), " in the file"),
    (re.compile(r": intctl edit NAME --set [\w.=-]+"), ", in the file"),
    (re.compile(r",? then run intctl (check|reconnect) NAME"), ", then run the command again"),
    (re.compile(r"[Rr]un intctl (check|reconnect) NAME"), "Run the command again"),
    (re.compile(r"intctl check keeps .*"), "add and apply keep the new one; --spend-token loses it."),
    (re.compile(r"Nothing to do yet: the next check (tries|asks) again\."), "Try again later."),
)


def next_step(code: str, name: str, facts: Mapping[str, object] = _NO_FACTS, *, saved: bool = True) -> str:
    """The next step for a code, with the integration's name in its commands, and the fields and host of its `facts`.

    An integration that is not `saved` has no name to be edited by: its file is corrected.
    """
    if code not in CODES:
        return f"Run intctl check {quoted(name)}." if saved else "Run the command again."
    text, fields = CODES[code].next_step, fields_of(facts)
    if saved:
        # The config is saved already, so saving it without a test is no step.
        text = text.replace(" To save a config without a test, use --no-test.", "")
    else:
        for said, instead in _UNSAVED:
            text = said.sub(instead.replace("{of}", f" ({', '.join(fields)})" if fields else ""), text)
    text = text.replace("getent hosts HOST", f"getent hosts {_host(facts)}")
    text = text.replace(" --secret FIELD", _options(fields))
    return text.replace("NAME", quoted(name))


def edit_command(name: str, fields: Sequence[str]) -> str:
    """The command that asks for these secrets of an integration."""
    return f"intctl edit {quoted(name)}{_options(fields)}"


def fields_of(facts: Mapping[str, object]) -> list[str]:
    """The secret fields that a check found in use (`providers.hints`); another program may have written the fact."""
    found = facts.get("secret_fields")
    names = found if isinstance(found, list) else []
    return [name for name in names if isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name)]


def quoted(name: str) -> str:
    """Quote `name` for a shell."""
    return shlex.quote(clean(name))


def _options(fields: Sequence[str]) -> str:
    return "".join(f" --secret {field}" for field in fields)


def _host(facts: Mapping[str, object]) -> str:
    host = facts.get("host")
    return shlex.quote(clean(host)) if isinstance(host, str) and host else "HOST"
