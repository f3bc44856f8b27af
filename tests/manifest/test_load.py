"""What manifests may say, and what comes of it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intctl import manifest
from intctl.errors import ManifestError, SealError
from intctl.providers import catalogue
from intctl.providers.base import Provider
from intctl.text import MASK, Secret

ENVIRON = {"SET": "cnry", "PORT": "465", "HOST": "env.example.com", "BAD_PORT": "017"}
HEAD = "name: Mail\nprovider: smtp\nconfig:\n  host: mail.example.com\n"
LOGIN = HEAD + "  username: mailer\n  password: {env: SET}\n"


def load(
    text: str,
    *,
    allow_inline_secrets: bool = False,
    assignments: Sequence[str] = (),
    secrets: Mapping[str, Secret] | None = None,
    **more: Any,
) -> manifest.Loaded:
    sources = manifest.ValueSources(ENVIRON, allow_inline_secrets=allow_inline_secrets)
    overrides = manifest.Overrides(tuple(assignments), secrets or {})
    return manifest.load(text.encode(), file="m.yaml", sources=sources, overrides=overrides, **more)


def one(text: str, **more: Any) -> manifest.Manifest:
    (item,) = load(text, **more).items
    return item


def told(text: str, **more: Any) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(text, **more)
    return [str(problem) for problem in caught.value.problems]


def stored(text: str = LOGIN) -> manifest.StoredConfig:
    item = one(text)
    return manifest.StoredConfig(item.provider, item.config)


def revise(before: manifest.StoredConfig, *assignments: str, **secrets: str) -> Mapping[str, object]:
    new = {name: Secret(value) for name, value in secrets.items()}
    (item,) = manifest.revise(before, environ=ENVIRON, assignments=assignments, secrets=new).items
    return item.config


def provider(name: str) -> Provider:
    found = catalogue.get(name)
    assert found is not None
    return found


@pytest.mark.parametrize("reference", ["{env: SET}", "!env SET", "{'env': 'SET'}", "\n    env: SET"])
def test_reference_forms(reference: str) -> None:
    """The long form, plain YAML and JSON, and the shorthand give the same secret."""
    item = one(HEAD + f"  username: x\n  password: {reference}\n")
    assert item.config["password"] == Secret("cnry")


def test_json_is_a_manifest() -> None:
    """A manifest written by a program as JSON loads."""
    text = json.dumps({"name": "A", "provider": "smtp", "config": {"host": "a.example.com", "port": 25}})
    assert one(text).config == {"host": "a.example.com", "port": 25, "security": "none"}


def test_what_is_not_secret_may_be_a_reference() -> None:
    """Text and numbers come from the environment too, as strictly as from the file."""
    item = one("name: A\nprovider: smtp\nconfig: {host: !env HOST, port: {env: PORT}}\n")
    assert item.config == {"host": "env.example.com", "port": 465, "security": "tls"}
    (problem,) = told("name: A\nprovider: smtp\nconfig: {host: a.example.com, port: {env: BAD_PORT}}\n")
    assert "a plain whole number" in problem


@pytest.mark.parametrize(
    ("given", "port", "security"),
    [
        ("", 587, "starttls"),
        ("port: 587", 587, "starttls"),
        ("port: 465", 465, "tls"),
        ("port: 2525", 2525, "starttls"),
        ("security: tls", 465, "tls"),
        ("security: none", 25, "none"),
        ("security: starttls", 587, "starttls"),
        ("port: 25\n  security: none", 25, "none"),
        ("port: 25\n  security: starttls", 25, "starttls"),
    ],
)
def test_port_presets(given: str, port: int, security: str) -> None:
    """A port gives the TLS mode and a TLS mode the port; a password over a plain one was accepted in words."""
    item = one(LOGIN + (f"  {given}\n" if given else ""))
    assert (item.config["port"], item.config["security"]) == (port, security)


def test_top_level_keys() -> None:
    """What the file says is there, what it leaves out is None."""
    item = one(LOGIN + "enabled: false\nhealth_check_interval_minutes: 60\ntype: email\n")
    assert (item.name, item.enabled, item.interval, item.type, item.line) == ("Mail", False, 60, "email", 1)
    bare = one(LOGIN)
    assert (bare.enabled, bare.interval, bare.type) == (None, None, None)


def test_type_is_free_for_http_only() -> None:
    """An API of one's own is for whatever it is for."""
    assert one("name: A\nprovider: http\ntype: crm\nconfig: {url: https://example.com/}\n").type == "crm"


