"""No secret leaks: every secret field of every provider, over all commands and forced failures.

Searched, in several encodings: all output, the bytes of the database, the data and temporary
folders, the command lines of all processes while they run, and the environment of a child.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from intctl.db.connect import connect
from intctl.db.url import POSTGRESQL, SQLITE
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.authority import Authority as SandboxAuthority
from intctl.sandbox.manifests import manifests as every_way
from intctl.sandbox.vendors import VENDORS

from ..conftest import database_url
from ..servers import Answer, Authority, RawServer, Request, http_server, raw_server
from .conftest import CANARY, Intctl, MailHost
from .test_admin import due_now
from .test_change import on_a_terminal

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Variables of the examples with values that are not secret.
NO_SECRET = ("CERTIFICATE", "USERNAME")
#: Providers that reject no wrong credential: they are never contacted, or have no credential.
UNPROVEN = {name for name, vendor in VENDORS.items() if not vendor.routes}
TABLES = (
    "organizations", "integrations", "integration_schedules", "integration_health_logs", "oauth_tokens", "webhooks",
    "webhook_deliveries", "integration_retry_config", "agent_passes", "integration_transitions",
)  # fmt: skip


def canary(label: str) -> str:
    """A unique secret for each place; escaping, quoting and encoding all change it."""
    return f'cnry-{label}-"7f/3a%9c&d+\\Zq8'


def spellings(secret: str) -> set[bytes]:
    """The forms in which a secret may leak: plain, in base64 at each offset, escaped, reversed."""
    raw = secret.encode()
    found = {raw, raw[::-1], json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()}
    found |= {quote(secret, safe="").encode(), quote_plus(secret).encode(), quote(secret).encode(), raw.hex().encode()}
    for offset in range(3):  # inside of `user:secret` it starts anywhere; the ends depend on the neighbours
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * offset + raw)[4 if offset else 0 : -4])
    if "-----" in secret:  # a key: no line of it may leak
        found |= {line.encode() for line in secret.splitlines() if len(line) > 40}
    assert all(len(form) >= 16 for form in found)
    return found


@dataclass
class Hunt:
    """All collected output, and the secrets to search it for."""

    secrets: set[str] = field(default_factory=set)
    seen: dict[str, bytes] = field(default_factory=dict)

    def keep(self, where: str, what: bytes) -> None:
        self.seen[where] = self.seen.get(where, b"") + what

    def keep_folder(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.keep(f"file {path}", path.name.encode() + b"\n" + path.read_bytes())

    def keep_rows(self, intctl: Intctl) -> None:
        if intctl.target.dialect == SQLITE:
            self.keep_folder(intctl.target.path.parent)  # the file and its WAL
        with connect(intctl.target) as database:
            for table in TABLES:
                if database.dialect == POSTGRESQL:
                    rows: list[Any] = database.rows(f"SELECT CAST(t AS text) AS text FROM {table} t")
                else:
                    rows = database.rows(f"SELECT * FROM {table}")
                self.keep(f"table {table}", "\n".join(str(row) for row in rows).encode())

    def found(self) -> list[str]:
        """The places of leaked secrets, with the preceding text."""
        forms = {form for secret in self.secrets for form in spellings(secret)}
        hits = [(where, what.find(form), what) for where, what in self.seen.items() for form in forms if form in what]
        around = ((where, what[max(at - 120, 0) : at + 12].decode(errors="replace")) for where, at, what in hits)
        return sorted(f"{where}: …{text}" for where, text in around)


class CommandLines:
    """Read the command lines of this process's descendants repeatedly while in use."""

    def __init__(self, hunt: Hunt) -> None:
        self._hunt = hunt
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _watch(self) -> None:
        known: set[bytes] = set()
        while not self._stop.wait(0.01):
            for line in map(_command_line, _descendants(os.getpid())):
                if line not in known:
                    known.add(line)
                    self._hunt.keep("/proc/*/cmdline", line + b"\n")


def _descendants(pid: int) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:  # the process ended during the read
        return
    for task in tasks:
        try:
            children = [int(word) for word in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            yield child
            yield from _descendants(child)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def process(intctl: Intctl, hunt: Hunt, *words: str, stdin: str = "", script: str = "", **environ: str) -> int:
    """Run intctl as a child process (`script` runs first in it), keep its output, return its exit code."""
    start = f"import sys\nsys.argv[0] = 'intctl'\n{script}\nfrom intctl.cli import main\nmain()\n"
    ran = subprocess.run(
        [sys.executable, "-c", start, *words],
        input=stdin.encode(),
        env={**intctl.environ, **environ},
        capture_output=True,
        timeout=60,
    )
    hunt.keep(f"process {' '.join(words)}", ran.stdout + ran.stderr)
    return ran.returncode


@pytest.fixture
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("canary-sandbox")) as made:
        yield made


