"""Templates: commented manifests that load once they are filled in, over the whole catalogue."""

import json
import re
from typing import Any

import pytest
import yaml

from intctl import manifest
from intctl.errors import ManifestError
from intctl.manifest.template import template
from intctl.providers import catalogue
from intctl.providers.base import Provider
from intctl.text import Secret

from .test_examples import FOLDER, example

_PROVIDERS = [one for one in map(catalogue.get, catalogue.names()) if one is not None]
UNUSUAL = {field.unusual for one in _PROVIDERS for field in one.fields if field.unusual}


def provider_of(name: str) -> Provider:
    """A provider of the catalogue."""
    found = catalogue.get(name)
    assert found is not None
    return found


def filled_in(provider: Provider) -> tuple[str, dict[str, str]]:
    """The template as a person fills it in who wants what the example says, and the variables that it then needs."""
    path = FOLDER / f"{provider.name}.yaml"
    wanted: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["config"]
    values = example(path).config
    lines, environ = [], {}
    for line in template(provider).splitlines():
        found = re.fullmatch(r"  #?([a-z0-9_]+):(.*)", line)
        if not found or found[1] not in wanted:
            lines.append(line)
            continue
        name, stands = found[1], found[2].strip()
        reference = re.fullmatch(r"\{env: (\w+)\}", stands)
        if reference or (isinstance(wanted[name], dict) and "env" in wanted[name]):
            value = values[name]
            variable = reference[1] if reference else wanted[name]["env"]
            stands = f"{{env: {variable}}}"
            environ[variable] = value.reveal() if isinstance(value, Secret) else str(value)
        else:
            stands = json.dumps(wanted[name])
        lines.append(f"  {name}: {stands}")
    return "\n".join(lines) + "\n", environ


@pytest.mark.parametrize("name", catalogue.names())
def test_loads_once_filled_in(name: str) -> None:
    """Filled in with what the provider's example says, it is the example's config, without a warning."""
    provider = provider_of(name)
    text, environ = filled_in(provider)
    loaded = manifest.load(text.encode(), file="filled.yaml", sources=manifest.ValueSources(environ))
    # The values are not like the vendor's (test_unusual.py).
    assert [one for one in loaded.warnings if not any(one.endswith(known) for known in UNUSUAL)] == []
    (item,) = loaded.items
    assert (item.name, item.provider) == (provider.title, provider)
    assert item.config == example(FOLDER / f"{name}.yaml").config


@pytest.mark.parametrize("name", catalogue.names())
def test_what_is_not_filled_in_is_named(name: str) -> None:
    """Untouched, each required field that nobody can guess is refused as empty, and nothing else."""
    provider = provider_of(name)
    empty = [
        field.name
        for field in provider.fields
        if field.required and not field.secret and field.kind not in ("pem", "json") and field.default is None
    ]
    text = template(provider)
    environ = dict.fromkeys(re.findall(r"\{env: (\w+)\}", text), "cnry")
    if not any(field.required for field in provider.fields):
        with pytest.raises(ManifestError, match="config: keys and values are expected"):
            manifest.load(text.encode(), file="untouched.yaml", sources=manifest.ValueSources(environ))
        return
    if not empty:
        assert yaml.safe_load(text)["config"]
        return
    with pytest.raises(ManifestError) as caught:
        manifest.load(text.encode(), file="untouched.yaml", sources=manifest.ValueSources(environ))
    messages = [problem.message for problem in caught.value.problems]
    assert set(messages) >= {f"{field}: is empty" for field in empty}
    references = {field.name for field in provider.fields if field.secret or field.kind == "pem"}
    assert {message.partition(":")[0] for message in messages} <= {*empty, *references}


@pytest.mark.parametrize("name", catalogue.names())
def test_every_field_stands_once_with_its_help(name: str) -> None:
    """Required fields come first, optional ones are commented out, secrets are references to PROVIDER_FIELD."""
    provider = provider_of(name)
    lines = template(provider).splitlines()
    assert lines[0] == f"# yaml-language-server: $schema={name}.schema.json"
    found = [match for line in lines if (match := re.fullmatch(r"  (#?)([a-z0-9_]+):(.*)", line))]
    ordered = [*(one for one in provider.fields if one.required), *(one for one in provider.fields if not one.required)]
    assert [match[2] for match in found] == [field.name for field in ordered]
    for match, field in zip(found, ordered, strict=True):
        assert (match[1] == "") == field.required
        above = lines[lines.index(match[0]) - 1]
        assert above.startswith("  # ") and " ".join(field.help.split()) in above
        if field.secret:
            variable = f"{name}_{field.name}".upper().replace("-", "_")
            assert match[3] == f" {{env: {variable}}}"


def test_with_everything_taken_in_the_text_is_still_yaml() -> None:
    """Whatever a person takes the # from, the template stays YAML with the keys that intctl knows."""
    for name in catalogue.names():
        provider = provider_of(name)
        text = re.sub(r"^( *)#(?=[a-z_0-9]+:)", r"\1", template(provider), flags=re.MULTILINE)
        read = yaml.safe_load(text)
        assert set(read["config"]) == {field.name for field in provider.fields}
        assert set(read) - {"type"} == {"name", "provider", "config", "health_check_interval_minutes", "enabled"}