def test_list_of_integrations() -> None:
    """Several in one file, each with its line; a thousand are no problem."""
    items = load(
        "integrations:\n"
        + "".join(f"- name: n{i}\n  provider: smtp\n  config: {{host: a.example.com}}\n" for i in range(1000))
    ).items
    assert [item.name for item in items] == [f"n{i}" for i in range(1000)]
    assert items[999].line == 2 + 3 * 999


def test_too_many_integrations() -> None:
    """10,001 are refused before they are parsed."""
    text = "integrations:\n" + "- {name: n, provider: smtp, config: {host: a.example.com}}\n" * 10_001
    assert told(text) == ["m.yaml: more than 10,000 entries in one list: split the file"]
    flow = "integrations: [" + "{}," * 10_001 + "]"
    assert "more than 10,000 entries" in told(flow)[0]


def test_a_flood_of_mistakes_ends() -> None:
    """A file of nothing but mistakes is told in at most a thousand lines."""
    assert len(told("a: b\n" * 100_000)) <= 1001
    assert "more than 1,000 keys" in told("".join(f"k{i}: b\n" for i in range(2000)))[0]


def test_anchors_and_merge_keys() -> None:
    """Shared settings are written once; `<<` never overrides silently."""
    items = load(
        "integrations:\n- name: A\n  provider: smtp\n  config: &mail {host: a.example.com, port: 465}\n"
        "- name: B\n  provider: smtp\n  config: *mail\n- name: C\n  provider: smtp\n  config:\n"
        "    <<: [*mail]\n    from_name: C\n"
    ).items
    assert items[0].config == items[1].config
    assert items[2].config == {**items[0].config, "from_name": "C"}


def test_byte_order_mark_and_windows_lines() -> None:
    """What Windows editors write is fine."""
    text = "\ufeff" + LOGIN.replace("\n", "\r\n")
    assert one(text).config == one(LOGIN).config


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("MAIL.Example.COM", "mail.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("mail.example.com.", "mail.example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("'2001:DB8::1'", "2001:db8::1"),
        ("'[2001:db8::1]'", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_hosts(written: str, kept: str) -> None:
    """Names in lower case, IDN as punycode, addresses in their short form."""
    assert one(f"name: A\nprovider: smtp\nconfig: {{host: {written}}}\n").config["host"] == kept


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://Example.com", "https://example.com"),
        ("https://bücher.example:8443/a?b=c", "https://xn--bcher-kva.example:8443/a?b=c"),
        ("HTTPS://example.com/A", "https://example.com/A"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_urls(written: str, kept: str) -> None:
    """A URL's host is normalised, the rest stays."""
    assert one(f"name: A\nprovider: http\nconfig:\n  url: {written}\n").config["url"] == kept


def test_expect_json_keeps_types() -> None:
    """A pointer's value is text, number, true, false or null, as it was written."""
    text = "name: A\nprovider: http\nconfig:\n  url: https://example.com/\n  expect_json:\n"
    text += "    /a: ok\n    /b: '1'\n    /c: 1\n    /d: 1.5\n    /e: true\n    /f: null\n    /g~1h: no thanks\n"
    item = one(text)
    wanted = {"/a": "ok", "/b": "1", "/c": 1, "/d": 1.5, "/e": True, "/f": None, "/g~1h": "no thanks"}
    assert item.config["expect_json"] == wanted
    text = manifest.dump(item.provider, item.config, name="A")
    assert one(text).config == item.config


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "'[::1]'"])
def test_plain_http_on_this_machine(host: str) -> None:
    """A credential may go over http:// to loopback, and elsewhere when security: none says so."""
    bare = host.strip("'")
    text = f"name: A\nprovider: http\nconfig:\n  auth: bearer\n  token: !env SET\n  url: http://{bare}:8080/\n"
    assert one(text).config["url"] == f"http://{bare}:8080/"
    elsewhere = one(text.replace(bare, "example.com") + "  security: none\n")
    probe: Any = elsewhere.provider.probe(elsewhere.config)
    assert probe.allow_plain_http


def test_inline_secrets_only_when_allowed() -> None:
    """A literal secret loads with the permission, and with a warning that does not show it."""
    text = HEAD + "  username: x\n  password: cnry-literal\n"
    assert "{env: NAME}" in told(text)[0]
    loaded = load(text, allow_inline_secrets=True)
    assert loaded.items[0].config["password"] == Secret("cnry-literal")
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith("m.yaml:6:13: password: ")
    assert "cnry" not in loaded.warnings[0]


def test_assignments_override_the_file() -> None:
    """--set has the last word, typed by its field; an empty value takes a field away."""
    item = one(
        LOGIN + "  from_name: x\n",
        assignments=["port=465", "from_name=", "name=Other", "enabled=false", "health_check_interval_minutes=7"],
    )
    assert (item.config["port"], item.config["security"]) == (465, "tls")
    assert "from_name" not in item.config
    assert (item.name, item.enabled, item.interval) == ("Other", False, 7)


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("prot=587", '--set: unknown key "prot"; did you mean "port"?'),
        ("password=cnry", "--set: password is a secret: use --secret password, or a reference in a file"),
        ("cnry", "--set: key=value is expected"),
        ("port=0587", "--set: port: a plain whole number from 1 to 65535 is expected"),
        ("enabled=yes", "--set: enabled: true or false is expected"),
        ("name=-x", '--set: name: a name must not start with "-": it would be read as an option'),
        ("provider=ses", '--set: unknown key "provider"'),
        ("host=cnry cnry", "--set: host: is not a host name or IP address"),
        ("name=", "--set: name: is empty"),
    ],
)
def test_wrong_assignments(assignment: str, problem: str) -> None:
    """Mistakes on the command line are told like those in the file, without the value."""
    assert told(LOGIN, assignments=[assignment]) == [problem]


