"""`intctl add` without a file: prompts on a terminal, each repeated until the answer is valid."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from intctl import keyring
from intctl.text import MASK

from ..servers import Answer, http_server
from .conftest import CANARY, Intctl, MailHost

#: Makes standard input the controlling terminal, so that Ctrl-C is a signal, and starts intctl.
_START = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from intctl.cli import main; main()"


class Terminal:
    """intctl on its own pseudo-terminal: waits for prompts and types answers."""

    def __init__(self, intctl: Intctl, words: tuple[str, ...]) -> None:
        self.intctl = intctl
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.said = self._fresh = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, *words],
            stdin=self.slave,
            stdout=subprocess.PIPE,
            stderr=self.slave,
            env=intctl.environ,
            start_new_session=True,
        )

    def type(self, text: str) -> None:
        """Type without waiting."""
        self._fresh = ""
        os.write(self.master, text.encode())

    def asked(self, start: str = "") -> str:
        """Wait for the next prompt with this prefix (Enter for all others) and return it."""
        while True:
            question = self._question()
            assert question is not None, f"{start} was not asked\n{self.said}"
            if question.startswith(start):
                return question
            self.type("\n")

    def through(self, *answers: tuple[str, str]) -> None:
        """Answer the prompts with these prefixes, in this order."""
        for question, text in answers:
            self.asked(question)
            self.type(f"{text}\n")

    def end(self) -> tuple[int, str]:
        """Press Enter at all other prompts; return the exit code and standard output."""
        while self._question() is not None:
            self.type("\n")
        assert self.process.stdout is not None
        code, out = self.process.wait(60), self.process.stdout.read().decode()
        self.intctl.said += self.said + out
        return code, out

    def _question(self) -> str | None:
        """The prompt that waits for an answer, or None when intctl has exited."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            line = self._fresh.rpartition("\n")[2]
            if line.endswith(": "):
                return line
            ended = self.process.poll() is not None
            if select.select([self.master], [], [], 0 if ended else 0.1)[0]:
                text = os.read(self.master, 65536).decode()
                self.said += text
                self._fresh += text
            elif ended:
                return None
        raise AssertionError(f"neither a question nor the end\n{self.said}")


@contextmanager
def on_a_terminal(intctl: Intctl, *words: str) -> Iterator[Terminal]:
    """Run intctl on a terminal."""
    terminal = Terminal(intctl, words)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
        terminal.process.wait()
        assert terminal.process.stdout is not None
        terminal.process.stdout.close()
        os.close(terminal.master)
        os.close(terminal.slave)


def test_answers_make_an_integration(intctl: Intctl, mail_starttls: MailHost) -> None:
    """The name comes first; invalid answers get the messages of an invalid file; then add tests and saves."""
    server = mail_starttls.server
    with on_a_terminal(intctl, "add", "smtp", "-o", "json") as terminal:
        terminal.through(
            ("Provider (", "smpt"),
            ("Provider (", "ses"),
            ("Name of the integration [Amazon SES]", "-x"),
            ("Name of the integration", "Email"),
            ("username: ", "apikey"),
            ("password: ", ""),
            ("password: ", CANARY),
            ("region: ", "eu-west-1"),
            ("host: ", "https://x"),
            ("host: ", server.host),
            ("port: ", "70000"),
            ("port: ", str(server.port)),
            ("security: ", "starttls"),
            ("ca_file: ", "/nowhere"),
            ("ca_file: ", str(mail_starttls._ca.file)),
        )
        code, out = terminal.end()
    assert code == 0, terminal.said
    for words in (
        'did you mean "smtp"?',
        "name: a name must not start with",
        "password: is empty",
        "host: a host name has no scheme",
        "port: a plain whole number from 1 to 65535 is expected",
        "ca_file: does not name an existing file",
        "optional [email-smtp.eu-west-1.amazonaws.com]: ",
    ):
        assert words in terminal.said
    assert out.startswith("[") and '"healthy"' in out
    (row,) = intctl("list", "-o", "json").json
    assert (row["name"], row["provider"], row["status"]) == ("Email", "ses", "active")
    assert server.logins
    config = intctl("show", "Email", "-o", "json").json["config"]
    assert (config["port"], config["region"], config["password"]) == (server.port, "eu-west-1", "********")


