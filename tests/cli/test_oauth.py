"""OAuth through the commands: no refresh token is lost or shown, and secrets are verified."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from intctl import keyring
from intctl.db.connect import connect
from intctl.keyring import Binding
from intctl.probes.spec import Tokens
from intctl.schema.tables import TABLES
from intctl.store.tokens import SealedTokens
from intctl.text import Secret

from ..agent_rig import shift
from ..conftest import ORG_ID
from ..servers import Answer, Authority, HttpServer, Request, http_server
from .conftest import Intctl

SECRET = "client-secret-1"
ORIGIN = "refresh-token-0"


class Vendor:
    """Token endpoint and API of one vendor. `rotating`: each use invalidates and replaces the refresh token."""

    def __init__(self, provider: str, *, rotating: bool) -> None:
        self.provider = provider
        self.rotating = rotating
        self.secret = SECRET
        self.refresh = ORIGIN
        self.access: list[str] = []
        self.exchanges = 0
        self.calls = 0
        self.spent: set[str | None] = set()
        #: How often a client sent a refresh token that was used up.
        self.dead = 0
        #: Whether a used-up refresh token still works for a while.
        self.grace = False
        self.before_token: Callable[[], None] = lambda: None
        self.after_token: Callable[[], None] = lambda: None
        self.before_api: Callable[[], None] = lambda: None
        self.api_status = 200
        google, tenant = "/calendar/v3/users/me/calendarList", "/tenant.example/oauth2/v2.0/token"
        self.token_path, self.api_path = ("/token", google) if provider == "google" else (tenant, "/v1.0/me/calendar")
        self.server: HttpServer

    def token(self, request: Request) -> Answer:
        self.before_token()
        form = dict(parse_qsl(request.body.decode()))
        self.exchanges += 1
        if form.get("client_secret") != self.secret:
            return Answer(401, {"error": "invalid_client"})
        shown = form.get("refresh_token")
        self.dead += shown in self.spent
        if shown != self.refresh and not (self.grace and shown in self.spent):
            return Answer(400, {"error": "invalid_grant"})
        self.access.append(f"access-token-{self.exchanges}")
        given = {"access_token": self.access[-1], "expires_in": 3600, "token_type": "Bearer"}
        if self.rotating:
            self.spent.add(self.refresh)
            self.refresh = f"refresh-token-{self.exchanges}"
            given["refresh_token"] = self.refresh
        self.after_token()
        return Answer(200, given)

    def api(self, request: Request) -> Answer:
        self.calls += 1
        self.before_api()
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.access:
            return Answer(401, {"error": "bad token"})
        body = {"kind": "calendar#calendarList", "id": "AAMk", "@odata.context": "x", "items": []}
        return Answer(self.api_status, body if self.api_status == 200 else {"error": "broken"})

    def manifest(self, **config: object) -> str:
        values = {
            "client_id": "client",
            "client_secret": {"env": "CLIENT_SECRET"},
            "refresh_token": {"env": "REFRESH_TOKEN"},
            "base_url": self.server.url,
            **({"tenant_id": "tenant.example"} if self.provider == "microsoft" else {}),
            **config,
        }
        return json.dumps({"name": "Calendar", "provider": self.provider, "config": values})


SECRETS: dict[str, Any] = {"CLIENT_SECRET": SECRET, "REFRESH_TOKEN": ORIGIN}


@contextmanager
def serving(vendor: Vendor) -> Iterator[Vendor]:
    with http_server({vendor.token_path: vendor.token, vendor.api_path: vendor.api}) as server:
        vendor.server = server
        yield vendor


@pytest.fixture(params=["google", "microsoft"])
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    """Google keeps the refresh token; this Microsoft replaces it, stricter than the real one."""
    with serving(Vendor(request.param, rotating=request.param == "microsoft")) as made:
        yield made


@pytest.fixture
def rotating() -> Iterator[Vendor]:
    with serving(Vendor("microsoft", rotating=True)) as made:
        yield made


def snapshot(intctl: Intctl) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    with connect(intctl.target) as database:
        return {table.name: database.rows(f"SELECT * FROM {table.name} ORDER BY 1") for table in TABLES}


def opened(intctl: Intctl, provider: str) -> list[tuple[str | None, str | None]]:
    """The opened access and refresh tokens of each row; the raw rows must contain neither."""
    ring = keyring.load({}, intctl.home)
    with connect(intctl.target) as database:
        rows = database.rows("SELECT integration_id, access_token, refresh_token FROM oauth_tokens ORDER BY created_at")
    found = []
    for row in rows:
        assert not re.search("(access|refresh)-token-[0-9]", f"{row['access_token']}{row['refresh_token']}")
        binding = Binding(ORG_ID, str(row["integration_id"]), f"oauth:{provider}")
        access = ring.open(json.loads(row["access_token"]), binding, "")
        refresh = ring.open(json.loads(row["refresh_token"]), binding, "")
        found.append((access.get("access_token"), refresh["refresh_token"]))
    return found


def nothing_shown(intctl: Intctl) -> None:
    assert not re.search("(access|refresh)-token-[0-9]|client-secret-", intctl.said)


def test_add_check_edit_apply(intctl: Intctl, vendor: Vendor) -> None:
    """A refresh token works through add, check, edit and apply, rotated or not; apply is idempotent."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    assert opened(intctl, vendor.provider) == [(vendor.access[-1], vendor.refresh)]
    exchanges = vendor.exchanges
    (checked,) = intctl("check", "Calendar", "-o", "json").json
    assert (checked["verdict"], checked["facts"]["token_exchanged"]) == ("healthy", True)
    assert vendor.exchanges == exchanges + 1
    before = snapshot(intctl)
    assert "Unchanged" in intctl("apply", "-f", "-", stdin=vendor.manifest(), **SECRETS).out
    assert (snapshot(intctl), vendor.exchanges) == (before, exchanges + 1)
    assert opened(intctl, vendor.provider) == [(vendor.access[-1], vendor.refresh)]
    intctl("edit", "Calendar", "--set", "client_id=another")
    assert opened(intctl, vendor.provider) == [(vendor.access[-1], vendor.refresh)]
    intctl("check", "Calendar")
    manifest = vendor.manifest(client_id="another")
    assert "Unchanged" in intctl("apply", "-f", "-", stdin=manifest, **SECRETS).out
    nothing_shown(intctl)