@pytest.fixture
def hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hunt]:
    """The search; at its end it found nothing, and was able to find something."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    made = Hunt()
    with CommandLines(made):
        yield made
    made.keep_folder(temporary)
    assert made.secrets and made.seen
    assert made.found() == []


def secrets_of(box: Sandbox) -> set[str]:
    """All secrets of the sandbox: the credentials of the examples and the issued tokens."""
    names = {variable for variable in box.environ() if not variable.endswith(NO_SECRET)}
    found = {box.environ()[name] for name in names}
    for account in box.accounts.values():
        found |= account.access_tokens | account.refresh_tokens
    return found


# --- the search itself


def test_the_hunt_finds_a_secret_in_every_spelling() -> None:
    """The search finds each encoding within other text; otherwise an empty result proves nothing."""
    secret = canary("self")
    for text in (
        secret.encode(),
        json.dumps({"password": secret}).encode(),
        b"Basic " + base64.b64encode(f"user:{secret}!".encode()),
        b"x" + base64.b64encode(f"ab{secret}\n".encode()),
        f"token={quote(secret, safe='')}&".encode(),
        repr({"a": secret}).encode(),
    ):
        assert Hunt({secret}, {"there": b"before " + text + b" after"}).found(), text
    assert Hunt({secret}, {"there": b"cnry-other"}).found() == []


# --- all commands, all providers


def manifests(box: Sandbox) -> list[dict[str, Any]]:
    """One manifest for each provider of the catalogue, at the sandbox."""
    found = []
    for provider in catalogue.names():
        one = yaml.safe_load((EXAMPLES / f"{provider}.yaml").read_text())
        for setting in box.settings(provider):
            name, _, value = setting.partition("=")
            one["config"][name] = int(value) if name == "port" else value
        found.append(one)
    return found


def together(found: list[dict[str, Any]]) -> str:
    return json.dumps({"integrations": found})


@cache
def stranger_key() -> str:
    """A valid RSA key that no vendor knows."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode()


def wrong_environ(box: Sandbox) -> dict[str, str]:
    """A wrong value for every variable of the sandbox: a unique canary, or an unknown key."""
    certificate, key = SandboxAuthority().client("stranger.invalid")
    found = {name: canary(name) for name in box.environ()} | {"GOOGLE_PRIVATE_KEY": stranger_key()}
    return {**found, "ADP_CLIENT_CERTIFICATE": certificate, "ADP_CLIENT_PRIVATE_KEY": key}


def wrong_manifests(box: Sandbox) -> list[dict[str, Any]]:
    """Each provider again under another name, with every login method."""
    found = {name: yaml.safe_load(text) for name, text in every_way(box, every_way=True).items()}
    return [{**one, "name": f"Wrong {name}"} for name, one in found.items()]


def test_every_secret_field_is_planted(box: Sandbox) -> None:
    """The manifests of this file set every secret field of every provider by reference."""
    planted = {
        (one["provider"], name)
        for one in [*manifests(box), *wrong_manifests(box)]
        for name, value in one["config"].items()
        if isinstance(value, dict) and "env" in value
    }
    providers = [catalogue.get(name) for name in catalogue.names()]
    wanted = {(one.name, name) for one in providers if one is not None for name in one.secrets}
    assert wanted - planted == set()


