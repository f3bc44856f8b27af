"""Providers without a row in the sandbox's tables: served as their own probes expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from intctl.probes.spec import NoProbe, SigV4
from intctl.providers import catalogue
from intctl.sandbox import Sandbox, vendors
from intctl.sandbox.faults import applicable
from intctl.text import Secret
from tests.sandbox.test_contract import UNPROVEN, asked, asks, codes, items

#: Providers that are not HTTP, sign the request, have a certificate or their own token call, need more fields than the
#: required ones, or describe their example instead of giving one.
OTHER = {"tcp", "s3", "adp", "personio", "ukg", "http", "caldav", "twilio", "plivo"}


#: Served by SMTP and over HTTP: their rows belong together.
_MAIL = vendors.MAIL.keys() & vendors.VENDORS.keys()


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox whose tables have only mail: every HTTP vendor is derived."""
    monkeypatch.setattr(vendors, "VENDORS", {name: vendors.VENDORS[name] for name in _MAIL})
    with Sandbox(tmp_path) as box:
        yield box


def test_a_declaration_is_enough(untold: Sandbox) -> None:
    """Without a row, every provider is healthy with the right credential and rejected with a wrong one."""
    names = set(untold.providers) - set(untold.logins) - UNPROVEN - OTHER
    loaded = items(untold, names)
    assert set(loaded) == names and len(names) > 30
    assert {name: code for name, code in codes(asked(asks(loaded))).items() if code != "ok"} == {}
    wrong = {
        f"{name}: {field}": item.provider.probe({**item.config, field: Secret("wrong-credential")})
        for name, item in loaded.items()
        for field in item.provider.secrets & set(item.config)
    }
    found = codes(asked(wrong))
    assert set(found.values()) <= {"http.auth.rejected", "reauthorise"}, found
    assert not any(isinstance(ask, NoProbe | SigV4) for ask in wrong.values())


def test_faults_fit_what_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    """A derived vendor supports the faults of any HTTP vendor."""
    monkeypatch.setattr(vendors, "VENDORS", {})
    assert {"tls.expired", "http.auth.rejected", "http.rate_limited", "server.error"} <= set(applicable("twilio"))
    assert "reauthorise" in applicable("gusto") and "reauthorise" not in applicable("twilio")
    assert catalogue.get("twilio") is not None