@pytest.mark.parametrize("command", ["add", "check", "edit", "agent"])
def test_a_rotated_token_is_stored_before_it_is_used(intctl: Intctl, rotating: Vendor, command: str) -> None:
    """The new refresh token is sealed in the database before the API gets the new access token."""
    seen = []
    if command != "add":
        intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
        with connect(intctl.target) as database:
            database.run("UPDATE oauth_tokens SET expires_at = {now}")
            shift(database, "next_check_at", 7200)
    rotating.before_api = lambda: seen.append([refresh for _, refresh in opened(intctl, "microsoft")])
    if command == "add":
        intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    elif command == "edit":
        intctl("edit", "Calendar", "--set", "client_id=another")
    else:
        intctl(*{"check": ["check", "Calendar"], "agent": ["agent", "--once"]}[command])
    assert seen == [[rotating.refresh]]
    assert rotating.refresh != ORIGIN


@pytest.mark.parametrize("command", ["check", "edit", "add"])
def test_killed_between_token_and_api_no_token_is_lost(intctl: Intctl, rotating: Vendor, command: str) -> None:
    """kill -9 between the rotation and the API's reply: the next process uses the new token."""
    if command != "add":
        intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    with connect(intctl.target) as database:
        database.run("UPDATE oauth_tokens SET expires_at = {now}")
    words = {
        "check": ["check", "Calendar"],
        "edit": ["edit", "Calendar", "--set", "client_id=x"],
        "add": ["add", "oauth", "-f", "-"],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "intctl", *words],
        env={**intctl.environ, **SECRETS},
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    rotating.before_api = lambda: os.kill(process.pid, signal.SIGKILL)
    process.communicate(rotating.manifest() if command == "add" else None, timeout=30)
    assert process.returncode == -signal.SIGKILL
    rotating.before_api = lambda: None
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]
    with connect(intctl.target) as database:
        shift(database, "lease_expires_at", 1000)
    if command == "add":
        (row,) = intctl("list", "-o", "json").json
        assert row["status"] == "inactive"
    intctl("check", "Calendar")
    if command == "edit":
        intctl("edit", "Calendar", "--set", "client_id=x")
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]