def test_no_command_lets_a_secret_out(intctl: Intctl, box: Sandbox, hunt: Hunt) -> None:
    """Right and wrong credentials of the whole catalogue, through every command, on both databases."""
    right, wrong = box.environ(), wrong_environ(box)
    hunt.secrets |= {value for name, value in wrong.items() if not name.endswith(NO_SECRET)}
    good, bad = together(manifests(box)), together(wrong_manifests(box))

    assert process(intctl, hunt, "init") == 0
    assert process(intctl, hunt, "apply", "-f", "-", stdin=good, **right) == 0
    assert process(intctl, hunt, "apply", "-f", "-", stdin=good, **right) == 0
    assert process(intctl, hunt, "test", "-f", "-", stdin=bad, **wrong) == 1
    assert process(intctl, hunt, "apply", "-f", "-", "--no-test", stdin=bad, **wrong) == 0
    assert process(intctl, hunt, "check", "--all") == 1
    # One by one, all on SQLite and a third on PostgreSQL: what differs there is the database, not the provider.
    part = 1 if intctl.target.dialect == SQLITE else 3
    for one in wrong_manifests(box)[::part]:
        text = json.dumps({**one, "name": f"Other {one['name']}"})
        refused = None if one["provider"] in UNPROVEN else 1
        intctl("add", one["provider"], "-f", "-", "-o", "json", stdin=text, code=refused, **wrong)
        assert one["name"] in intctl("show", one["name"]).out
        intctl("test", one["name"], "-o", "yaml", code=refused)
        intctl("reconnect", one["name"], code=refused)
    for one in manifests(box)[::part]:
        provider = catalogue.get(one["provider"])
        assert provider is not None
        for secret in sorted(provider.secrets & one["config"].keys()):
            if secret != "client_private_key":  # a multi-line secret does not fit on one line of standard input
                given = canary(f"edit-{provider.name}-{secret}")
                hunt.secrets.add(given)
                refused = None if one["provider"] in UNPROVEN else 1
                intctl("edit", one["name"], "--secret", secret, stdin=f"{given}\n", code=refused)
    intctl("edit", "Company mail", "--set", "from_name=Somebody", "-o", "yaml")
    due_now(intctl)
    assert process(intctl, hunt, "agent", "--once") == 0
    for style in ("table", "json", "yaml", "csv", "name"):
        for words in (["list"], ["alerts"], ["logs", "--limit", "500"], ["metrics"], ["org", "list"]):
            intctl(*words, "-o", style)
        for one in (*manifests(box), *wrong_manifests(box))[::part]:
            if style in ("json", "csv"):
                intctl("show", one["name"], "-o", style)
    for words in (["dashboard"], ["stats"], ["check", "--nagios", "Wrong smtp"], ["show", "Company mail", "--reveal"]):
        intctl(*words, code=None)
    intctl("toggle", "Company mail", "--off")
    intctl("interval", "Company mail", "7")
    intctl("synced", "Company mail", "--failed", "no space")
    intctl("delete", "Company mail", "--yes")
    intctl("restore", "Company mail")

    # Forced failures: configs that cannot be opened, and a missing key.
    with connect(intctl.target) as database:
        config = database.rows("SELECT config FROM integrations WHERE name = 'Wrong smtp'")[0]["config"]
        database.run("UPDATE integrations SET config = :config WHERE name = 'Wrong ses'", {"config": config})
        database.run("UPDATE integrations SET config = :config WHERE name = 'Wrong http'", {"config": {"v": 1}})
    for name in ("Wrong ses", "Wrong http"):
        for words in (["show", name], ["check", name], ["test", name], ["edit", name, "--set", "from_name=x"]):
            intctl(*words, code=None)
    (intctl.home / "keyring.json").rename(intctl.home / "elsewhere.json")
    keys = (intctl.home / "elsewhere.json").read_text()
    for words in (["check", "--all"], ["show", "Wrong smtp"], ["agent", "--once"]):
        intctl(*words, code=None)

    hunt.keep("in this process", intctl.said.encode())
    hunt.keep_rows(intctl)
    hunt.keep_folder(intctl.home)
    hunt.secrets |= secrets_of(box)
    assert {len(secret) for secret in hunt.secrets} and len(hunt.secrets) > 40
    (key,) = re.findall(r"ick1_[\w-]{20}", keys)
    everywhere = b"".join(what for where, what in hunt.seen.items() if "elsewhere.json" not in where)
    assert key.encode() not in everywhere and b"process check" not in everywhere


# --- servers that repeat the secret


