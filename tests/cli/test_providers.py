"""providers: what can be integrated, and manifests to start from; a provider that this file adds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from intctl.manifest.template import template
from intctl.probes.ask import Bearer, HttpProbe
from intctl.providers import catalogue
from intctl.providers.base import BASE_URL, CA_FILE, TYPES, Field, Provider, asked, secret_of, text_of

from ..servers import Answer, Authority, Request, http_server
from .conftest import CANARY, Intctl


def test_list_names_every_provider(intctl: Intctl) -> None:
    """One row for each provider of the catalogue, with the stable keys; --type narrows."""
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
    """Title and type of the catalogue's table, which lists go by, are the provider's own."""
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
    assert list(found) == ["name", "title", "type", "speaks", "proof", "status_page", "notes", "fields"]
    assert found["notes"] and " ".join(found["notes"].split()) in " ".join(page.split())
    for field, shown in zip(provider.fields, found["fields"], strict=True):
        assert (shown["name"], shown["secret"], shown["required"]) == (field.name, field.secret, field.required)
        need = "required" if field.required else "optional"
        assert f"  {field.name} ({'secret ' if field.secret else ''}{field.kind}; {need}" in page
    assert intctl("providers", "show", name, "-o", "name").out == f"{name}\n"


def test_show_speaks_of_what_is_there() -> None:
    """Notes are the provider's own docstring, never one that it inherited."""
    from intctl.providers.smtp import Smtp
    from intctl.render.providers import notes

    class Silent(Smtp):
        pass

    assert notes(Smtp()).startswith("Any server that speaks SMTP")
    assert notes(Silent()) == ""


def test_template_and_schema_go_to_standard_output(intctl: Intctl) -> None:
    """They can be written into files as they are: nothing else stands there."""
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
    """A typo exits 3 and names what was probably meant."""
    ran = intctl("providers", command, "twillio", code=3)
    assert ran.out == "" and 'did you mean "twilio"?' in ran.err


def test_providers_need_no_database(intctl: Intctl) -> None:
    """Whoever looks around has run no init yet."""
    ran = intctl("providers", "list", "-o", "csv", INTCTL_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert ran.out.splitlines()[0] == "name,title,type,speaks,proof"
    read = yaml.safe_load(intctl("providers", "show", "http", "-o", "yaml").out)
    assert read == json.loads(intctl("providers", "show", "http", "-o", "json").out)


# --- a provider more


class Acme(Provider):
    """Acme's API, made up for this test: GET /v1/me answers with the account (general knowledge)."""

    name = "acme"
    title = "Acme People"
    type = "hris"
    proof = "GET the account"
    fields = (
        Field("tenant", "Tenant, as in the URL", required=True, pattern="[a-z]{1,20}", example="north"),
        Field("api_key", "API key", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, f"https://api.acme.example/v1/{text_of(config, 'tenant')}/me"),
            Bearer(secret_of(config, "api_key")), require=("/id",), facts={"account": "/id"},
            ca_file=text_of(config, "ca_file") or None,
        )  # fmt: skip


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The catalogue with one row more, and nothing else changed."""
    catalogue.get.cache_clear()
    monkeypatch.setitem(catalogue.CATALOGUE, "acme", catalogue.Entry(__name__, "Acme", "Acme People", "hris"))
    found = catalogue.get("acme")
    assert isinstance(found, Acme)
    yield found
    catalogue.get.cache_clear()


def test_a_class_and_a_row_are_a_provider(intctl: Intctl, acme: Provider, ca: Authority) -> None:
    """A provider that was added as docs/add-a-provider.md says is listed, templated, added, checked and shown."""

    def me(request: Request) -> Answer:
        right = request.headers.get("authorization") == f"Bearer {CANARY}"
        return Answer(200, {"id": "a-1"}) if right else Answer(401, {"error": "no"})

    assert "acme" in intctl("providers", "list", "--type", "hris", "-o", "name").out.split()
    text = intctl("providers", "template", "acme").out
    with http_server({"/v1/north/me": me}, ca) as server:
        text = text.replace("  tenant:", "  tenant: north").replace("  #ca_file:", f"  ca_file: {ca.file}")
        text = text.replace("  #base_url:", f"  base_url: {server.url}")
        schema = intctl("providers", "schema").json
        assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(text))) == []
        refused = intctl("add", "hris", "-f", "-", stdin=text, code=1, ACME_API_KEY="wrong")
        assert "http.auth.rejected" in refused.err
        assert intctl("add", "acme", "-f", "-", stdin=text, ACME_API_KEY=CANARY).out.startswith("Created Acme People")
        intctl("check", "Acme People")
        server.routes["/v1/north/me"] = Answer(401, {"error": "revoked"})
        assert "http.auth.rejected" in intctl("check", "Acme People", code=1).out
    shown = intctl("show", "Acme People", "-o", "json").json
    assert (shown["provider"], shown["type"], shown["verdict"]) == ("acme", "hris", "misconfigured")
    assert (shown["config"]["tenant"], shown["config"]["api_key"]) == ("north", "********")
    wrong = text.replace("north", "NORTH")
    assert "tenant: does not look right; for example: north" in intctl("test", "-f", "-", stdin=wrong, code=2).err


def test_the_guide_says_what_a_provider_takes() -> None:
    """The provider that docs/add-a-provider.md walks through is a file of at most 60 lines, and its row is the row."""
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "add-a-provider.md").read_text("utf-8")
    assert len((root / "intctl" / "providers" / "bamboohr.py").read_text("utf-8").splitlines()) <= 60
    (row,) = [line for line in guide.splitlines() if line.startswith('"bamboohr": Entry(')]
    assert f"    {row}\n" in (root / "intctl" / "providers" / "catalogue.py").read_text("utf-8")