def test_test_writes_nothing(intctl: Intctl) -> None:
    """`test NAME` exchanges the token, healthy or not, and changes no table."""
    with serving(Vendor("google", rotating=False)) as vendor:
        intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
        before, exchanges, calls = snapshot(intctl), vendor.exchanges, vendor.calls
        (tested,) = intctl("test", "Calendar", "-o", "json").json
        assert (tested["verdict"], tested["facts"]["token_exchanged"]) == ("healthy", True)
        assert (vendor.exchanges, vendor.calls) == (exchanges + 1, calls + 1)
        vendor.refresh = "refresh-token-77"
        (tested,) = intctl("test", "Calendar", "-o", "json", code=1).json
        assert (tested["code"], tested["facts"]["token_exchanged"]) == ("reauthorise", False)
        assert snapshot(intctl) == before


def test_test_does_not_spend_what_it_may_not_keep(intctl: Intctl, rotating: Vendor) -> None:
    """If the provider replaces the token, `test NAME` sends nothing and names the command to run instead."""
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    before, exchanges, calls = snapshot(intctl), rotating.exchanges, rotating.calls
    (tested,) = intctl("test", "Calendar", "-o", "json", code=1).json
    assert (tested["verdict"], tested["code"]) == ("unknown", "self.token_single_use")
    assert "intctl check" in tested["next_step"]
    assert (snapshot(intctl), rotating.exchanges, rotating.calls) == (before, exchanges, calls)
    assert "intctl check" in intctl("test", "Calendar", "--spend-token", code=2).err
    # troubleshoot makes the exchange and saves the new token.
    assert intctl("troubleshoot", "Calendar", "-o", "json").json["facts"]["token_exchanged"] is True
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]
    intctl("check", "Calendar")
    assert rotating.dead == 0
    nothing_shown(intctl)


