"""References of a manifest that another person wrote: no secret of intctl itself reaches the host that it names."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intctl import keyring
from intctl.text import MASK

from ..servers import Answer, HttpServer, http_server
from .conftest import Intctl, Ran
from .test_ask import on_a_terminal

KEY = keyring.new_key().text()
#: The commands that read a manifest and send its secrets.
COMMANDS = {
    "test": ("test", "-f", "-"),
    "add": ("add", "custom", "-f", "-"),
    "apply": ("apply", "-f", "-"),
    "dry run": ("apply", "--dry-run", "-f", "-"),
    "no test": ("add", "custom", "--no-test", "-f", "-"),
}


@pytest.fixture
def author() -> Iterator[HttpServer]:
    """The server of the manifest's author."""
    with http_server({"/": Answer()}) as server:
        yield server


def manifest(author: HttpServer, reference: str) -> str:
    return f"name: X\nprovider: http\nconfig:\n  url: {author.url}/\n  auth: bearer\n  token: {reference}\n"


def refused(ran: Ran, author: HttpServer, *secrets: str) -> None:
    """Nothing was sent, and no secret is in the message."""
    assert (ran.code, author.requests) == (2, [])
    assert not any(secret in ran.out + ran.err for secret in secrets)


#: Variables that hold a secret of intctl, libpq or systemd, or lead to one.
OWN = (
    "INTCTL_ENCRYPTION_KEY", "INTCTL_DATABASE_URL", "INTCTL_PING_URL", "INTCTL_KEYRING_FILE", "INTCTL_HOME",
    "PGPASSWORD", "PGPASSFILE", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "HTTPS_PROXY", "all_proxy",
)  # fmt: skip


@pytest.mark.case("security 1")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", ["{{env: {}}}", "!env {}"])
def test_no_variable_of_intctl_is_sent(intctl: Intctl, author: HttpServer, form: str, command: str) -> None:
    """A variable of intctl, libpq or systemd is refused by name, whatever it holds."""
    for name in OWN:
        usable = name in intctl.environ or name in ("INTCTL_ENCRYPTION_KEY", "INTCTL_KEYRING_FILE")
        environ = {} if usable else {name: "canary-of-intctl"}
        ran = intctl(*COMMANDS[command], stdin=manifest(author, form.format(name)), code=2, **environ)
        refused(ran, author, "canary-of-intctl")
        assert f"{name} belongs to intctl or to its database connection" in ran.err


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a text": lambda key: f"the key is {key}.",
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of a file": lambda key: base64.b64encode(f'{{"key": "{key}"}}'.encode()).decode(),
    "base64 of another file": lambda key: base64.b64encode(f'{{"key":"{key}"}}'.encode()).decode(),
    "base64 of a third file": lambda key: base64.b64encode(f'{{"a":"{key}"}}'.encode()).decode(),
    "hex": lambda key: key.encode().hex(),
}


@pytest.mark.case("security 1")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["env", "file"])
def test_no_text_that_holds_a_key_is_sent(
    intctl: Intctl, author: HttpServer, tmp_path: Path, kind: str, spelling: str
) -> None:
    """A key in any variable or file, plain or encoded, is recognised."""
    text = SPELLINGS[spelling](KEY)
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    reference = "{env: COPY}" if kind == "env" else f"{{file: {path}}}"
    ran = intctl("test", "-f", "-", stdin=manifest(author, reference), code=2, COPY=text)
    refused(ran, author, KEY)
    assert "holds a key of intctl's own keyring" in ran.err


def own_files(intctl: Intctl, folder: Path) -> dict[str, Path]:
    """Files with secrets of intctl, each on one line, so that only the rule itself can refuse them."""
    (folder / "credentials").mkdir()
    (folder / "home").mkdir(exist_ok=True)
    return {
        "copy of the keyring": intctl.home / "keyring.json.bak",
        "any file of the data folder": intctl.home / "notes" / "x",
        "URL file": folder / "url",
        "credential": folder / "credentials" / "intctl.dsn",
        "keyring file": folder / "mounted.json",
        "passfile": folder / "passfile",
        "passfile of the user": folder / "user" / ".pgpass",
        "database": intctl.target.path if intctl.target.dialect == "sqlite" else folder / "url",
    }