def test_what_is_wrong_together_is_asked_again(intctl: Intctl) -> None:
    """Conflicting fields get the message of an invalid file, and only they are prompted for again."""
    with http_server(
        {
            "/me": lambda request: Answer(
                200 if CANARY in request.headers.get("authorization", "") else 401, {"status": "ok"}
            )
        }
    ) as server:
        with on_a_terminal(intctl, "add", "http") as terminal:
            terminal.through(
                ("Name", "API"),
                ("url: ", f"{server.url}/me"),
                ("auth: ", "bearer"),
                ("expect_json", "status: ok"),
                ("expect_json", '{"/status": "ok"}'),
                ("base_url: ", ""),
                ("auth: ", "bearer"),
                ("token: ", CANARY),
            )
            code, out = terminal.end()
        assert code == 0, terminal.said
    assert "expect_json: a JSON pointer must begin with" in terminal.said
    assert "token: is required with auth: bearer" in terminal.said
    assert terminal.said.count("url: URL to call") == 1
    assert out.startswith("Created API (")
    config = intctl("show", "API", "-o", "json").json["config"]
    assert (config["auth"], config["method"], config["expect_json"]) == ("bearer", "GET", {"/status": "ok"})


def test_a_failed_test_saves_nothing(intctl: Intctl, mail_starttls: MailHost) -> None:
    """As with a file: a wrong password exits 1, and there is no integration."""
    server = mail_starttls.server
    with on_a_terminal(intctl, "add", "smtp") as terminal:
        terminal.through(
            ("Provider (", "smtp"),
            ("Name", "Mail"),
            ("host: ", server.host),
            ("port: ", str(server.port)),
            ("security: ", "starttls"),
            ("username: ", "apikey"),
            ("password: ", "wrong"),
            ("ca_file: ", str(mail_starttls._ca.file)),
        )
        code, _ = terminal.end()
    assert code == 1 and "smtp.auth.rejected" in terminal.said, terminal.said
    assert intctl("list", "-o", "json").json == []


def test_a_name_that_is_taken_is_asked_again(intctl: Intctl, email: MailHost) -> None:
    """A used name is rejected at its own prompt; the end of input saves nothing."""
    with on_a_terminal(intctl, "add", "checkr") as terminal:
        terminal.through(("Name of the integration [Checkr]", "EMAIL"), ("Name of the integration", "Checks"))
        terminal.asked("api_key: ")
        assert "an integration with this name already exists" in terminal.said
        terminal.type("\x04")
        code, _ = terminal.end()
    assert code == 130
    assert [row["name"] for row in intctl("list", "-o", "json").json] == ["Email"]


@pytest.mark.parametrize("question", ["Name of", "subdomain", "api_key"])
def test_ctrl_c_saves_nothing_and_leaves_the_terminal_as_it_was(intctl: Intctl, question: str) -> None:
    """Ctrl-C at a visible or hidden prompt: exit 130, no traceback, the echo is on again."""
    with on_a_terminal(intctl, "add", "bamboohr") as terminal:
        if question == "api_key":
            terminal.through(("subdomain", "acme"))
        terminal.asked(question)
        terminal.type("\x03")
        code, out = terminal.end()
        after = termios.tcgetattr(terminal.slave)
    assert (code, out) == (130, ""), terminal.said
    assert "interrupted" in terminal.said and "Traceback" not in terminal.said
    assert after == terminal.before
    assert intctl("list", "-o", "json").json == []


def test_without_a_terminal_a_file_is_needed(intctl: Intctl) -> None:
    """Without a terminal there is no prompt: exit 2 at once, even with a manifest on standard input."""
    for words in (["add", "smtp"], ["add", "smtp", "--set", "name=x"]):
        ran = intctl(*words, stdin="name: x\n", code=2)
        assert ran.out == "" and "-f FILE is required" in ran.err


def test_questions_wait_until_there_is_a_database(intctl: Intctl) -> None:
    """A missing intctl init is reported before the first prompt."""
    intctl.environ["INTCTL_DATABASE_URL"] = f"sqlite:///{intctl.home / 'none.db'}"
    with on_a_terminal(intctl, "add", "checkr") as terminal:
        code, _ = terminal.end()
    assert code == 5 and "intctl init" in terminal.said and "Name" not in terminal.said