def test_only_the_agent_may_use_what_it_got_before(intctl: Intctl, vendor: Vendor) -> None:
    """A scheduled check uses the stored access token for at most 30 minutes; a manual check never does."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    exchanges = vendor.exchanges

    def scheduled() -> Any:
        with connect(intctl.target) as database:
            shift(database, "next_check_at", 7200)
        intctl("agent", "--once")
        with connect(intctl.target) as database:
            return database.rows("SELECT metadata FROM integration_health_logs ORDER BY checked_at, id")[-1]["metadata"]

    log = scheduled()
    assert (log["verdict"], log["facts"]["token_exchanged"], vendor.exchanges) == ("healthy", False, exchanges)
    good = vendor.refresh
    vendor.refresh = "refresh-token-77"  # revoked: the issued access token still works
    assert scheduled()["verdict"] == "healthy"
    for command in ("check", "reconnect"):
        (found,) = intctl(command, "Calendar", "-o", "json", code=1).json
        assert (found["code"], found["facts"]["token_exchanged"]) == ("reauthorise", False)
    vendor.refresh = good
    intctl("check", "Calendar")
    with connect(intctl.target) as database:
        (row,) = database.rows("SELECT expires_at, {now} AS now_at FROM oauth_tokens")
        assert 1000 < (row["expires_at"] - row["now_at"]).total_seconds() <= 1800
        database.run("UPDATE oauth_tokens SET expires_at = {after 30}")
    exchanges = vendor.exchanges
    assert scheduled()["facts"]["token_exchanged"] is True
    assert vendor.exchanges == exchanges + 1


def test_an_add_that_fails_after_the_rotation_keeps_the_token(intctl: Intctl, rotating: Vendor) -> None:
    """The new token is saved in a disabled row and reported; once the API works, apply activates it."""
    rotating.api_status = 500
    ran = intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), code=1, **SECRETS)
    assert "Calendar was saved disabled" in ran.err
    (row,) = intctl("list", "-o", "json").json
    assert (row["status"], row["last_health_check"]) == ("inactive", None)
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]
    assert intctl("agent", "--once").out == "checked 0\n"
    rotating.api_status = 200
    intctl("toggle", "Calendar", "--on")
    intctl("check", "Calendar")
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]
    nothing_shown(intctl)


@pytest.mark.parametrize("command", ["add", "apply"])
@pytest.mark.parametrize("change", [{}, {"client_id": "another"}])
def test_what_was_kept_is_finished_by_the_same_command(
    intctl: Intctl, rotating: Vendor, command: str, change: dict[str, str]
) -> None:
    """A second run, even with a corrected file, completes the draft with the newest token."""
    words = {"add": ["add", "oauth", "-f", "-"], "apply": ["apply", "-f", "-"]}[command]
    rotating.api_status = 500
    assert "Run the same command again" in intctl(*words, stdin=rotating.manifest(), code=1, **SECRETS).err
    (draft,) = intctl("list", "-o", "json").json
    rotating.api_status = 200
    manifest = rotating.manifest(**change)
    assert f"Created Calendar ({draft['id']}): healthy" in intctl(*words, stdin=manifest, **SECRETS).out
    (row,) = intctl("list", "-o", "json").json
    assert (row["id"], row["status"], row["verdict"]) == (draft["id"], "active", "healthy")
    assert "Unchanged" in intctl("apply", "-f", "-", stdin=manifest, **SECRETS).out
    intctl("check", "Calendar")
    assert (rotating.dead, len(snapshot(intctl)["oauth_tokens"])) == (0, 1)


def test_a_draft_that_somebody_switched_on_is_theirs(intctl: Intctl, rotating: Vendor) -> None:
    """A draft that the user enabled is an integration: add rejects its name, apply does not change it."""
    rotating.api_status = 500
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), code=1, **SECRETS)
    rotating.api_status = 200
    intctl("reconnect", "Calendar")
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), code=4, **SECRETS)
    assert "Unchanged" in intctl("apply", "-f", "-", stdin=rotating.manifest(), **SECRETS).out


def batch(*vendors: Vendor, wrong: bool) -> str:
    """A file with an integration for each vendor, and one whose test fails."""
    found = [json.loads(one.manifest()) | {"name": f"Calendar {number}"} for number, one in enumerate(vendors, 1)]
    closed = {"name": "Closed", "provider": "tcp", "config": {"host": "127.0.0.1", "port": 1}}
    return json.dumps({"integrations": [*found, closed] if wrong else found})


@pytest.mark.case("terminal S2")
@pytest.mark.parametrize("count", [1, 2])
def test_apply_reports_every_row_that_it_keeps(intctl: Intctl, count: int) -> None:
    """A healthy integration of a failed batch whose token was replaced is reported as kept, and then completed."""
    with ExitStack() as stack:
        vendors = [stack.enter_context(serving(Vendor("microsoft", rotating=True))) for _ in range(count)]
        ran = intctl("apply", "-f", "-", "-o", "json", stdin=batch(*vendors, wrong=True), code=1, **SECRETS)
        names = [f"Calendar {number}" for number in range(1, count + 1)]
        assert {row["name"]: row["action"] for row in ran.json} == dict.fromkeys(names, "kept") | {"Closed": "failed"}
        assert all(f"{name} was saved disabled" in ran.err for name in names)
        assert f"Nothing was saved but {count} token{'s' * (count > 1)}.\n" in ran.err
        assert sorted(row["name"] for row in intctl("list", "-o", "json").json) == names

        ran = intctl("apply", "--dry-run", "-f", "-", stdin=batch(*vendors, wrong=True), **SECRETS)
        assert ran.out.count("would be completed") == count
        assert f"{count + 1} to change (1 created, 0 updated, {count} completed), 0 unchanged" in ran.out

        ran = intctl("apply", "-f", "-", stdin=batch(*vendors, wrong=True), code=1, **SECRETS)
        assert ran.out.count(" kept ") == count
        assert f"0 changed (0 created, 0 updated), 0 unchanged, 1 not saved, {count} kept" in ran.out

        intctl("apply", "-f", "-", stdin=batch(*vendors, wrong=False), **SECRETS)
        assert {row["status"] for row in intctl("list", "-o", "json").json} == {"active"}
        assert [vendor.dead for vendor in vendors] == [0] * count
    nothing_shown(intctl)


@pytest.mark.case("terminal S2")
def test_a_replaced_token_of_a_stored_integration_is_counted(intctl: Intctl, rotating: Vendor) -> None:
    """A change that is not saved, but whose test replaced the stored token, is no "Nothing was saved."."""
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    rotating.api_status = 500
    ran = intctl(
        "edit",
        "Calendar",
        "-f",
        "-",
        stdin=rotating.manifest(tenant_id="tenant.example", client_id="b"),
        code=1,
        **SECRETS,
    )
    assert "Nothing was saved but 1 token.\n" in ran.err
    assert "was saved disabled" not in ran.err


@pytest.mark.case("terminal S2")
def test_a_row_that_a_conflict_leaves_is_reported(intctl: Intctl, rotating: Vendor) -> None:
    """If another process takes a name of the batch during the tests, the rows that stay are reported all the same."""
    closed = {"name": "Other", "provider": "goodhire", "config": {"api_key": {"env": "CLIENT_SECRET"}}}
    calendar = json.loads(rotating.manifest())
    rotating.before_api = lambda: take_name(intctl, closed)
    text = json.dumps({"integrations": [calendar, closed]})
    ran = intctl("apply", "-f", "-", stdin=text, code=4, **SECRETS)
    assert "Calendar was saved disabled" in ran.err


def take_name(intctl: Intctl, manifest: dict[str, Any]) -> None:
    """Add the integration in another process."""
    subprocess.run(
        [sys.executable, "-m", "intctl", "add", manifest["provider"], "-f", "-"],
        env={**intctl.environ, **SECRETS},
        input=json.dumps(manifest),
        text=True,
        check=True,
        capture_output=True,
    )


def test_an_add_that_fails_without_a_rotation_saves_nothing(intctl: Intctl) -> None:
    """If the refresh token stays valid, a failed add stores nothing."""
    with serving(Vendor("google", rotating=False)) as vendor:
        vendor.api_status = 500
        before = snapshot(intctl)
        ran = intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), code=1, **SECRETS)
        assert "Nothing was saved" in ran.err and "kept" not in ran.err
        assert snapshot(intctl) == before


def test_a_changed_client_secret_is_proven(intctl: Intctl, vendor: Vendor) -> None:
    """A new secret is tested at the token endpoint despite a valid stored access token."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    exchanges = vendor.exchanges
    ran = intctl("edit", "Calendar", "--secret", "client_secret", stdin="client-secret-wrong\n", code=1)
    assert "http.auth.rejected" in ran.err
    assert vendor.exchanges == exchanges + 1
    intctl("check", "Calendar")
    vendor.secret = "client-secret-2"
    intctl("edit", "Calendar", "--secret", "client_secret", stdin="client-secret-2\n")
    assert opened(intctl, vendor.provider) == [(vendor.access[-1], vendor.refresh)]
    with connect(intctl.target) as database:
        database.run("UPDATE oauth_tokens SET expires_at = {now}")
    intctl("check", "Calendar")
    nothing_shown(intctl)


