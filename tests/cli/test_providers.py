"""The command providers: lists, pages and templates; and a provider that this file adds."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from intctl.manifest.template import template
from intctl.providers import catalogue
from intctl.providers.base import TYPES, Provider

from ..servers import Answer, Authority, Request, http_server
from .conftest import CANARY, Intctl


def test_list_names_every_provider(intctl: Intctl) -> None:
    """One row for each provider of the catalogue, with the stable keys; --type filters."""
    rows = intctl("providers", "list", "-o", "json").json
    assert [row["name"] for row in rows] == list(catalogue.names())
    assert all(list(row) == ["name", "title", "type", "speaks", "proof"] for row in rows)
    table = intctl("providers", "list").out
    assert all(f"\n{name} " in table for name in catalogue.names())
    for type_ in TYPES:
        names = intctl("providers", "list", "--type", type_, "-o", "name").out.split()
        assert names == [row["name"] for row in rows if row["type"] == type_]
    ran = intctl("providers", "list", "--type", "emial", code=2)
    assert 'did you mean "email"?' in ran.err


def test_the_table_of_names_agrees_with_the_classes(intctl: Intctl) -> None:
    """Title and type in the catalogue's table match those of the provider."""
    for row in intctl("providers", "list", "-o", "json").json:
        entry = catalogue.CATALOGUE[row["name"]]
        assert (row["title"], row["type"]) == (entry.title, entry.type)


@pytest.mark.parametrize("name", catalogue.names())
def test_show_tells_all_of_a_provider(intctl: Intctl, name: str) -> None:
    """Each field, which are secret and required, the proof and the docstring's notes: as a page and as JSON."""
    provider = catalogue.get(name)
    assert provider is not None
    page = intctl("providers", "show", name).out
    assert page.startswith(f"{provider.title}\n=") and provider.proof in page
    found = intctl("providers", "show", name, "-o", "json").json
    assert list(found) == [
        "name",
        "title",
        "type",
        "speaks",
        "proof",
        "status_page",
        "notes",
        "fields",
        "secrets",
        "scopes",
        "cost",
        "limits",
        "docs",
        "confidence",
        "ways",
    ]
    assert set(found["secrets"]) == provider.secrets
    for key in ("scopes", "cost", "limits", "docs", "confidence"):
        assert found[key] == (getattr(provider, key) or None)
        assert f"{key.title()}: " in page and (found[key] or "no public") in page
    assert found["notes"] and " ".join(found["notes"].split()) in " ".join(page.split())
    for field, shown in zip(provider.fields, found["fields"], strict=True):
        assert (shown["name"], shown["secret"], shown["required"]) == (field.name, field.secret, field.required)
        need = "required" if field.required else "optional"
        assert f"  {field.name} ({'secret ' if field.secret else ''}{field.kind}; {need}" in page
        assert not field.needed_with or f"Only with {field.needed_with}" in page
    assert intctl("providers", "show", name, "-o", "name").out == f"{name}\n"


def test_show_speaks_of_what_is_there() -> None:
    """Notes are the provider's own docstring, never an inherited one."""
    from intctl.providers.smtp import Smtp
    from intctl.views.providers import notes

    class Silent(Smtp):
        pass

    assert notes(Smtp()).startswith("Any SMTP server")
    assert notes(Silent()) == ""


def test_template_and_schema_go_to_standard_output(intctl: Intctl) -> None:
    """Templates can be redirected to files: there is no other output."""
    provider = catalogue.get("twilio")
    assert provider is not None
    ran = intctl("providers", "template", "twilio")
    assert (ran.out, ran.err) == (template(provider), "")
    one = intctl("providers", "schema", "twilio")
    assert one.err == ""
    manifest = {"name": "SMS", "provider": "twilio", "config": {"account_sid": f"AC{'0' * 32}"}}
    everything = intctl("providers", "schema").json
    assert Draft202012Validator(one.json).is_valid(manifest)
    assert Draft202012Validator(everything).is_valid(manifest)
    assert set(catalogue.names()) < set(everything["$defs"])


@pytest.mark.parametrize("command", ["show", "template", "schema"])
def test_an_unknown_provider_is_met_with_the_nearest(intctl: Intctl, command: str) -> None:
    """A typo exits 3 and suggests the nearest name."""
    ran = intctl("providers", command, "twillio", code=3)
    assert ran.out == "" and 'did you mean "twilio"?' in ran.err


