"""The JSON Schema: what loads fits it, and it refuses most of what does not."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from intctl import manifest
from intctl.errors import ManifestError
from intctl.manifest.schema import schema
from intctl.providers import catalogue

from .test_examples import FOLDER as EXAMPLES
from .test_template import filled_in, provider_of
from .test_wrong import ENVIRON, FILES, FOLDER

#: Wrong files that a schema takes, by what it can't see. What fields mean together is found by itself, and so is
#: a config that is absent: `apply` takes that, and keeps what is stored.
UNSEEN = {
    "what a variable or a file holds": {
        "adp-passphrase", "ca-file", "ca-file-too-long", "secret-device", "secret-emptyvar", "secret-folder",
        "secret-maskvar", "secret-newlinevar", "secret-nofile", "secret-unset",
    },
    "how YAML was written: keys given twice, quotes, octal numbers, yes for true": {
        "duplicate", "http-json-coerced", "http-json-number", "port-04", "port-09", "port-10", "port-11",
        "wrong-enabled",
    },
    "every rule of hosts, addresses and URLs": {
        "email-5", "email-7", "host-03", "host-04", "host-05", "host-07", "host-08", "host-09", "host-12", "host-14",
        "host-15", "url-07", "url-08", "url-09", "url-10", "url-13", "url-14",
    },
    "characters that nobody sees": {"http-json-control", "name-0", "name-2", "name-3", "name-7"},
    "the rest of the file": {"same-names"},
}  # fmt: skip


class Loader(yaml.SafeLoader):
    """YAML as an editor reads it that was told of the two short forms."""


def _reference(tag: str, loader: yaml.SafeLoader, node: yaml.ScalarNode) -> dict[str, object]:
    return {tag: loader.construct_scalar(node)}


for _tag in ("env", "file"):
    Loader.add_constructor(f"!{_tag}", partial(_reference, _tag))


def validator(*names: str) -> Draft202012Validator:
    """A validator of files with these providers, or with all."""
    made = schema(provider_of(name) for name in names or catalogue.names())
    Draft202012Validator.check_schema(made)
    return Draft202012Validator(made)


@pytest.fixture(scope="module")
def of_all() -> Draft202012Validator:
    """The validator for the whole catalogue."""
    return validator()


@pytest.mark.parametrize("name", catalogue.names())
def test_examples_fit(name: str, of_all: Draft202012Validator) -> None:
    """Every example fits the schema of its provider and that of all, alone and in a list, and no other's."""
    read = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text("utf-8"))
    own = validator(name)
    for one in (own, of_all):
        assert list(one.iter_errors(read)) == []
        assert list(one.iter_errors({"integrations": [read, read]})) == []
    other = validator("http" if name != "http" else "smtp")
    assert not other.is_valid(read)


@pytest.mark.parametrize("name", catalogue.names())
def test_filled_in_templates_fit_and_empty_ones_do_not(name: str, of_all: Draft202012Validator) -> None:
    """A template that was filled in fits; with a key that nobody knows, or a secret written out, it does not."""
    provider = provider_of(name)
    read: dict[str, Any] = yaml.safe_load(filled_in(provider)[0])
    assert list(of_all.iter_errors(read)) == []
    assert not of_all.is_valid({**read, "config": {**read["config"], "nonsense": 1}})
    for secret in provider.secrets & set(read["config"]):
        assert not of_all.is_valid({**read, "config": {**read["config"], secret: "hunter2"}})
    for field in provider.fields:
        if field.required:
            without = {key: value for key, value in read["config"].items() if key != field.name}
            assert not of_all.is_valid({**read, "config": without})


@pytest.mark.parametrize("name", catalogue.names())
def test_patterns_mean_the_same_to_an_editor(name: str) -> None:
    """No pattern uses what Python's expressions have and JavaScript's have not."""
    for field in provider_of(name).fields:
        bare = re.sub(r"\[(?:\\.|[^\]\\])*\]", "[]", field.pattern)
        assert not re.search(r"\(\?[Paimsux#(<>]|\\[AZzG]|[*+?}]\+", bare), field.name


def read(path: Path) -> Any:
    """What a file holds; raises YAMLError where it is not YAML."""
    return yaml.load(path.read_bytes(), Loader)


def refused(path: Path) -> bool:
    """Whether intctl refuses the file."""
    try:
        manifest.load(manifest.read_file(path), file=f"{FOLDER}/{path.name}", sources=manifest.ValueSources(ENVIRON))
    except ManifestError:
        return True
    return False


def test_wrong_files_do_not_fit(of_all: Draft202012Validator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the wrong files only those fit that a schema can't see through, each for a known reason."""
    fitting = []
    for path in FILES:
        try:
            fits = of_all.is_valid(read(path))
        except (yaml.YAMLError, ValueError, OverflowError):
            continue
        if fits:
            fitting.append(path)
    for name in catalogue.names():
        monkeypatch.setattr(type(provider_of(name)), "check", lambda _self, _config: [])
    told = {path.stem for path in fitting if "config" in str(read(path)) and refused(path)}
    assert told == set().union(*UNSEEN.values())
    assert len(fitting) < len(FILES) / 2