def test_a_failed_edit_proves_nothing_for_the_next(intctl: Intctl, rotating: Vendor) -> None:
    """The access token of a failed edit is not used for the secret of the next edit."""
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    rotating.api_status = 500
    intctl("edit", "Calendar", "--set", "client_id=x", code=1)
    rotating.api_status = 200
    ran = intctl("edit", "Calendar", "--secret", "client_secret", stdin="client-secret-wrong\n", code=1)
    assert "http.auth.rejected" in ran.err
    intctl("check", "Calendar")
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == [rotating.refresh]


def test_an_edit_does_not_put_back_a_token_that_an_agent_replaced(intctl: Intctl, rotating: Vendor) -> None:
    """A token rotated during the test of an edit is not overwritten by the edit's older token."""
    intctl("add", "oauth", "-f", "-", stdin=rotating.manifest(), **SECRETS)
    (id,) = [row["id"] for row in intctl("list", "-o", "json").json]

    def meanwhile() -> None:
        rotating.before_api = lambda: None
        rotating.refresh = "refresh-token-99"
        ring, origin = keyring.load({}, intctl.home), Secret(ORIGIN)
        with connect(intctl.target) as database:
            binding = Binding(ORG_ID, id, "oauth:microsoft")
            store = SealedTokens(database, ring, binding, name="", origin=origin, config="another")
            store.save(Tokens(Secret("access-token-99"), 2e9, Secret(rotating.refresh), origin), store.load())

    rotating.before_api = meanwhile
    intctl("edit", "Calendar", "--set", "client_id=x")
    assert [refresh for _, refresh in opened(intctl, "microsoft")] == ["refresh-token-99"]
    intctl("check", "Calendar")


