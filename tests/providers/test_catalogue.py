"""The catalogue's table agrees with its classes, and every provider meets the same rules."""

import subprocess
import sys
from importlib.resources import files

import pytest

from intctl.health.codes import CODES
from intctl.probes.spec import HttpProbe
from intctl.providers import catalogue
from intctl.providers.base import CONFIDENCE, TYPES, Provider
from intctl.text import Secret
from intctl.views.alerts import IMPACT

NAMES = catalogue.names()


def provider(name: str) -> Provider:
    found = catalogue.get(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_table_and_class_agree(name: str) -> None:
    """Name, title and type in the table are those of the class."""
    entry, found = catalogue.CATALOGUE[name], provider(name)
    assert (found.name, found.title, found.type) == (name, entry.title, entry.type)
    assert found.type in TYPES
    assert found.speaks in ("", *catalogue.SPOKEN)
    assert found.proof


@pytest.mark.parametrize("name", NAMES)
def test_fields_are_well_made(name: str) -> None:
    """Fields have unique names and a help line, choices where they choose; base_url and ca_file are there."""
    fields = provider(name).fields
    names = [field.name for field in fields]
    assert len(set(names)) == len(names)
    assert {"base_url", "ca_file"} <= set(names)
    for field in fields:
        assert field.help
        assert (field.kind == "choice") == (bool(field.choices) and field.kind != "url")
        assert field.example or not field.pattern, f"{field.name}: a pattern requires an example"
        assert not (field.secret and field.destination)
        assert not (field.secret and field.default is not None)
        if field.name in ("host", "port", "security", "url", "base_url", "ca_file", "subdomain", "region"):
            assert field.destination


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_is_said(name: str) -> None:
    """Scopes, cost, limits and confidence are words, documents a link; what has no proof claims no confidence."""
    found = provider(name)
    assert all((found.proof, found.scopes, found.cost, found.limits))
    assert found.confidence in CONFIDENCE
    assert found.docs == "" or found.docs.startswith("https://")
    assert found.status_page == "" or found.status_page.startswith("https://")
    assert (found.confidence == "none") == found.proof.startswith("None: ")
    if found.confidence in ("vendor", "standard"):
        assert found.docs, "what was read has an address"


@pytest.mark.parametrize("name", NAMES)
def test_a_provider_is_one_small_file(name: str) -> None:
    """The class is in its own file of at most 80 lines: shared code belongs to the base."""
    module = catalogue.CATALOGUE[name].module
    assert module == f"intctl.providers.{name}"
    source = files("intctl").joinpath("providers", f"{name}.py").read_text("utf-8")
    assert len(source.splitlines()) <= 80
    assert source.count("(Provider)") + source.count("Provider):") + source.count("(Unproven)") >= 1


def test_the_catalogue_is_what_was_asked_for() -> None:
    """Every provider of an HR-driven organisation is there under its own name."""
    asked = """
        smtp sendgrid mailgun ses postmark mailjet brevo resend gmail microsoft365
        twilio vonage messagebird plivo telnyx slack zoom
        google microsoft calendly caldav bamboohr workday hibob personio rippling ukg adp gusto paychex
        quickbooks xero paylocity checkr sterling certn indeed linkedin ziprecruiter greenhouse lever workable ashby
        smartrecruiters s3 salesforce hubspot pipedrive http tcp goodhire hireright monster glassdoor
    """
    assert set(asked.split()) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_ways_to_log_in_are_whole(name: str) -> None:
    """One complete way to log in is accepted; none, half a way or two are refused, each problem with its fields."""
    found = provider(name)
    base: dict[str, object] = {"base_url": "https://localhost:1"}
    known = {field.name for field in found.fields}
    for way in found.ways:
        assert set(way) <= known
        given = {**dict.fromkeys(way, Secret("x")), **base}
        messages = [problem.message for problem in found.check(given)]
        assert [message for message in messages if "not both" in message or "set together" in message] == []
        for missing in way if len(way) > 1 else ():
            half = {key: value for key, value in given.items() if key != missing}
            assert missing in [problem.field for problem in found.check(half)]
    if found.ways:
        everything: dict[str, object] = dict.fromkeys([one for way in found.ways for one in way], Secret("x"))
        assert any("not both" in problem.message for problem in found.check(everything | base))
        assert any("is missing (or set" in problem.message for problem in found.check(base))


@pytest.mark.parametrize("name", NAMES)
def test_problems_name_fields_of_the_provider(name: str) -> None:
    """Each field that a check names is one of the provider's, so that it can be prompted for again."""
    found = provider(name)
    known = {field.name for field in found.fields}
    given: dict[str, object] = {one: Secret("x") if one in found.secrets else "x" for one in known}
    for config in ({}, given, *({one: given[one]} for one in known)):
        assert {one for problem in found.check(config) for one in problem.fields} <= known


@pytest.mark.parametrize("name", NAMES)
def test_docstring_tells_the_vendor(name: str) -> None:
    """Each provider's class documents the facts about the vendor."""
    assert len(type(provider(name)).__doc__ or "") > 80


def test_every_type_has_an_impact() -> None:
    """Every type has a text for the consequence of a failure."""
    assert set(IMPACT) == set(TYPES)


def test_unknown_name_is_none() -> None:
    """A name that this version does not know is no error: a newer version may have written it."""
    assert catalogue.get("fax") is None


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("smtp", {"smtp", "sendgrid", "ses", "gmail", "microsoft365"}),
        (
            "oauth",
            {"google", "microsoft", "calendly", "zoom", "adp", "indeed"}
            | {
                "workday",
                "personio",
                "ukg",
                "gusto",
                "paychex",
                "quickbooks",
                "paylocity",
                "sterling",
                "certn",
                "xero",
                "salesforce",
            },
        ),
        (
            "email",
            {"smtp", "sendgrid", "ses", "gmail", "microsoft365", "mailgun", "postmark", "mailjet", "brevo", "resend"},
        ),
        ("calendar", {"google", "microsoft", "calendly", "caldav"}),
        ("twilio", {"twilio"}),
        ("", set()),
    ],
)
def test_accepts(kind: str, taken: set[str]) -> None:
    """KIND is a provider, a type, or a protocol."""
    assert {name for name in NAMES if catalogue.accepts(kind, provider(name))} == taken


