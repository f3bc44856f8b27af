"""Every example in the repository is a manifest that works once its variables are set."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from intctl import manifest
from intctl.probes.spec import ClientCredentials, HttpProbe, NoProbe, RefreshToken, SmtpProbe, TcpProbe
from intctl.providers import catalogue
from intctl.text import Secret

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
CANARY = "cnry-7f3e9b"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBpub\n-----END CERTIFICATE-----\n"
KEY = f"-----BEGIN PRIVATE KEY-----\n{CANARY.replace('-', '+')}\n-----END PRIVATE KEY-----\n"


_PROVIDERS = [one for one in map(catalogue.get, catalogue.names()) if one is not None]
UNUSUAL = {field.unusual for one in _PROVIDERS for field in one.fields if field.unusual}


def environment(text: str) -> dict[str, str]:
    """A value for each variable that the text refers to."""
    names = re.findall(r"\{env: ([A-Z0-9_]+)\}", text)
    special = {"ADP_CLIENT_CERTIFICATE": CERTIFICATE, "ADP_CLIENT_PRIVATE_KEY": KEY, "SES_SMTP_USERNAME": "AKIAPUBLIC"}
    return {name: special.get(name, f"{CANARY}-{name}") for name in names}


def example(path: Path) -> manifest.Manifest:
    """The one integration of an example."""
    data = manifest.read_file(path)
    loaded = manifest.load(data, file=str(path), sources=manifest.ValueSources(environment(data.decode())))
    # The values are not like the vendor's (test_unusual.py).
    assert [one for one in loaded.warnings if not any(one.endswith(known) for known in UNUSUAL)] == []
    (item,) = loaded.items
    return item


def test_there_is_one_for_each_provider() -> None:
    """The examples and the catalogue name the same providers."""
    assert [path.stem for path in EXAMPLES] == sorted(catalogue.names())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_loads_and_asks(path: Path) -> None:
    """It loads for its provider, and its probe is pure and asks over TLS."""
    item = example(path)
    assert item.provider.name == path.stem
    assert item.name
    assert item.interval
    probe = item.provider.probe(item.config)
    assert probe == item.provider.probe(item.config)
    if isinstance(probe, NoProbe | TcpProbe):
        return
    if isinstance(probe, SmtpProbe):
        assert probe.security in ("starttls", "tls")
        assert (probe.password is None) == (probe.auth is not None)
        return
    assert isinstance(probe, HttpProbe)
    urls = [probe.url] if probe.url else []
    if isinstance(probe.auth, ClientCredentials | RefreshToken):
        urls.append(probe.auth.token_url)
    assert urls
    assert all(urlsplit(url).scheme == "https" for url in urls)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_names_its_variables(path: Path) -> None:
    """The head of the file says which variables it needs, and no variable goes unmentioned."""
    text = path.read_text()
    head = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    for name in environment("\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))):
        assert name in head


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_secrets_stay_out_of_sight(path: Path) -> None:
    """A manifest's, a probe's and a masked config's text hold no secret; each secret field is wrapped."""
    item = example(path)
    probe = item.provider.probe(item.config)
    shown = json.dumps(manifest.masked(item.provider, item.config))
    text = manifest.dump(item.provider, item.config, name="x")
    for seen in (repr(item), str(item), repr(probe), str(probe), shown, text):
        assert CANARY not in seen
        assert CANARY.replace("-", "+") not in seen
    for name in item.provider.secrets & item.config.keys():
        assert isinstance(item.config[name], Secret)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_base_url_moves_every_url(path: Path) -> None:
    """With base_url nothing of the vendor's own hosts is asked any more, the token endpoint included."""
    item = example(path)
    config: dict[str, Any] = dict(item.config)
    smtp = item.provider.speaks == "smtp"
    config["base_url"] = "smtps://localhost:2465" if smtp else "https://localhost:8443/prefix"
    if item.provider.name == "tcp":
        config["base_url"] = "tcp://localhost:6360"
    probe = item.provider.probe(config)
    if isinstance(probe, SmtpProbe):
        assert (probe.host, probe.port, probe.security) == ("localhost", 2465, "tls")
        return
    if isinstance(probe, TcpProbe):
        assert (probe.host, probe.port, probe.security) == ("localhost", 6360, "tls")
        return
    if isinstance(probe, NoProbe):
        return
    assert isinstance(probe, HttpProbe)
    urls = [probe.url] if probe.url else []
    if isinstance(probe.auth, ClientCredentials | RefreshToken):
        urls.append(probe.auth.token_url)
    assert all(url.startswith("https://localhost:8443/prefix/") for url in urls)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_plain_form_round_trip(path: Path) -> None:
    """What is sealed comes back as the same config, and is JSON."""
    item = example(path)
    plain = json.loads(json.dumps(manifest.to_plain(item.provider, item.config)))
    assert manifest.from_plain(item.provider, plain) == item.config


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_dump_loads_back(path: Path) -> None:
    """The text for an editor, untouched, is the same integration."""
    item = example(path)
    assert item.name
    text = manifest.dump(
        item.provider,
        item.config,
        name=item.name,
        type_=item.type,
        enabled=True,
        interval=item.interval,
        secrets="keep",
    )
    stored = manifest.StoredConfig(item.provider, item.config)
    (back,) = manifest.load(text.encode(), file="edit.yaml", sources=manifest.ValueSources({}), stored=stored).items
    assert (back.name, back.config, back.interval, back.enabled) == (item.name, item.config, item.interval, True)
    assert back.kept == item.provider.secrets & item.config.keys()