@pytest.mark.case("security 1")
@pytest.mark.parametrize(
    "which",
    [
        "copy of the keyring",
        "any file of the data folder",
        "URL file",
        "credential",
        "keyring file",
        "passfile",
        "passfile of the user",
        "database",
    ],
)
def test_no_file_of_intctl_is_sent(intctl: Intctl, author: HttpServer, tmp_path: Path, which: str) -> None:
    """The data folder, the credentials, and files that options or variables name are refused, by any path."""
    files = own_files(intctl, tmp_path)
    (intctl.home / "keyring.json").rename(files["keyring file"])
    for path in files.values():
        path.parent.mkdir(exist_ok=True, parents=True)
        if not path.exists():
            path.write_text(f"{intctl.environ['INTCTL_DATABASE_URL']}?application_name=intctl")
            path.chmod(0o600)
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
        "INTCTL_KEYRING_FILE": str(files["keyring file"]),
        "PGPASSFILE": str(files["passfile"]),
        "HOME": str(tmp_path / "user"),
    }
    files["URL file"].write_text(intctl.environ["INTCTL_DATABASE_URL"])
    options = ("--database-url-file", str(files["URL file"]))
    path, link, hard = files[which], tmp_path / "link", tmp_path / "hard"
    link.symlink_to(path)
    os.link(path, hard)
    dots = path.parent / "." / ".." / path.parent.name / path.name
    for spelled in (path, link, dots, hard, Path(f"/proc/self/root{path}")):
        text = manifest(author, f"{{file: {spelled}}}")
        ran = intctl(*options, "test", "-f", "-", stdin=text, code=2, **environ)
        refused(ran, author, intctl.environ["INTCTL_DATABASE_URL"])


@pytest.mark.case("security 1")
def test_the_editor_reads_what_the_options_allow(intctl: Intctl, author: HttpServer, tmp_path: Path) -> None:
    """--allow-env and --files-below hold for the text of $EDITOR too."""
    intctl("add", "custom", "--no-test", "-f", "-", stdin=manifest(author, "{env: TOKEN}"), TOKEN="first-token")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/token: .*/token: {env: OTHER}/' \"$1\"\n")
    editor.chmod(0o755)
    intctl.environ |= {"EDITOR": str(editor), "OTHER": "canary-of-editor"}
    with on_a_terminal(intctl, "edit", "X", "--no-test", "--allow-env", "TOKEN") as terminal:
        terminal.through(("Edit it again?", "n"))
        code, _ = terminal.end()
    assert code == 2 and "OTHER is not in --allow-env" in terminal.said
    with on_a_terminal(intctl, "edit", "X", "--no-test", "--allow-env", "OTHER") as terminal:
        assert terminal.end()[0] == 0


@pytest.mark.case("security 1")
@pytest.mark.parametrize("place", ["/proc/self/environ", "/proc/self/cmdline", "/proc/version", "/sys/kernel/notes"])
def test_no_file_of_the_kernel_is_sent(intctl: Intctl, author: HttpServer, place: str) -> None:
    """/proc shows the environment of processes."""
    refused(intctl("test", "-f", "-", stdin=manifest(author, f"{{file: {place}}}"), code=2), author)


@pytest.mark.case("security 1")
@pytest.mark.parametrize("command", ["test", "add", "apply"])
def test_a_pipeline_allows_variables_by_name(intctl: Intctl, author: HttpServer, command: str) -> None:
    """With --allow-env, only the named variables are read."""
    text = manifest(author, "{env: TOKEN}")
    words = (*COMMANDS[command], "--allow-env")
    ran = intctl(*words, "OTHER,THIRD", stdin=text, code=2, TOKEN="canary-of-ci")
    refused(ran, author, "canary-of-ci")
    assert "TOKEN is not in --allow-env" in ran.err
    intctl(*words, "", stdin=text, code=2, TOKEN="canary-of-ci")
    assert author.requests == []
    intctl(*words, "OTHER, TOKEN", stdin=text, code=None, TOKEN="canary-of-ci")
    assert author.requests


@pytest.mark.case("security 1")
@pytest.mark.parametrize("command", ["test", "add", "apply"])
def test_a_pipeline_allows_files_of_a_folder(intctl: Intctl, author: HttpServer, tmp_path: Path, command: str) -> None:
    """With --files-below, links and `..` lead nowhere else."""
    inside, outside = tmp_path / "manifests", tmp_path / "outside"
    inside.mkdir()
    for path in (outside, inside / "token"):
        path.write_text("canary-of-ci")
        path.chmod(0o600)
    (inside / "link").symlink_to(outside)
    (inside / "good").symlink_to("token")
    words = (*COMMANDS[command], "--files-below", str(inside))
    for path in (outside, inside / "link", inside / ".." / "outside"):
        ran = intctl(*words, stdin=manifest(author, f"{{file: {path}}}"), code=2)
        refused(ran, author, "canary-of-ci")
        assert "not in the folder of --files-below" in ran.err
    missing = intctl(*COMMANDS[command], "--files-below", str(tmp_path / "none"), stdin="", code=2)
    assert "is not a folder" in missing.err
    intctl(*words, stdin=manifest(author, f"{{file: {inside / 'good'}}}"), code=None)
    assert author.requests