def test_providers_need_no_database(intctl: Intctl) -> None:
    """The commands work before intctl init."""
    ran = intctl("providers", "list", "-o", "csv", INTCTL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert ran.out.splitlines()[0] == "name,title,type,speaks,proof"
    read = yaml.safe_load(intctl("providers", "show", "http", "-o", "yaml").out)
    assert read == json.loads(intctl("providers", "show", "http", "-o", "json").out)


# --- an additional provider

ROOT = Path(__file__).parents[2]


def guide() -> dict[str, str]:
    """The code blocks of docs/add-a-provider.md that hold files, by file."""
    text = (ROOT / "docs" / "add-a-provider.md").read_text("utf-8")
    return dict(re.findall(r"<!-- (\S+/\S+) -->\n```\w+\n(.*?)```\n<!-- end -->", text, re.DOTALL))


def renamed(text: str) -> str:
    return text.replace("BambooHR", "AcmePeople").replace("bamboohr", "acmepeople").replace("BAMBOOHR", "ACMEPEOPLE")


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """The guide's provider under another name: only its file, row and example."""
    blocks = guide()
    (tmp_path / "acmepeople.py").write_text(renamed(blocks["intctl/providers/bamboohr.py"]))
    (tmp_path / "acmepeople.yaml").write_text(renamed(blocks["examples/bamboohr.yaml"]))
    monkeypatch.syspath_prepend(tmp_path)
    catalogue.get.cache_clear()
    row = catalogue.Entry("acmepeople", "AcmePeople", "AcmePeople", "hris")
    monkeypatch.setitem(catalogue.CATALOGUE, "acmepeople", row)
    found = catalogue.get("acmepeople")
    assert found is not None
    yield found
    catalogue.get.cache_clear()
    sys.modules.pop("acmepeople")


def test_a_file_a_row_and_an_example_are_a_provider(
    intctl: Intctl, acme: Provider, ca: Authority, tmp_path: Path
) -> None:
    """A provider added as in docs/add-a-provider.md works in list, template, add, check and show."""

    def company(request: Request) -> Answer:
        right = request.headers.get("authorization") == f"Basic {b64encode(f'{CANARY}:x'.encode()).decode()}"
        return Answer(200, {"legalName": "Acme", "displayName": "Acme"}) if right else Answer(401, None)

    assert "acmepeople" in intctl("providers", "list", "--type", "hris", "-o", "name").out.split()
    assert acme.proof in intctl("providers", "show", "acmepeople").out
    example = tmp_path / "acmepeople.yaml"
    schema = intctl("providers", "schema").json
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(example.read_text()))) == []
    with http_server({"/api/v1/company_information": company}, ca) as server:
        here = ("-f", str(example), "--set", f"base_url={server.url}", "--set", f"ca_file={ca.file}")
        refused = intctl("add", "hris", *here, code=1, ACMEPEOPLE_API_KEY="wrong")
        assert "http.auth.rejected" in refused.err
        assert intctl("add", "acmepeople", *here, ACMEPEOPLE_API_KEY=CANARY).out.startswith("Created HR")
        intctl("check", "HR")
        server.routes["/api/v1/company_information"] = Answer(401, {"error": "revoked"})
        assert "http.auth.rejected" in intctl("check", "HR", code=1).out
    shown = intctl("show", "HR", "-o", "json").json
    assert (shown["provider"], shown["type"], shown["verdict"]) == ("acmepeople", "hris", "misconfigured")
    assert (shown["config"]["subdomain"], shown["config"]["api_key"]) == ("mycompany", "********")
    text = intctl("providers", "template", "acmepeople").out.replace("  subdomain:", "  subdomain: NORTH")
    wrong = intctl("test", "-f", "-", stdin=text, code=2, ACMEPEOPLE_API_KEY=CANARY)
    assert "subdomain: has the wrong format; for example: mycompany" in wrong.err


def test_the_guide_says_what_a_provider_takes() -> None:
    """The provider in docs/add-a-provider.md has at most 80 lines, and the documented row is its row."""
    text = (ROOT / "docs" / "add-a-provider.md").read_text("utf-8")
    assert len(guide()["intctl/providers/bamboohr.py"].splitlines()) <= 80
    (row,) = [line for line in text.splitlines() if line.startswith('"bamboohr": Entry(')]
    assert f"    {row}\n" in (ROOT / "intctl" / "providers" / "catalogue.py").read_text("utf-8")