@pytest.mark.parametrize(
    ("text", "assignments", "fields"),
    [
        (HEAD + "  port: x\n", [], ("port",)),
        ("name: Mail\nprovider: smtp\nconfig: {}\n", [], ("host",)),
        ("name: -x\nprovider: smtp\nconfig: {host: a.example.com}\n", [], ("name",)),
        ("provider: smtp\nconfig: {host: a.example.com}\n", [], ("name",)),
        (LOGIN, ["password=cnry"], ("password",)),
        (LOGIN, ["port=x"], ("port",)),
        (HEAD + "  username: x\n", [], ("password", "username")),
        (LOGIN + "  port: 25\n", [], ("port", "security")),  # its message mentions the password
        ("name: A\nprovider: http\nconfig: {url: 'https://a.example.com', auth: bearer}\n", [], ("token", "auth")),
        (HEAD + "  hots: x\n", [], ()),
        (LOGIN, ["provider=ses"], ()),
    ],
)
def test_a_problem_names_its_fields(text: str, assignments: list[str], fields: tuple[str, ...]) -> None:
    """The fields that can resolve a problem are data: its message is for people."""
    with pytest.raises(ManifestError) as caught:
        load(text, assignments=assignments)
    assert [problem.fields for problem in caught.value.problems] == [fields]


def test_assigning_twice() -> None:
    """Two values for one key: nobody guesses which was meant."""
    assert told(LOGIN, assignments=["port=2525", "port=2526"]) == ["--set: port is given twice"]


def test_assignments_do_not_fit_a_list() -> None:
    """Which of them would be meant is not guessed."""
    entry = "- {name: %s, provider: smtp, config: {host: a.example.com}}\n"
    text = "integrations:\n" + entry % "A" + entry % "B"
    assert "expected one integration" in told(text, assignments=["port=25"])[0]


def test_secrets_given_beside_the_file() -> None:
    """A prompted secret fills the field that the file leaves out; a name that is no secret is told."""
    text = HEAD + "  username: x\n"
    assert one(text, secrets={"password": Secret("p")}).config["password"] == Secret("p")
    (problem,) = told(LOGIN, secrets={"pasword": Secret("p")})
    assert problem == '--set: "pasword" is not a secret of smtp; did you mean "password"?'


def test_partial_leaves_the_config_to_what_is_stored() -> None:
    """`apply` of a file without config says so; alone it is a mistake."""
    item = one("name: A\nprovider: smtp\nenabled: true\n", partial=True)
    assert not item.has_config
    assert one(LOGIN, partial=True).has_config
    assert told("name: A\nprovider: smtp\n") == ["m.yaml:1:1: config: host is missing"]