def test_a_preset_never_sends_a_password_in_clear(intctl: Intctl) -> None:
    """Enter never selects security: none, even if the port suggests it."""
    with on_a_terminal(intctl, "add", "smtp") as terminal:
        terminal.through(
            ("Provider (", "smtp"),
            ("Name", "Mail"),
            ("host: ", "127.0.0.1"),
            ("port: ", "25"),
            ("security: ", ""),
            ("username: ", "apikey"),
            ("password: ", CANARY),
        )
        terminal.asked("port: ")
        assert "would send the password in plaintext" in terminal.said
        terminal.type("\x03")
        assert terminal.end()[0] == 130
    assert intctl("list", "-o", "json").json == []


def test_only_the_fields_of_a_problem_are_asked_again(intctl: Intctl, mail_starttls: MailHost) -> None:
    """A message that mentions the password prompts again for port and security, not for the password."""
    server = mail_starttls.server
    with on_a_terminal(intctl, "add", "smtp") as terminal:
        terminal.through(
            ("Provider (", "smtp"),
            ("Name", "Mail"),
            ("host: ", server.host),
            ("port: ", "25"),
            ("username: ", "apikey"),
            ("password: ", CANARY),
            ("ca_file: ", str(mail_starttls._ca.file)),
        )
        terminal.through(("port: ", str(server.port)), ("security: ", "starttls"))
        code, _ = terminal.end()
    assert code == 0, terminal.said
    assert "would send the password in plaintext" in terminal.said
    assert terminal.said.count("(not shown): ") == terminal.said.count("username: ") == 1


REFUSED = {MASK: "masked form", "****abcd": "masked form", "ab\u202ecd": "bidi", keyring.new_key().text(): "keyring"}


@pytest.mark.case("security 7")
@pytest.mark.parametrize("value", REFUSED, ids=["mask", "end of a mask", "bidi", "key"])
def test_a_typed_secret_is_judged_like_one_in_a_file(intctl: Intctl, value: str) -> None:
    """At the prompt of --secret, after a changed destination, and of add without a file."""
    with http_server({"/": Answer()}) as server:
        text = f"name: X\nprovider: http\nconfig: {{url: {server.url}/, auth: bearer, token: {{env: TOKEN}}}}\n"
        intctl("add", "custom", "--no-test", "-f", "-", stdin=text, TOKEN="first-token")
        for words in (
            ("edit", "X", "--secret", "token"),
            ("edit", "X", "--set", "url=http://127.0.0.1:9/", "--no-test"),
        ):
            with on_a_terminal(intctl, *words) as terminal:
                terminal.through(("New token", value))
                code, _ = terminal.end()
            assert code == 2 and f"token: {'that' if 'mask' in REFUSED[value] else ''}" in terminal.said
            assert REFUSED[value] in terminal.said
        assert server.requests == []
    with on_a_terminal(intctl, "add", "checkr") as terminal:
        terminal.through(("Name", "Checks"), ("api_key: ", value))
        terminal.asked("api_key: ")
        assert REFUSED[value] in terminal.said
        terminal.type("\x03")
        assert terminal.end()[0] == 130


@pytest.mark.case("F20")
def test_a_key_is_given_as_a_file_at_the_prompt(intctl: Intctl, private_key: str, tmp_path: Path) -> None:
    """The lines of a key cannot be typed at one prompt; a JSON key file is accepted, a public one is not."""
    text = (
        "name: X\nprovider: google\nconfig: {service_account: a@b.iam.gserviceaccount.com, private_key: {env: KEY}}\n"
    )
    intctl("add", "calendar", "--no-test", "-f", "-", stdin=text, KEY=private_key)
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"type": "service_account", "private_key": private_key}))
    path.chmod(0o600)
    with on_a_terminal(intctl, "edit", "X", "--secret", "private_key", "--no-test") as terminal:
        terminal.through(("New private_key (path of a PEM file)", str(path)))
        code, out = terminal.end()
    assert code == 0 and "nchanged" in out + terminal.said
    own = intctl.home / "keyring.json"
    for wrong, problem in ((tmp_path / "none", "there is no such file"), (own, "reserved for intctl's own keyring")):
        with on_a_terminal(intctl, "edit", "X", "--secret", "private_key", "--no-test") as terminal:
            terminal.through(("New private_key", str(wrong)))
            code, _ = terminal.end()
        assert code == 2 and problem in terminal.said