@pytest.mark.parametrize("status", [200, 302, 401, 403, 500])
def test_a_server_that_says_the_credential_back(
    intctl: Intctl, hunt: Hunt, box: Sandbox, ca: Authority, status: int
) -> None:
    """A credential that a vendor repeats in status line, headers or body is neither shown nor stored."""
    wrong = wrong_environ(box)
    hunt.secrets |= {value for name, value in wrong.items() if not name.endswith(NO_SECRET)}

    def echo(request: Request) -> Answer:
        said = request.headers.get("authorization", "") + request.headers.get("x-api-key", "")
        clear = base64.b64decode(said[6:]).decode() if said.startswith("Basic ") else said
        form = " ".join(value for _, value in parse_qsl(request.body.decode()))
        shown = f"{said} {clear} {form}"
        names = ("error", "error_description", "message", "code", "status", "id", "sid", "name", "access_token", "kind")
        body: dict[str, object] = dict.fromkeys(names, shown)
        if len(request.body) > 40 and status == 200:
            body |= {"token_type": "Bearer", "expires_in": 3600, "access_token": form, "scope": shown}
        plain = "".join(char for char in clear if 32 <= ord(char) < 127)
        headers = {
            "WWW-Authenticate": f'Basic realm="{plain}"',
            "Location": f"/{quote(plain)}",
            "X-Request-Id": plain,
            "Retry-After": plain,
        }
        return Answer(status, body, headers)

    with http_server({}, ca) as server:
        server.answer = echo  # type: ignore[method-assign]
        here = {"base_url": server.url, "ca_file": str(ca.file)}
        found = [
            {**one, "config": {**one["config"], **here}}
            for one in wrong_manifests(box)
            if "base_url" in one["config"] and one["provider"] not in UNPROVEN
        ]
        intctl("apply", "-f", "-", "-o", "json", stdin=together(found), code=None, **wrong)
        intctl("apply", "-f", "-", "--no-test", stdin=together(found), code=None, **wrong)
        intctl("check", "--all", "-o", "json", code=None)
        assert len(server.requests) >= 2 * len(found)
    for words in (["alerts"], ["logs", "-o", "json"], ["dashboard"]):
        intctl(*words)
    for one in found:
        intctl("show", one["name"], "-o", "json")
    hunt.keep("in this process", intctl.said.encode())
    hunt.keep_rows(intctl)


@pytest.mark.parametrize("code", ["535 5.7.8", "454 4.7.0", "235 2.7.0", "599"])
def test_a_mail_server_that_says_the_password_back(intctl: Intctl, hunt: Hunt, code: str) -> None:
    """A password that a mail server repeats in its replies is never shown."""
    secret = canary("mail")
    hunt.secrets.add(secret)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: RawServer) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        said = b""
        while line := await reader.readline():
            server.got += line
            if line.upper().startswith(b"EHLO"):
                writer.write(b"250-mail.example " + said + b"\r\n250 AUTH PLAIN\r\n")
            elif line.upper().startswith(b"AUTH PLAIN"):
                said = base64.b64decode(line.split()[2]).replace(b"\0", b" ")
                writer.write(f"{code} no: ".encode() + said + b" " + line.split()[2] + b"\r\n")
            elif line.upper().startswith(b"QUIT"):
                writer.write(b"221 bye " + said + b"\r\n")
                return
            else:
                writer.write(b"550 " + said + b" not for you\r\n")

    with raw_server(serve) as server:
        config = {
            "host": server.host,
            "port": server.port,
            "security": "none",
            "username": "user",
            "password": {"env": "MAIL_PASSWORD"},
            "from_email": "a@example.org",
        }
        text = json.dumps({"name": "Mail", "provider": "smtp", "config": config})
        intctl("add", "smtp", "-f", "-", stdin=text, code=None, MAIL_PASSWORD=secret)
        intctl("add", "smtp", "-f", "-", "--no-test", stdin=text, code=None, MAIL_PASSWORD=secret)
        intctl("check", "Mail", "-o", "json", code=None)
        intctl("test", "Mail", "--send-to", "b@example.org", code=None)
        assert base64.b64encode(f"\0user\0{secret}".encode()) in bytes(server.got)
    for words in (["alerts"], ["logs", "-o", "json"], ["show", "Mail", "-o", "json"], ["dashboard"]):
        intctl(*words)
    hunt.keep("in this process", intctl.said.encode())
    hunt.keep_rows(intctl)


# --- crashes, the database, the editor