def test_edit_keeps_what_is_not_said() -> None:
    """With a stored integration every top-level key may be absent, and !keep is the stored secret."""
    before = stored()
    item = one("enabled: false\n", stored=before)
    assert (item.config, item.name, item.enabled) == (before.config, None, False)
    text = "config: {host: mail.example.com, username: other, password: !keep }\n"
    item = one(text, stored=before)
    assert item.config["password"] == Secret("cnry")
    assert item.config["username"] == "other"
    assert item.kept == {"password"}


def test_edit_with_an_empty_file_changes_nothing() -> None:
    """An editor that was left with nothing written keeps the config."""
    before = stored()
    assert one("", stored=before).config == before.config


def test_edit_can_not_change_the_provider() -> None:
    """Another provider is another integration."""
    assert "can't be edited" in told(LOGIN.replace("smtp", "ses"), stored=stored())[0]


def test_kept_secret_does_not_travel() -> None:
    """!keep with another destination is refused, names the field, and a new secret settles it."""
    text = "config: {host: evil.example.com, username: mailer, password: !keep }\n"
    with pytest.raises(manifest.SecretsNeeded) as caught:
        load(text, stored=stored())
    assert caught.value.fields == {"password"}
    assert one(text, stored=stored(), secrets={"password": Secret("new")}).config["password"] == Secret("new")
    assert one(text.replace("!keep", "!env SET"), stored=stored()).kept == frozenset()


@pytest.mark.parametrize(
    "change", ["host=evil.example.com", "port=26", "base_url=smtp://evil.example.com:25", "security=none"]
)
def test_every_destination_asks_for_the_secret_again(change: str) -> None:
    """Host, port, TLS mode, base_url: none of them moves a stored secret."""
    with pytest.raises(manifest.SecretsNeeded) as caught:
        revise(stored(), change)
    assert caught.value.fields == {"password"}
    assert revise(stored(), change, password="new")["password"] == Secret("new")


@pytest.mark.parametrize("name", catalogue.names())
def test_base_url_and_ca_file_are_destinations_of_every_provider(name: str) -> None:
    """Redirecting any provider asks for each of its secrets again."""
    known = provider(name)
    old: dict[str, object] = {secret: Secret("x") for secret in known.secrets}
    for field in known.destinations:
        assert manifest.needs_secret_again(known, old, {**old, field: "other"}) == known.secrets
    assert {"base_url", "ca_file"} <= known.destinations
    assert manifest.needs_secret_again(known, old, dict(old)) == frozenset()


def test_presets_follow_an_edit() -> None:
    """587's STARTTLS becomes TLS with port=465; a choice of one's own stays."""
    assert revise(stored(), "port=465", password="p")["security"] == "tls"
    assert revise(stored(), "security=tls", password="p")["port"] == 465
    assert revise(stored(HEAD + "  port: 465\n"), "port=587")["security"] == "starttls"
    relay = stored(HEAD + "  port: 25\n")
    assert revise(relay, "from_name=x") == {**relay.config, "from_name": "x"}
    odd = stored(LOGIN + "  port: 2525\n")
    assert revise(odd, "security=tls", password="p")["port"] == 2525
    ses = one("name: A\nprovider: ses\nconfig: {region: eu-west-1, username: u, password: !env SET}\n")
    moved = revise(manifest.StoredConfig(ses.provider, ses.config), "region=us-east-1", password="p")
    assert moved["host"] == "email-smtp.us-east-1.amazonaws.com"


def test_edit_that_puts_a_password_on_a_plain_port() -> None:
    """`none` that came with port 25 was not said: a password added later is not sent in clear."""
    relay = stored(HEAD + "  port: 25\n")
    with pytest.raises(ManifestError, match="security: none"):
        revise(relay, "username=x", password="p")
    accepted = stored(LOGIN + "  port: 25\n  security: none\n")
    assert revise(accepted, "from_name=x")["security"] == "none"


