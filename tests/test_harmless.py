"""An invalid password is not tried for ever: in seven days of the agent at most three logins reach the server.

Stored times are shifted back between the passes; the database's clock stays real.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from intctl.health.judge import MAX_REJECTIONS

from .agent_rig import Fleet, finished
from .servers import SmtpServer, authority, smtp_server

DAYS = 7
RIGHT, WRONG = "the-right-password", "the-wrong-password"


@pytest.fixture
def server(fleet: Fleet) -> Iterator[SmtpServer]:
    """A mail server, integrated with a wrong password; and an integration without a server."""
    with authority() as ca, smtp_server(ca, users={"apikey": RIGHT}) as made, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        fleet.add({"Unreachable": f"http://127.0.0.1:{closed.getsockname()[1]}/"})
        config = {
            "host": made.host,
            "port": made.port,
            "security": "starttls",
            "username": "apikey",
            "password": {"env": "MAIL_PASSWORD"},
            "from_email": "noreply@company.example",
            "from_name": "Company",
            "ca_file": ca.file,
        }
        manifest = json.dumps({"name": "Email", "provider": "smtp", "config": config})
        _run(fleet, "add", "smtp", "-f", "-", "--no-test", stdin=manifest, MAIL_PASSWORD=WRONG)
        yield made


def _run(fleet: Fleet, *words: str, stdin: str | None = None, code: int = 0, **environ: str) -> str:
    ended, out, err = finished(fleet.start(*words, stdin=stdin, **environ))
    assert ended == code, err
    return out


def _live(fleet: Fleet, days: int, *, step_s: int) -> None:
    """Run an agent every `step_s` seconds for `days`."""
    for _ in range(days * 86400 // step_s):
        fleet.once()
        fleet.pass_time("next_check_at", step_s)


def _checks(fleet: Fleet, name: str) -> int:
    return sum(log["name"] == name for log in fleet.logs())


@pytest.mark.parametrize("step_s", [10800, pytest.param(300, marks=pytest.mark.slow)])
def test_seven_days_with_a_wrong_password(fleet: Fleet, server: SmtpServer, step_s: int) -> None:
    """Three logins reach the server, and alerts says that they stopped; the unreachable one is still checked."""
    _live(fleet, DAYS, step_s=step_s)
    assert [(login[1], login[2], login[3]) for login in server.logins] == [("apikey", WRONG, False)] * MAX_REJECTIONS
    assert _checks(fleet, "Email") == MAX_REJECTIONS
    # A long outage is checked less often, but at least once in two intervals (of five minutes).
    assert DAYS * 86400 // max(step_s, 600) <= _checks(fleet, "Unreachable") <= DAYS * 86400 // step_s
    (alert,) = [one for one in json.loads(_run(fleet, "alerts", "-o", "json")) if one["name"] == "Email"]
    assert (alert["code"], alert["scheduled_checks_stopped"]) == ("smtp.auth.rejected", True)
    assert "Scheduled logins stopped after 3 rejections" in _run(fleet, "alerts")


@pytest.mark.parametrize(
    "words",
    [("check", "Email"), ("reconnect", "Email"), ("edit", "Email", "--secret", "password")],
    ids=["check", "reconnect", "edit"],
)
def test_a_person_starts_it_again(fleet: Fleet, server: SmtpServer, words: tuple[str, ...]) -> None:
    """After a successful login on demand, scheduled checks go on."""
    _live(fleet, 1, step_s=3600)
    assert len(server.logins) == MAX_REJECTIONS
    if words[0] == "edit":
        _run(fleet, *words, stdin=f"{RIGHT}\n")
    else:
        server.users["apikey"] = WRONG
        _run(fleet, *words)
    assert server.logins[MAX_REJECTIONS:] == [("PLAIN", "apikey", RIGHT if words[0] == "edit" else WRONG, True)]
    _live(fleet, 1, step_s=3600)
    later = server.logins[MAX_REJECTIONS + 1 :]
    assert len(later) >= 23 and all(login[3] for login in later)
    assert fleet.statuses()["Email"] == "active"


def test_a_check_that_is_refused_again_opens_no_flood(fleet: Fleet, server: SmtpServer) -> None:
    """A check of an invalid password on demand counts as one rejection: two more on schedule, then none."""
    _live(fleet, 1, step_s=3600)
    _run(fleet, "check", "Email", code=1)
    _live(fleet, 1, step_s=3600)
    assert len(server.logins) == 2 * MAX_REJECTIONS