def test_a_crash_says_where_and_nothing_else(intctl: Intctl, hunt: Hunt) -> None:
    """A bug with the secret in its message and its variables: exit 70, and the secret is not shown."""
    secret = canary("crash")
    hunt.secrets.add(secret)
    config = {
        "host": "127.0.0.1",
        "port": 1,
        "security": "none",
        "username": "user",
        "password": {"env": "MAIL_PASSWORD"},
    }
    text = json.dumps({"name": "Mail", "provider": "smtp", "config": config})
    crash = (
        "import os\n"
        "def boom(*given, **more):\n"
        "    secret = os.environ['MAIL_PASSWORD']\n"
        "    raise {error}(f'{{given}} {{more}} {{secret}}') from ValueError(secret)\n"
    )
    command = crash.format(error="ValueError") + "import intctl.plan.trial\nintctl.plan.trial.test_manifests = boom\n"
    assert process(intctl, hunt, "test", "-f", "-", stdin=text, script=command, MAIL_PASSWORD=secret) == 70
    provider = crash.format(error="KeyError") + "from intctl.providers.smtp import Smtp\nSmtp.probe = boom\n"
    assert process(intctl, hunt, "add", "smtp", "-f", "-", stdin=text, script=provider, MAIL_PASSWORD=secret) == 70
    intctl("add", "smtp", "-f", "-", "--no-test", stdin=text, MAIL_PASSWORD=secret)
    assert process(intctl, hunt, "check", "Mail", "-o", "json", script=provider, MAIL_PASSWORD=secret) == 1
    talk = crash.format(error="RuntimeError") + "import aiosmtplib\naiosmtplib.SMTP.connect = boom\n"
    assert process(intctl, hunt, "check", "Mail", "-o", "json", script=talk, MAIL_PASSWORD=secret) == 1
    assert process(intctl, hunt, "agent", "--once", script=talk, MAIL_PASSWORD=secret) == 0
    said = b"".join(hunt.seen.values())
    assert b"this is a bug in intctl (ValueError)" in said and b"self.crash" in said
    intctl("show", "Mail", "-o", "json")
    hunt.keep("in this process", intctl.said.encode())
    hunt.keep_rows(intctl)


def test_the_database_password_is_a_secret_too(intctl: Intctl, hunt: Hunt, tmp_path: Path) -> None:
    """A missing database, a wrong URL or a crash never shows the URL's password."""
    word = "cnry-url-7f3a9cd2Zq8"
    hunt.secrets.add(word)
    wrong = (
        f"postgresql://user:{word}@127.0.0.1:1/portal",
        f"postgresql://user:{word}#x@127.0.0.1/portal",
        f"postgresql://user:{word}@x@127.0.0.1/portal",
        f"postgresql://user:x@127.0.0.1:{word}/portal",
        f"postgresql://{word} /portal",
        f"postgresql://user:{word}@127.0.0.1",
        f"postgresql://user:x@127.0.0.1/portal?password={word}",
        f"mysql://user:{word}@127.0.0.1/portal",
        f"user:{word}@127.0.0.1/portal",
    )
    url_file = tmp_path / "database.url"
    for url in wrong:
        ran = intctl("list", code=None, INTCTL_DATABASE_URL=url)
        assert ran.code in (2, 5) and ran.err.count("\n") == 1
        url_file.write_text(url)
        url_file.chmod(0o600)
        intctl("init", "--database-url-file", str(url_file), code=None)
        intctl("agent", "--once", "--budget", "5", "--database-url-file", str(url_file), code=None)
    assert process(intctl, hunt, "list", INTCTL_DATABASE_URL=wrong[0]) == 5
    if intctl.target.dialect == POSTGRESQL:
        known = replace(intctl.target, parameters={**intctl.target.parameters, "password": word})
        intctl("list", "-o", "json", INTCTL_DATABASE_URL=database_url(known))
    else:
        intctl("list", code=5, INTCTL_DATABASE_URL=f"sqlite:///{tmp_path}/gone.db")
    hunt.keep("in this process", intctl.said.encode())


def test_the_editor_gets_neither_secret_nor_key(intctl: Intctl, hunt: Hunt, email: MailHost, tmp_path: Path) -> None:
    """The file, environment and command line of $EDITOR contain no secret."""
    del email
    secret = canary("environment")
    hunt.secrets |= {secret, CANARY}
    editor = tmp_path / "editor"
    editor.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "text = open(sys.argv[1]).read() + repr(dict(os.environ)) + open('/proc/self/cmdline').read()\n"
        f"open({str(tmp_path / 'seen')!r}, 'w').write(text)\n"
    )
    editor.chmod(0o700)
    key = json.loads((intctl.home / "keyring.json").read_text())
    environ = {"EDITOR": str(editor), "SENDGRID_API_KEY": secret, "PGPASSWORD": secret, "LD_SECRET": secret}
    ran = on_a_terminal(intctl, "edit", "Email", environ=environ)
    assert ran.returncode == 0, ran.stdout
    assert "!keep" in (tmp_path / "seen").read_text()
    hunt.keep("editor", (tmp_path / "seen").read_bytes())
    hunt.keep("terminal", (ran.stdout + ran.stderr).encode())
    assert not re.findall(r"ick1_\w+", (tmp_path / "seen").read_text()) and key