def test_accepts_the_type_that_http_was_given() -> None:
    """An http integration of type crm matches crm and not custom."""
    assert catalogue.accepts("crm", provider("http"), "crm")
    assert not catalogue.accepts("custom", provider("http"), "crm")


def test_kinds_are_all_that_is_accepted() -> None:
    """Each offered KIND fits a provider."""
    for kind in catalogue.kinds():
        assert any(catalogue.accepts(kind, provider(name)) for name in NAMES), kind


def test_titles_cost_no_import() -> None:
    """Listing names, titles and kinds imports no provider, no probe and nothing heavy."""
    code = (
        "import sys; from intctl.providers import catalogue as c; c.kinds(); [e.title for e in c.CATALOGUE.values()];"
        "bad = [m for m in sys.modules if m in ('yaml','httpx','asyncio') or "
        "(m.startswith('intctl.') and m not in ('intctl.providers','intctl.providers.catalogue'))]; assert not bad, bad"
    )
    assert subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True).stderr == ""


def test_answers_use_known_codes() -> None:
    """The special answers of every example's probe have codes of the table."""
    from tests.manifest.test_examples import EXAMPLES, example

    for path in EXAMPLES:
        item = example(path)
        probe = item.provider.probe(item.config)
        if isinstance(probe, HttpProbe):
            assert all(answer.code in CODES for answer in probe.answers)


@pytest.mark.case("security 13")
@pytest.mark.parametrize(
    ("header", "refused"),
    [
        ("Metadata", True),
        ("metadata-flavor", True),
        ("Metadata-Token", True),
        ("X-aws-ec2-metadata-token", True),
        ("X-AWS-EC2-Metadata-Token-TTL-Seconds", True),
        ("X-Google-Metadata-Request", True),
        ("X-aliyun-ecs-metadata-token", True),
        ("X-Metadata-Token", True),
        ("X-API-Key", False),
        ("X-Meta-Key", False),
    ],
)
def test_the_generic_provider_sends_no_header_of_a_metadata_service(header: str, refused: bool) -> None:
    """A header that only metadata services of clouds require is refused; another is not."""
    config = {
        "url": "https://api.example.com/",
        "auth": "header",
        "header_name": header,
        "header_value": Secret("k" * 20),
    }
    assert [one.field for one in provider("http").check(config)] == (["header_name"] if refused else [])