@pytest.mark.case("security 7")
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (MASK, "masked form"),
        ("****abcd", "masked form"),
        ("ab\x1bcd", "control"),
        ("ab\0cd", "control"),
        ("ab\rcd", "control"),
        ("ab\u202ecd", "control"),
        ("x" * 10_000, "longer than"),
        ("x" * 1_048_576, "larger than 64 KiB|longer than"),
        pytest.param(KEY, "keyring", id="key"),
    ],
)
def test_a_secret_is_judged_alike_however_it_comes(
    intctl: Intctl, author: HttpServer, tmp_path: Path, value: str, problem: str
) -> None:
    """What a file may not hold is refused from standard input too, and after a changed destination."""
    intctl("add", "custom", "--no-test", "-f", "-", stdin=manifest(author, "{env: TOKEN}"), TOKEN="first-token")
    (tmp_path / "token").write_text(value)
    (tmp_path / "token").chmod(0o600)
    stated = json.dumps(str(tmp_path / "token"))
    for words, text in {
        ("test", "-f", "-"): manifest(author, f"{{file: {stated}}}"),
        ("edit", "X", "--secret", "token"): value + "\n",
        ("edit", "X", "--secret", "token", "--no-test"): value + "\n",
        ("edit", "X", "--set", "url=https://other.example/", "--secret", "token", "--no-test"): value + "\n",
    }.items():
        ran = intctl(*words, stdin=text, code=2)
        assert re.search(problem, ran.err)
        assert value[:8] not in ran.out + ran.err or value == MASK
    assert author.requests == []


CONFIG = "{service_account: a@b.iam.gserviceaccount.com, private_key: {env: KEY}}"


@pytest.mark.case("security 7")
@pytest.mark.parametrize("way", ["file", "standard input"])
@pytest.mark.parametrize(
    "value", ["no key", MASK, "-----BEGIN PRIVATE KEY-----", '{"type": "service_account"}', "a\x1bb"]
)
def test_a_key_is_judged_alike_however_it_comes(intctl: Intctl, private_key: str, way: str, value: str) -> None:
    """A field that holds a key refuses another text from standard input, as it does from a file."""
    text = f"name: X\nprovider: google\nconfig: {CONFIG}\n"
    if way == "file":
        ran = intctl("test", "-f", "-", stdin=text, KEY=value, code=2)
    else:
        intctl("add", "calendar", "--no-test", "-f", "-", stdin=text, KEY=private_key)
        ran = intctl("edit", "X", "--secret", "private_key", "--no-test", stdin=f"{value}\n", code=2)
    assert re.search("private_key: (is not PEM text|that is the masked form)", ran.err)


FORMS: dict[str, Callable[[str], str]] = {
    "itself": str,
    "carriage returns": lambda key: key.replace("\n", "\r\n"),
    "escaped": lambda key: key.replace("\n", "\\n"),
    "escaped carriage returns": lambda key: key.replace("\n", "\\r\\n"),
    "escaped and quoted": json.dumps,
    "blanks": lambda key: key.replace("\n", " "),
    "one line": lambda key: key.replace("\n", ""),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 in lines": lambda key: base64.encodebytes(key.encode()).decode(),
    "byte order mark": lambda key: f"\ufeff{key}",
    "JSON key file": lambda key: json.dumps({"type": "service_account", "private_key": key}, indent=2),
    "base64 of a JSON key file": lambda key: base64.b64encode(json.dumps({"private_key": key}).encode()).decode(),
}


@pytest.mark.case("F20")
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_accepted_in_the_forms_of_variables(intctl: Intctl, private_key: str, form: str) -> None:
    """A key from .env files, pipelines and JSON key files is stored in the same form."""
    text = f"name: X\nprovider: google\nconfig: {CONFIG}\n"
    intctl("add", "calendar", "--no-test", "-f", "-", stdin=text, KEY=FORMS[form](private_key))
    again = intctl("apply", "--no-test", "-f", "-", stdin=text, KEY=private_key)
    assert again.out.startswith("Unchanged")
    value = FORMS[form](private_key)
    edited = intctl("edit", "X", "--secret", "private_key", "--no-test", stdin=f"{value}\n")
    assert "nchanged" in edited.out + edited.err


@pytest.mark.case("F20")
def test_a_key_is_read_from_standard_input_among_others(intctl: Intctl, private_key: str) -> None:
    """The lines of a key belong to it, before another secret and after one; others have a line each."""
    certificate = private_key.replace("PRIVATE KEY", "CERTIFICATE")
    text = (
        "name: X\nprovider: adp\nconfig: {client_id: a, client_secret: {env: S}, client_certificate: {env: C}, "
        "client_private_key: {env: KEY}}\n"
    )
    intctl("add", "adp", "--no-test", "-f", "-", stdin=text, KEY=private_key, S="first", C=certificate)
    names = ("client_private_key", "client_secret")
    for order in (names, names[::-1]):
        given = {"client_private_key": private_key, "client_secret": "other\n"}
        options = [word for name in order for word in ("--secret", name)]
        intctl("edit", "X", *options, "--no-test", stdin="".join(given[name] for name in order))
        again = intctl("apply", "--no-test", "-f", "-", stdin=text, KEY=private_key, S="other", C=certificate)
        assert again.out.startswith("Unchanged")
        intctl("apply", "--no-test", "-f", "-", stdin=text, KEY=private_key, S="first", C=certificate)
    for wrong, problem in (("", "No client_private_key was given"), ("\n\n", "No client_private_key"), ("x", "PEM")):
        ran = intctl("edit", "X", "--secret", names[0], "--no-test", stdin=wrong, code=2)
        assert problem in ran.err
