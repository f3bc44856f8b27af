"""The texts of an alert, built from values without a stored row."""

from __future__ import annotations

import pytest

from intctl.health.codes import CODES
from intctl.health.judge import MAX_REJECTIONS
from intctl.views import alerts
from intctl.views.steps import next_step


def test_a_refused_credential_is_replaced() -> None:
    """The command names the secret, and the next step reports stopped scheduled logins."""
    facts = {"secret_fields": ["password"]}
    command = alerts.command_of("smtp.auth.rejected", "Company mail", facts, failing=True)
    assert command == "intctl edit 'Company mail' --secret password"
    going_on = alerts.next_step_of("smtp.auth.rejected", "Company mail", facts, rejections=MAX_REJECTIONS - 1)
    assert going_on == next_step("smtp.auth.rejected", "Company mail", facts)
    stopped = alerts.next_step_of("smtp.auth.rejected", "Company mail", facts, rejections=MAX_REJECTIONS)
    assert (
        stopped
        == f"{going_on} Scheduled logins stopped after {MAX_REJECTIONS} rejections, to avoid locking the account."
    )
    assert alerts.has_stopped(MAX_REJECTIONS) and not alerts.has_stopped(None)


@pytest.mark.parametrize(("failing", "command"), [(True, "intctl reconnect A"), (False, "intctl check A")])
def test_any_other_cause_is_tried_again(failing: bool, command: str) -> None:
    """A failure suggests reconnect, an uncheckable integration check; an unknown code works too."""
    for code in ("connect.timeout", "of.another.version", ""):
        assert alerts.command_of(code, "A", {}, failing=failing) == command
    assert alerts.command_of("smtp.auth.rejected", "A", {"secret_fields": ["x y", 5]}, failing=True) == "intctl edit A"
    assert alerts.next_step_of("of.another.version", "A", {}) == "Run intctl check A."


def test_message_and_impact() -> None:
    """A failure has its own message; an uncheckable integration has its code's meaning and no known impact."""
    meaning = CODES["self.key_missing"].meaning
    assert alerts.message_of("self.key_missing", "old", failing=False) == meaning
    busy = alerts.message_of("provider.busy", "old", "421 No client certificate presented", failing=False)
    assert busy == f"{CODES['provider.busy'].meaning}: 421 No client certificate presented"
    assert alerts.message_of("self.key_missing", "It said no", failing=True) == "It said no"
    assert alerts.message_of("", None, failing=True) == "in error; no check recorded the cause"
    assert alerts.impact_of("email", failing=True) == "Emails not sending"
    assert alerts.impact_of("unheard_of", failing=True) == alerts.impact_of("custom", failing=True)
    assert alerts.impact_of("email", failing=False) == "Unknown: it cannot be checked"
