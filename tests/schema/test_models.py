"""The models: one set of Python types on both databases, and no secret in a repr."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlmodel import Session, select

from intctl.db.connect import connect
from intctl.db.ids import new_id
from intctl.db.url import Target
from intctl.schema.additions import Schedule
from intctl.schema.engine import engine
from intctl.schema.specification import HealthLog, Integration, OAuthToken, RetryConfig, Webhook, WebhookDelivery

MOMENT = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=timezone(timedelta(hours=2)))
CANARY = "canary-secret"


def _integration(org_id: str) -> Integration:
    return Integration(
        id=new_id(),
        org_id=org_id,
        type="email",
        provider="smtp",
        name="É 'x' %s :y",
        config={"ct": CANARY, "n": [1, None]},
        status="active",
        health_check_interval_minutes=5,
        last_sync=MOMENT,
    )


def test_both_doors_return_the_same_values(target: Target, org_id: str) -> None:
    """Ids are str, times aware UTC, JSON plain Python: by model and by named SQL, on both databases."""
    made, one = engine(target), _integration(org_id)
    id = one.id
    with Session(made) as session:
        session.add(one)
        session.flush()
        session.add(HealthLog(id=new_id(), integration_id=id, check_type="auto", status="success", details={"ä": 1.5}))
        session.add(Schedule(integration_id=id, next_check_at=MOMENT))
        session.commit()
    with Session(made) as session:
        by_model = session.exec(select(Integration)).one().model_dump()
        log = session.exec(select(HealthLog)).one()
        schedule = session.exec(select(Schedule)).one()
    made.dispose()
    with connect(target) as database:
        by_name = database.row("SELECT * FROM integrations")
        assert database.row("SELECT metadata FROM integration_health_logs") == {"metadata": {"ä": 1.5}}
    assert by_model == by_name
    assert (by_model["id"], by_model["org_id"]) == (id, org_id)
    assert by_model["last_sync"] == MOMENT
    assert by_model["last_sync"].tzinfo == by_model["created_at"].tzinfo == UTC
    assert abs(by_model["created_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert by_model["config"] == {"ct": CANARY, "n": [1, None]}
    assert (log.details, schedule.next_check_at, schedule.lease_token) == ({"ä": 1.5}, MOMENT, 0)


def test_the_databases_defaults_have_the_same_form(target: Target, org_id: str) -> None:
    """Rows that name no value get the specification's defaults, read as the same types."""
    with connect(target) as database:
        database.run(
            "INSERT INTO integrations (org_id, type, provider, name, config) VALUES (:org, 'a', 'b', 'c', :config)",
            {"org": org_id, "config": {}},
        )
        row = database.row("SELECT * FROM integrations")
        assert row is not None
        database.run("INSERT INTO integration_retry_config (org_id) VALUES (:org)", {"org": org_id})
    assert len(row["id"]) == 36
    assert row["id"][14] == "4"
    assert row["id"][19] in "89ab"
    assert (row["status"], row["health_check_interval_minutes"], row["error_count"]) == ("inactive", 5, 0)
    assert (row["config_version"], row["deleted_at"], row["last_sync"]) == (1, None, None)
    assert abs(row["updated_at"] - datetime.now(UTC)) < timedelta(minutes=1)
    made = engine(target)
    with Session(made) as session:
        retry = session.exec(select(RetryConfig)).one()
        assert (retry.max_retries, retry.retry_strategy, retry.enable_jitter) == (3, "exponential", True)
    made.dispose()


def test_lists_and_tokens_come_back_as_they_were(target: Target, org_id: str) -> None:
    """Arrays, JSON null and sealed texts make the round trip."""
    made, one = engine(target), _integration(org_id)
    id = one.id
    with Session(made) as session:
        session.add(one)
        hook = Webhook(id=new_id(), org_id=org_id, name="w", url="https://x", secret=CANARY, events=["a", "b,c"])
        session.add(hook)
        session.flush()
        session.add(OAuthToken(id=new_id(), integration_id=id, access_token=CANARY, expires_at=MOMENT))
        session.add(WebhookDelivery(id=new_id(), webhook_id=hook.id, event_type="e", payload=[1], request_headers=None))
        session.commit()
    with Session(made) as session:
        assert session.exec(select(Webhook)).one().events == ["a", "b,c"]
        delivery = session.exec(select(WebhookDelivery)).one()
        assert (delivery.payload, delivery.request_headers) == ([1], None)
        assert session.exec(select(OAuthToken)).one().expires_at == MOMENT
    made.dispose()


def test_a_repr_shows_no_secret(org_id: str) -> None:
    """Config, tokens and webhook secrets are not in a model's repr, nor in its str."""
    one = _integration(org_id)
    token = OAuthToken(id=new_id(), integration_id=one.id, access_token=CANARY, refresh_token=CANARY)
    hook = Webhook(id=new_id(), org_id=org_id, name="w", url="https://x", secret=CANARY, events=[])
    for shown in (one, token, hook):
        assert CANARY not in repr(shown) + str(shown)
        assert shown.id in repr(shown)


@pytest.mark.parametrize("broken", ["{", "", "not json"])
def test_a_damaged_config_is_returned_as_it_is(broken: str, sqlite_target: Target, org_id: str) -> None:
    """A text that is no JSON breaks no query, on either door."""
    with connect(sqlite_target) as database:
        database.run(
            "INSERT INTO integrations (org_id, type, provider, name, config) VALUES (:org, 'a', 'b', 'c', :broken)",
            {"org": org_id, "broken": broken},
        )
        assert database.row("SELECT config FROM integrations") == {"config": broken}
    made = engine(sqlite_target)
    with Session(made) as session:
        assert session.exec(select(Integration)).one().config == broken
    made.dispose()
