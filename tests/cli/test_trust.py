"""Files and folders are judged by owner and mode before they are trusted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intctl import trust

from ..servers import Answer, Authority, HttpServer, http_server
from .conftest import CANARY, Intctl, MailHost

#: Another user of this machine.
OTHER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user requires root")
COMMANDS = {
    "test": ("test", "-f", "-"),
    "add": ("add", "smtp", "-f", "-"),
    "apply": ("apply", "-f", "-"),
    "dry run": ("apply", "--dry-run", "-f", "-"),
}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


# --- keyrings ------------------------------------------------------------------------------------


_MOUNTED = """
mount -t tmpfs none "$1" && cp -p "$2" "$1/keyring.json" && chmod "$3" "$1/keyring.json" && chown "$4" "$1/keyring.json"
printf canary-of-mount > "$1/a" && cp "$1/a" "$1/b" && chmod "$3" "$1/a" "$1/b"
mount -o remount,ro "$1" && shift 4 && exec "$@"
"""
mounts = pytest.mark.skipif(
    shutil.which("unshare") is None
    or bool(
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode
    ),
    reason="requires the right to mount",
)


@mounts
@pytest.mark.case("F08")
@pytest.mark.parametrize("owner", [0, OTHER])
@pytest.mark.parametrize("mode", ["0400", "0440", "0444", "0644", "0666"])
def test_a_keyring_on_a_read_only_mount_is_accepted(intctl: Intctl, tmp_path: Path, mode: str, owner: int) -> None:
    """Its mode and owner are the platform's: there is a warning at most, and no advice that must fail."""
    mount = tmp_path / "mount"
    mount.mkdir()
    text = "name: X\nprovider: smtp\nconfig: {host: 127.0.0.1, port: 9, username: u, password: {file: %s}}\n"
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(text.replace("X", name) % (mount / name))
    script = "from intctl.cli import main; main()"
    words = ("apply", "--dry-run", *(str(tmp_path / f"{name}.yaml") for name in ("a", "b")))
    mounted = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", str(mount), str(intctl.home / "keyring.json")]
    ran = subprocess.run(
        [*mounted, mode, str(owner), sys.executable, "-c", script, *words],
        env={**intctl.environ, "INTCTL_KEYRING_FILE": str(mount / "keyring.json")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "chmod" not in ran.stderr and "chown" not in ran.stderr
    expected = 0 if int(mode, 8) & 0o077 == 0 else 2
    if mode == "0440":  # the group of this user
        expected = 0
    assert ran.stderr.count("warning: ") == expected  # one for the keyring, one for all secrets


# --- secrets and authorities of manifests --------------------------------------------------------


@pytest.fixture
def author() -> Iterator[HttpServer]:
    """The server that the manifest names."""
    with http_server({"/": Answer()}) as server:
        yield server


def token(author: HttpServer, path: Path) -> str:
    return f"name: X\nprovider: http\nconfig:\n  url: {author.url}/\n  auth: bearer\n  token: {{file: {path}}}\n"


@pytest.mark.case("security 17")
@pytest.mark.parametrize("command", ["test", "apply", "dry run"])
@pytest.mark.parametrize("mode", [0o620, 0o660, 0o622, 0o602, 0o666])
def test_a_secret_that_others_can_change_is_refused(
    intctl: Intctl, author: HttpServer, tmp_path: Path, mode: int, command: str
) -> None:
    """The message has the command that mends it, and nothing is sent."""
    path = tmp_path / "token"
    path.write_text("canary-token")
    path.chmod(mode)
    ran = intctl(*COMMANDS[command], stdin=token(author, path), code=2)
    assert f"Run: chmod go-w {path}" in ran.err
    assert author.requests == []


@pytest.mark.case("security 17")
@pytest.mark.parametrize(
    ("mode", "words"),
    [(0o600, ""), (0o400, ""), (0o640, "of its group"), (0o604, "by all users"), (0o644, "by all users")],
)
def test_a_secret_that_others_can_read_is_a_warning(
    intctl: Intctl, author: HttpServer, tmp_path: Path, mode: int, words: str
) -> None:
    """One warning for each, with the command that mends it."""
    path = tmp_path / "token"
    path.write_text("canary-token")
    path.chmod(mode)
    ran = intctl("apply", "--dry-run", "-f", "-", stdin=token(author, path))
    assert ran.err.count("warning: ") == bool(words)
    assert not words or (words in ran.err and f"Run: chmod 600 {path}" in ran.err)


@needs_root
@pytest.mark.case("security 17")
def test_a_secret_of_another_user_is_a_warning(intctl: Intctl, author: HttpServer, tmp_path: Path) -> None:
    """That user can read and change it."""
    path = tmp_path / "token"
    path.write_text("canary-token")
    path.chmod(0o600)
    os.chown(path, OTHER, OTHER)
    ran = intctl("apply", "--dry-run", "-f", "-", stdin=token(author, path))
    assert f"{path} belongs to another user (uid {OTHER}). Run: chown 0 {path}" in ran.err


def writable(path: Path) -> None:
    path.chmod(0o666)


def of_a_group(path: Path) -> None:
    path.chmod(0o664)


def of_another_user(path: Path) -> None:
    os.chown(path, OTHER, OTHER)


def in_an_open_folder(path: Path) -> None:
    path.parent.chmod(0o777)


WEAK = [writable, of_a_group, pytest.param(of_another_user, marks=needs_root), in_an_open_folder]


@pytest.fixture
def anchor(tmp_path: Path, ca: Authority) -> Path:
    """A certificate authority's file, alone in its folder."""
    path = tmp_path / "trusted" / "ca.pem"
    path.parent.mkdir(mode=0o755)
    shutil.copyfile(ca.file, path)
    path.chmod(0o644)
    return path


@pytest.mark.case("security 17")
@pytest.mark.parametrize("weaken", WEAK)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_authority_that_others_can_change_is_refused(
    intctl: Intctl, mail_starttls: MailHost, anchor: Path, weaken: Callable[[Path], None], command: str
) -> None:
    """Another user who can change ca_file gets the password: nothing is sent."""
    weaken(anchor)
    ran = intctl(*COMMANDS[command], stdin=mail_starttls.manifest(ca_file=str(anchor)), MAIL_PASSWORD=CANARY, code=2)
    assert "ca_file: " in ran.err and "Run: ch" in ran.err
    assert mail_starttls.server.logins == []


@pytest.mark.case("security 17")
@pytest.mark.parametrize("weaken", WEAK)
def test_an_authority_is_judged_again_at_each_check(
    intctl: Intctl, mail_starttls: MailHost, anchor: Path, weaken: Callable[[Path], None]
) -> None:
    """A ca_file whose mode was changed after it was saved is not used."""
    intctl("add", "smtp", "-f", "-", stdin=mail_starttls.manifest(ca_file=str(anchor)), MAIL_PASSWORD=CANARY)
    before = len(mail_starttls.server.logins)
    weaken(anchor)
    ran = intctl("check", "Email", "-o", "json", code=1)
    assert ran.json[0]["code"] == "self.ca_file"
    assert "Run: ch" in intctl("check", "Email", code=1).out
    assert len(mail_starttls.server.logins) == before


@pytest.mark.case("security 17")
def test_a_private_file_in_a_sticky_folder_is_trusted(public: Path) -> None:
    """Other users can neither change nor replace a file of this user in /tmp."""
    public.chmod(0o1777)
    path = public / "ca.pem"
    path.write_text("x")
    path.chmod(0o644)
    assert trust.anchor_problem(str(path), path.stat()) == ""


@pytest.mark.case("security 17")
@pytest.mark.parametrize(("mode", "code"), [(0o600, 0), (0o640, 0), (0o644, 0), (0o660, 2), (0o622, 2)])
def test_the_file_of_a_database_url_is_judged(intctl: Intctl, tmp_path: Path, mode: int, code: int) -> None:
    """It decides where the database's password goes."""
    path = tmp_path / "url"
    path.write_text(intctl.environ["INTCTL_DATABASE_URL"])
    path.chmod(mode)
    ran = intctl("--database-url-file", str(path), "list", code=code)
    assert ("Run: chmod" in ran.err) == (mode != 0o600)


@pytest.mark.case("security 17")
def test_a_manifest_that_all_can_change_is_a_warning(intctl: Intctl, author: HttpServer, tmp_path: Path) -> None:
    """A manifest decides where secrets go; a checkout with a wide umask still works."""
    path = tmp_path / "m.yaml"
    path.write_text(token(author, tmp_path / "token"))
    (tmp_path / "token").write_text("canary-token")
    (tmp_path / "token").chmod(0o600)
    path.chmod(0o664)
    assert intctl("apply", "--dry-run", "-f", str(path)).err == ""
    path.chmod(0o666)
    assert f"Run: chmod go-w {path}" in intctl("apply", "--dry-run", "-f", str(path)).err


# --- the data folder -----------------------------------------------------------------------------

LINES = ["init", "list", "agent --once", "check --all", "add tcp --no-test -f -", "test X", "dashboard", "org list"]
MANIFEST = "name: X\nprovider: tcp\nconfig: {host: 127.0.0.1, port: 9}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


@pytest.mark.case("security 16")
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_data_folder_that_others_may_write_to_is_refused(intctl: Intctl, home: Path, line: str, mode: int) -> None:
    """Nothing in it is read, and nothing is created."""
    home.mkdir()
    home.chmod(mode)
    ran = intctl(*line.split(), stdin=MANIFEST, code=2, INTCTL_HOME=str(home), INTCTL_DATABASE_URL="")
    assert f"{home} (mode {mode:04o})" in ran.err
    assert ("Set INTCTL_HOME" if mode & 0o1000 else f"Run: chmod go-w {home}\n") in ran.err
    assert list(home.iterdir()) == []


@pytest.mark.case("security 16")
def test_the_command_of_the_message_mends_the_folder(intctl: Intctl, home: Path) -> None:
    """After it, init works."""
    home.mkdir()
    home.chmod(0o777)
    ran = intctl("init", code=2, INTCTL_HOME=str(home), INTCTL_DATABASE_URL="")
    subprocess.run(ran.err.partition("Run: ")[2], shell=True, check=True)
    intctl("init", INTCTL_HOME=str(home), INTCTL_DATABASE_URL="")
    assert sorted(path.name for path in home.iterdir()) == ["intctl.db", "keyring.json"]


@needs_root
@pytest.mark.case("security 16")
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_data_folder_of_another_user_is_refused(intctl: Intctl, home: Path, line: str, kind: str) -> None:
    """Its owner can replace what is in it, and so can the owner of a link to it."""
    if kind == "link":
        (home.parent / "real").mkdir(mode=0o700)
        home.symlink_to("real")
    else:
        home.mkdir(mode=0o700)
    os.chown(home, OTHER, OTHER, follow_symlinks=False)
    ran = intctl(*line.split(), stdin=MANIFEST, code=2, INTCTL_HOME=str(home), INTCTL_DATABASE_URL="")
    assert (
        f"{home} belongs to another user (uid {OTHER}). Run intctl as that user: sudo -u '#{OTHER}' intctl" in ran.err
    )
    assert list(home.iterdir()) == []


@pytest.mark.case("security 16")
def test_a_folder_of_this_user_in_a_sticky_one_is_accepted(intctl: Intctl, public: Path) -> None:
    """As in /tmp, and over a link of this user."""
    public.chmod(0o1777)
    (public / "link").symlink_to("data")
    intctl("init", INTCTL_HOME=str(public / "data"), INTCTL_DATABASE_URL="")
    intctl("list", INTCTL_HOME=str(public / "link"), INTCTL_DATABASE_URL="")


@pytest.mark.case("security 16")
def test_a_data_folder_that_is_not_used_is_not_judged(intctl: Intctl, home: Path) -> None:
    """With a named database and keyring, its mode decides nothing."""
    home.mkdir()
    home.chmod(0o777)
    intctl("check", "--all", INTCTL_HOME=str(home), INTCTL_KEYRING_FILE=str(intctl.home / "keyring.json"))


@pytest.mark.case("security 16")
@pytest.mark.parametrize("line", ["init", "list", "agent --once"])
def test_a_database_is_never_made_at_the_end_of_a_link(intctl: Intctl, home: Path, tmp_path: Path, line: str) -> None:
    """A dangling link, laid by a neighbour, would choose the place of the database."""
    home.mkdir(mode=0o700)
    (home / "intctl.db").symlink_to(tmp_path / "chosen.db")
    ran = intctl(*line.split(), code=5, INTCTL_HOME=str(home), INTCTL_DATABASE_URL="")
    assert "is a link that leads to no file" in ran.err
    assert not (tmp_path / "chosen.db").exists()


@needs_root
@pytest.mark.case("security 16")
@pytest.mark.parametrize("line", ["init", "list", "agent --once"])
def test_a_link_of_another_user_is_no_database(intctl: Intctl, public: Path, line: str) -> None:
    """In a sticky folder, another user can lay a link under the name of the database."""
    public.chmod(0o1777)
    (public / "home").mkdir(mode=0o700)
    home = str(public / "home")
    intctl("init", INTCTL_DATABASE_URL=f"sqlite:///{public}/real.db", INTCTL_HOME=home)
    (public / "x.db").symlink_to("real.db")
    os.chown(public / "x.db", OTHER, OTHER, follow_symlinks=False)
    ran = intctl(*line.split(), code=5, INTCTL_DATABASE_URL=f"sqlite:///{public}/x.db", INTCTL_HOME=home)
    assert "is a link that another user made" in ran.err
