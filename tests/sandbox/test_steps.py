"""Every code, in every way of every provider, saved or not: no printed command is one that intctl would refuse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from importlib import import_module

import click
import pytest

from intctl import cli
from intctl.health.codes import CODES
from intctl.health.outcome import Outcome
from intctl.providers import catalogue
from intctl.providers.base import Provider
from intctl.providers.hints import looks_like, with_hints
from intctl.sandbox.box import Sandbox
from intctl.text import Secret
from intctl.views import alerts
from intctl.views.steps import next_step

from .test_contract import items

NAME = "Company mail; rm"
QUOTED = shlex.quote(NAME)
COMMAND = re.compile(rf"intctl \w+ {re.escape(QUOTED)}((?: --?[\w-]+ [\w=@-]+(?:\.[\w=@-]+)*)*)")


def parsed(command: str) -> dict[str, object]:
    """The values that intctl's own parser reads from a command. Raises click.UsageError if it refuses it."""
    _, name, *words = shlex.split(command)
    module, attribute, _ = cli.COMMANDS[name]
    found: click.Command = getattr(import_module(module), attribute)
    values: dict[str, object] = dict(found.make_context(name, words).params)
    return values


def complaints(text: str, config: Mapping[str, object], *, saved: bool) -> list[str]:
    """What is wrong with a step."""
    found = [f"{word} in: {text}" for word in ("NAME", "FIELD") if re.search(rf"\b{word}\b", text)]
    if not saved:
        return [
            *found,
            *([f"a name in: {text}"] if QUOTED in text or re.search(r"intctl (edit|check)\b", text) else []),
        ]
    for command in COMMAND.finditer(text):
        try:
            values = parsed(command[0].replace(" -f FILE", ""))
        except click.UsageError as error:
            found.append(f"{command[0]}: {error.message}")
            continue
        secrets = values.get("secrets", ())
        assert isinstance(secrets, tuple)
        found += [f"{command[0]}: no field {field} in use" for field in secrets if field not in config]
    return found


@pytest.mark.case("F07")
@pytest.mark.case("terminal S1")
def test_every_printed_command_is_one_that_intctl_takes(box: Sandbox) -> None:
    """In alerts, pages and findings alike; with the very fields that this way to log in uses."""
    wrong: list[str] = []
    steps = 0
    for item in items(box).values():
        for code in CODES:
            for phase in ("dns", "auth", "api"):
                outcome = with_hints(Outcome(code, phase), item.provider, item.config)
                for failing in (True, False):
                    command = alerts.command_of(code, NAME, outcome.facts, failing=failing)
                    assert COMMAND.fullmatch(command)
                    wrong += complaints(command, item.config, saved=True)
                for saved in (True, False):
                    text = next_step(code, NAME, outcome.facts, saved=saved)
                    wrong += complaints(text, item.config, saved=saved)
                    steps += 1
    assert wrong == []
    assert steps > 20_000


@pytest.mark.case("terminal S1")
def test_a_refused_refresh_token_is_the_one_to_renew(box: Sandbox) -> None:
    """In each way that has one: the same field in the step and in the command."""
    ways = {name: item for name, item in items(box).items() if "refresh_token" in item.config}
    assert len(ways) >= 9
    for item in ways.values():
        found = with_hints(Outcome("reauthorise", "auth"), item.provider, item.config)
        command = alerts.command_of("reauthorise", "X", found.facts, failing=True)
        assert command == "intctl edit X --secret refresh_token"
        assert command in next_step("reauthorise", "X", found.facts)
        client = with_hints(Outcome("http.auth.rejected", "auth"), item.provider, item.config)
        assert client.facts["secret_fields"] != ["refresh_token"]


@pytest.mark.case("F07")
def test_the_host_is_looked_up_and_not_the_integration() -> None:
    """The name of an integration is not a host."""
    for saved in (True, False):
        text = next_step("dns.failure", "H", {"host": "mail.example.com"}, saved=saved)
        assert "(getent hosts mail.example.com)" in text
    text = next_step("credential.unproven", "H", saved=False)
    assert text == "Point url at something that only the credential opens, then run the command again."
    assert "credential" not in next_step("self.clock", "H", saved=False)


@pytest.mark.case("F07")
def test_a_saved_config_is_not_saved_without_a_test() -> None:
    """--no-test is a way to save, and it is saved."""
    assert "--no-test" not in next_step("provider.busy", "H")
    assert "--no-test" in next_step("provider.busy", "H", saved=False)


LOOKS = {
    "${TOKEN}": "an unresolved variable",
    "$TOKEN": "an unresolved variable",
    "{{ token }}": "an unresolved variable",
    "op://vault/item/field": "an unresolved reference",
    "vault:secret/data/x#y": "an unresolved reference",
    "********": "a mask",
    "****abcd": "a mask",
    "<your-key>": "a placeholder",
    "changeme": "a placeholder",
    "your-api-key": "a placeholder",
    '"abc123def"': "a value with quotes around it",
    " abc123def": "a value with a blank at an end",
    "abc\u200b123": "a value with an invisible character",
    "Bearer abc123def": "a whole header: leave its first word out",
    '{"private_key": "x"}': "a JSON document",
    "/run/secrets/token": "the path of a file",
    "./secrets/token.txt": "the path of a file",
    "abc%2Fdef": "a percent-encoded value",
    "TOKEN=abc123": "a line of an .env file: leave the name out",
}


@pytest.mark.parametrize("value", LOOKS)
def test_a_mangled_secret_is_told_by_its_kind(value: str) -> None:
    """A refusal says what the secret looks like, and nothing of its value."""
    assert looks_like(value) == LOOKS[value]
    provider = catalogue.get("hubspot")
    assert isinstance(provider, Provider)
    (field,) = [field.name for field in provider.fields if field.secret]
    found = with_hints(Outcome("http.auth.rejected", "api", detail="HTTP 401"), provider, {field: Secret(value)})
    assert found.detail == f"HTTP 401; {field} looks like {LOOKS[value]}"
    assert with_hints(Outcome("server.error"), provider, {field: Secret(value)}).detail == ""


@pytest.mark.parametrize(
    "value",
    [
        "sk-live-4eC39HqLyjWDarjtT1zdp7dc", "xoxb-123-456-abc", "p4ssw0rd", "correct horse battery staple", "a/b+c==",
        "AKIAIOSFODNN7EXAMPLE", "eyJhbGciOi.eyJzdWIi.SflKxw", "re_123", "pässword", "100%", "a=b", "x", "$ecret!",
    ],
)  # fmt: skip
def test_a_likely_secret_is_not_called_mangled(value: str) -> None:
    """Passwords may have blanks, slashes and signs."""
    assert looks_like(value) == ("a line of an .env file: leave the name out" if value == "a=b" else "")