@pytest.mark.parametrize(
    "plain",
    [
        {"host": "a.b", "port": "25"},
        {"host": "a.b", "port": True},
        {"port": 25},
        {"host": "a.b", "colour": "red"},
        {"host": 5},
        {"host": None},
        {"host": "a.b", "password": ["x"]},
    ],
)
def test_stored_config_that_does_not_fit(plain: dict[str, object]) -> None:
    """A config of another version is its own cause, and shows nothing."""
    with pytest.raises(SealError) as caught:
        manifest.from_plain(provider("smtp"), plain)
    assert caught.value.code == "self.config_invalid"


def test_masked_dump_is_refused_on_the_way_back() -> None:
    """What `show -o yaml` prints can't overwrite a secret with its mask."""
    item = one(LOGIN)
    text = manifest.dump(item.provider, item.config, name="Mail", interval=5)
    assert f'"{MASK}"' in text
    assert ["that is the masked form" in problem for problem in told(text)] == [True]


@pytest.mark.parametrize(
    "name",
    ["no", "1.10", "12:30:45", "2024-01-01", "~", "a: b", "a #b", "é ü", "[x]", "x'y\"z", "=", "<<", "😀", "a\\b"],
)
def test_dump_quotes_what_yaml_would_change(name: str) -> None:
    """Any valid name survives the editor."""
    item = one(LOGIN)
    text = manifest.dump(item.provider, item.config, name=name, secrets="keep")
    assert one(text, stored=stored()).name == name


def test_import_is_light() -> None:
    """Opening a stored config needs neither the YAML parser nor any network library."""
    code = (
        "import sys, intctl.manifest; "
        "print(*(m for m in ('yaml','httpx','aiosmtplib','asyncio','sqlmodel','cryptography') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- anything at all -----------------------------------------------------------------------------

WORDS = [
    "name",
    "provider",
    "config",
    "integrations",
    "smtp",
    "http",
    "twilio",
    "host",
    "port",
    "password",
    "env",
    "file",
    "SET",
    "expect_json",
    "/a",
    "!env",
    "!file",
    "!keep",
    "!!str",
    "&a",
    "*a",
    "<<",
    ":",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "'",
    '"',
    "|",
    ">",
    "#",
    "%",
    "@",
    "?",
    "---",
    "no",
    "017",
    "~",
    "587",
    "\t",
    "\\",
    "\x00",
    "é",
    "https://",
    "a.example.com",
    "cnry",
]
PIECES = st.lists(st.sampled_from(WORDS), max_size=40)
YAMLISH = PIECES.map(" ".join) | PIECES.map("".join)
SCALAR = st.text(max_size=30)
CONFIG = st.dictionaries(
    st.sampled_from(
        ["host", "port", "security", "username", "password", "url", "auth", "expect_json", "from_email", "ca_file"]
    ),
    SCALAR | st.integers() | st.none() | st.booleans() | st.floats() | st.dictionaries(SCALAR, SCALAR, max_size=2),
)
DOCUMENT = st.fixed_dictionaries({"name": SCALAR, "provider": st.sampled_from(catalogue.names()), "config": CONFIG})


def survives(data: bytes) -> None:
    try:
        loaded = manifest.load(data, file="f.yaml", sources=manifest.ValueSources(ENVIRON, allow_inline_secrets=True))
    except ManifestError as error:
        assert error.problems
        assert all("\n" not in problem.message and problem.message.isprintable() for problem in error.problems)
        return
    for item in loaded.items:
        item.provider.probe(item.config)
        json.dumps(manifest.to_plain(item.provider, item.config), allow_nan=False)
        text = manifest.dump(item.provider, item.config, name=item.name or "", secrets="keep")
        before = manifest.StoredConfig(item.provider, item.config)
        (again,) = manifest.load(text.encode(), file="f.yaml", sources=manifest.ValueSources({}), stored=before).items
        assert (again.name, again.config) == (item.name, item.config)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | YAMLISH.map(str.encode) | DOCUMENT.map(json.dumps).map(str.encode))
def test_anything_is_loaded_or_refused(data: bytes) -> None:
    """No input gets past ManifestError, and whatever loads can be asked, sealed and written out again."""
    survives(data)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=1000)
@given(st.binary(max_size=2000) | YAMLISH.map(str.encode) | DOCUMENT.map(json.dumps).map(str.encode))
def test_anything_is_loaded_or_refused_at_length(data: bytes) -> None:
    """The same, for longer, and each within a second."""
    survives(data)