def test_a_revoked_token_asks_to_authorise_again(intctl: Intctl, vendor: Vendor) -> None:
    """invalid_grant is `reauthorise`; a new token in the manifest fixes it and removes the old row."""
    intctl("add", "oauth", "-f", "-", stdin=vendor.manifest(), **SECRETS)
    vendor.refresh = "refresh-token-77"
    with connect(intctl.target) as database:
        database.run("UPDATE oauth_tokens SET expires_at = {now}")
    (checked,) = intctl("check", "Calendar", "-o", "json", code=1).json
    assert (checked["verdict"], checked["code"]) == ("down", "reauthorise")
    new = {**SECRETS, "REFRESH_TOKEN": "refresh-token-77"}
    intctl("apply", "-f", "-", stdin=vendor.manifest(), **new)
    assert opened(intctl, vendor.provider) == [(vendor.access[-1], vendor.refresh)]
    (row,) = intctl("list", "-o", "json").json
    assert (row["status"], row["verdict"]) == ("active", "healthy")
    nothing_shown(intctl)


# --- a client certificate

_WATCH = """
import os, sys
found = []
def hook(event, arguments):
    if event == "shutil.rmtree" and str(arguments[0]).startswith(os.environ["TMPDIR"]):
        for name in os.listdir(arguments[0]):
            found.append(open(os.path.join(arguments[0], name), "rb").read())
sys.addaudithook(hook)
import atexit
atexit.register(lambda: sys.stderr.write("FILES " + repr([text.decode() for text in found])))
sys.argv = ["intctl", *sys.argv[1:]]
from intctl.cli import main
main()
"""


def test_a_client_certificate_through_add_and_check(intctl: Intctl, ca: Authority, tmp_path: Path) -> None:
    """ADP gets the client certificate; its private key is in no temporary file, and none remains."""
    certificate, key = ca.client_certificate()
    folder = tmp_path / "tmp"
    folder.mkdir()
    left: list[list[str]] = []

    def token(_request: Request) -> Answer:
        left.append([str(path) for path in folder.rglob("*")])
        return Answer(200, {"access_token": "access-token-1", "expires_in": 3600, "token_type": "Bearer"})

    context = ca.server_context(client_authority=ca)
    with http_server({"/auth/oauth/v2/token": token}, context=context) as server:
        config = {
            "client_id": "client",
            "client_secret": {"env": "CLIENT_SECRET"},
            "client_certificate": certificate,
            "client_private_key": {"env": "KEY"},
            "ca_file": ca.file,
            "base_url": server.url,
        }
        manifest = json.dumps({"name": "Payroll", "provider": "adp", "config": config})
        environ = {**intctl.environ, "CLIENT_SECRET": SECRET, "KEY": key, "TMPDIR": str(folder)}
        for words in (["add", "adp", "-f", "-"], ["check", "Payroll"]):
            ran = subprocess.run(
                [sys.executable, "-c", _WATCH, *words],
                env=environ,
                input=manifest,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert ran.returncode == 0, ran.stderr
            files = ran.stderr.partition("FILES ")[2]
            assert "BEGIN CERTIFICATE" in files, "the watch saw the file that OpenSSL reads"
            lines = [line for line in key.splitlines() if line and "-----" not in line]
            assert not any(line in files + ran.stdout for line in lines)
            assert "BEGIN ENCRYPTED PRIVATE KEY" in files
        assert left == [[], []]
        stranger = json.loads(manifest)
        with_other = Authority(tmp_path).client_certificate()
        stranger["config"]["client_certificate"], other_key = with_other
        stranger["name"] = "Stranger"
        given = {"CLIENT_SECRET": SECRET, "KEY": other_key}
        refused = intctl("add", "adp", "-f", "-", stdin=json.dumps(stranger), code=1, **given)
        assert "Nothing was saved" in refused.err
    assert list(folder.iterdir()) == []
