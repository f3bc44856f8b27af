"""A secret that was put where it does not belong is in no message, for every secret field there is."""

import json
from collections.abc import Callable

import pytest

from intctl import manifest
from intctl.errors import ManifestError
from intctl.providers import catalogue
from tests.manifest.test_examples import CANARY, FOLDER, environment

FIELDS = [
    (name, secret)
    for name in catalogue.names()
    for secret in sorted(getattr(catalogue.get(name), "secrets"))  # noqa: B009 - get() may be None to mypy
]
MISTAKES = {
    "literal": CANARY,
    "with a line break": f"{CANARY}\r\nBcc: x",
    "with a NUL": f"{CANARY}\0",
    "invisible": f"{CANARY}\u200b",
    "in a list": [CANARY],
    "in a mapping": {"value": CANARY},
    "as a key": {CANARY: "x"},
    "beside a reference": {"env": "SET", "value": CANARY},
    "in place of a variable's name": {"env": f"{CANARY} {CANARY}"},
    "nested": {"env": {"file": CANARY}},
    "far too long": CANARY * 2000,
}


def every_text(name: str, secret: str, value: object) -> str:
    """All that loading, editing and --set say about a config with `value` in the secret's place."""
    text = (FOLDER / f"{name}.yaml").read_text()
    environ = {**environment(text), "SET": "x"}
    (item,) = manifest.load(text.encode(), file="m.yaml", sources=manifest.ValueSources(environ)).items
    config = {key: {"env": "SET"} if key in item.provider.secrets else one for key, one in item.config.items()}
    document = json.dumps({"name": "A", "provider": name, "config": {**config, secret: value}}).encode()
    said = []
    inline = manifest.ValueSources(environ, allow_inline_secrets=True)
    attempts: tuple[Callable[[], manifest.Loaded], ...] = (
        lambda: manifest.load(document, file="m.yaml", sources=manifest.ValueSources(environ)),
        lambda: manifest.load(document, file="m.yaml", sources=inline),
        lambda: manifest.revise(
            manifest.StoredConfig(item.provider, item.config),
            environ=environ,
            assignments=[f"{secret}={CANARY}", CANARY],
        ),
    )
    for attempt in attempts:
        try:
            said.append(repr(attempt()))
        except ManifestError as error:
            said.append(f"{error} {error!r} {error.problems!r}")
    return "\n".join(said)


@pytest.mark.parametrize(("name", "secret"), FIELDS, ids=str)
def test_no_mistake_shows_the_secret(name: str, secret: str) -> None:
    """However a secret is misplaced, refusals, warnings and reprs are silent about it."""
    for mistake, value in MISTAKES.items():
        said = every_text(name, secret, value)
        assert CANARY not in said, mistake
        assert secret in said
