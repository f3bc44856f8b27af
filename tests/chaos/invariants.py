"""The invariants of the database as SQL, and the triggers that record what the SQL needs.

`runner` adds triggers to the test's database that record each claim, each ended lease, and each log row with its
present lease. `broken` runs every query of INVARIANTS: rows are violations, and are reported with their query.
"""

from __future__ import annotations

from typing import Any

from intctl.db.connect import Database, connect
from intctl.db.url import POSTGRESQL, Target

#: The credential of every config, which must appear nowhere else.
CANARY = "canary-7f31c0de-never-shown"

_TABLES = """
CREATE TABLE seen_claims (integration_id {id}, token BIGINT, owner TEXT, too_early BOOLEAN);
CREATE TABLE seen_ends (integration_id {id}, token BIGINT, owner TEXT, given_back BOOLEAN);
CREATE TABLE seen_logs (integration_id {id}, token BIGINT, standing BIGINT, held BOOLEAN)"""

_POSTGRESQL = """
CREATE FUNCTION see_schedule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.lease_token <> OLD.lease_token THEN
    INSERT INTO seen_claims VALUES (NEW.integration_id, NEW.lease_token, NEW.lease_owner,
                                    OLD.lease_owner IS NOT NULL AND OLD.lease_expires_at > clock_timestamp());
  ELSIF OLD.lease_owner IS NOT NULL AND NEW.lease_owner IS NULL THEN
    INSERT INTO seen_ends VALUES (OLD.integration_id, OLD.lease_token, OLD.lease_owner,
                                  NEW.attempts = OLD.attempts - 1 AND NEW.next_check_at IS NOT DISTINCT FROM
                                  OLD.next_check_at);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER see_schedule AFTER UPDATE ON integration_schedules FOR EACH ROW EXECUTE FUNCTION see_schedule();
CREATE FUNCTION see_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO seen_logs SELECT NEW.integration_id, NEW.lease_token, s.lease_token, TRUE
    FROM integration_schedules s WHERE s.integration_id = NEW.integration_id;
  RETURN NULL;
END $$;
CREATE TRIGGER see_log AFTER INSERT ON integration_health_logs FOR EACH ROW WHEN (NEW.lease_token IS NOT NULL)
EXECUTE FUNCTION see_log()"""

_SQLITE = """
CREATE TRIGGER see_claim AFTER UPDATE ON integration_schedules WHEN NEW.lease_token <> OLD.lease_token BEGIN
  INSERT INTO seen_claims VALUES (NEW.integration_id, NEW.lease_token, NEW.lease_owner,
    OLD.lease_owner IS NOT NULL AND OLD.lease_expires_at > strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')); END;
CREATE TRIGGER see_end AFTER UPDATE ON integration_schedules
  WHEN NEW.lease_token = OLD.lease_token AND OLD.lease_owner IS NOT NULL AND NEW.lease_owner IS NULL BEGIN
  INSERT INTO seen_ends VALUES (OLD.integration_id, OLD.lease_token, OLD.lease_owner,
    NEW.attempts = OLD.attempts - 1 AND NEW.next_check_at IS OLD.next_check_at); END;
CREATE TRIGGER see_log AFTER INSERT ON integration_health_logs WHEN NEW.lease_token IS NOT NULL BEGIN
  INSERT INTO seen_logs SELECT NEW.integration_id, NEW.lease_token, s.lease_token, TRUE
    FROM integration_schedules s WHERE s.integration_id = NEW.integration_id; END"""

_NEWEST = """
  SELECT l.* FROM integration_health_logs l WHERE l.lease_token = (
    SELECT max(n.lease_token) FROM integration_health_logs n WHERE n.integration_id = l.integration_id)"""

#: Queries by name; each row of a query is a violation.
INVARIANTS = {
    "I1 at most one log row for each integration and token": """
SELECT integration_id, lease_token, count(*) AS rows FROM integration_health_logs WHERE lease_token IS NOT NULL
 GROUP BY integration_id, lease_token HAVING count(*) > 1""",
    "I2 tokens rise in the order of the log": """
SELECT a.integration_id, a.lease_token, b.lease_token AS later FROM integration_health_logs a
  JOIN integration_health_logs b ON b.integration_id = a.integration_id
 WHERE a.checked_at < b.checked_at AND a.lease_token >= b.lease_token""",
    "I2 no row is written under a token that is no longer the newest (a stale write)": """
SELECT integration_id, token, standing FROM seen_logs WHERE token <> standing""",
    "I3 the newest result and the status agree": f"""
SELECT i.name, i.status, l.status AS log_status, i.last_health_check, l.checked_at
  FROM integrations i JOIN ({_NEWEST}) l ON l.integration_id = i.id
 WHERE i.deleted_at IS NULL AND (
       (l.status = 'success' AND (i.status <> 'active' OR i.error_count <> 0 OR i.error_message IS NOT NULL))
    OR (l.status = 'failure' AND (i.error_count = 0 OR i.error_message IS NULL))
    OR i.last_health_check IS NULL OR {{distance}} > 5)""",
    "I4 nothing is claimed inside the valid lease of another owner": """
SELECT integration_id, token, owner FROM seen_claims WHERE too_early""",
    "I5 everything that is enabled was checked, and is planned within two intervals": """
SELECT i.name, s.next_check_at, s.attempts FROM integrations i JOIN integration_schedules s ON s.integration_id = i.id
 WHERE i.status IN ('active', 'error') AND i.deleted_at IS NULL AND (
       NOT EXISTS (SELECT 1 FROM integration_health_logs l WHERE l.integration_id = i.id AND l.checked_at > {ago})
    OR s.next_check_at IS NULL OR s.next_check_at > {latest})""",
    "I6 owner and expiry of a lease are both there or both not": """
SELECT integration_id, lease_owner, lease_expires_at FROM integration_schedules
 WHERE (lease_owner IS NULL) <> (lease_expires_at IS NULL)""",
    "I7 no transaction is left open": "{idle}",
    "I8 every log row belongs to an integration of an organisation": """
SELECT l.id FROM integration_health_logs l LEFT JOIN integrations i ON i.id = l.integration_id
  LEFT JOIN organizations o ON o.id = i.org_id WHERE o.id IS NULL""",
    "I9 every token was claimed exactly once": """
SELECT s.integration_id, s.lease_token, (
       SELECT count(*) FROM seen_claims c WHERE c.integration_id = s.integration_id) AS claims
  FROM integration_schedules s WHERE s.lease_token <> (
       SELECT count(*) FROM seen_claims c WHERE c.integration_id = s.integration_id)""",
    "I9 a lease that was ended was recorded, paused or given back, and only one of them": """
SELECT e.integration_id, e.token, e.given_back FROM seen_ends e JOIN integrations i ON i.id = e.integration_id
 WHERE i.deleted_at IS NULL AND e.given_back = EXISTS (
         SELECT 1 FROM integration_health_logs l
          WHERE l.integration_id = e.integration_id AND l.lease_token = e.token)""",
    "I9 what was recorded ended its lease": """
SELECT l.integration_id, l.token FROM seen_logs l WHERE NOT EXISTS (
       SELECT 1 FROM seen_ends e WHERE e.integration_id = l.integration_id AND e.token = l.token)
   AND NOT EXISTS (SELECT 1 FROM seen_claims c WHERE c.integration_id = l.integration_id AND c.token > l.token)""",
    "I10 no log contains a credential": f"""
SELECT id FROM integration_health_logs WHERE CAST(metadata AS TEXT) LIKE '%{CANARY}%'
 UNION ALL SELECT id FROM integration_health_logs WHERE error_message LIKE '%{CANARY}%'
 UNION ALL SELECT id FROM integrations WHERE error_message LIKE '%{CANARY}%' OR CAST(config AS TEXT) LIKE '%{CANARY}%'
""",
}

_WORDS = {
    "postgresql": {
        "{distance}": "abs(extract(epoch FROM i.last_health_check - l.checked_at))",
        "{ago}": "clock_timestamp() - make_interval(mins => 2 * i.health_check_interval_minutes)",
        "{latest}": "clock_timestamp() + make_interval(mins => 2 * i.health_check_interval_minutes)",
        "{idle}": (
            "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%' AND clock_timestamp() - state_change > interval '1 second'"
        ),
    },
    "sqlite": {
        "{distance}": "abs(julianday(i.last_health_check) - julianday(l.checked_at)) * 86400",
        "{ago}": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', (-2 * i.health_check_interval_minutes) || ' minutes')",
        "{latest}": "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', (2 * i.health_check_interval_minutes) || ' minutes')",
        "{idle}": "SELECT integrity_check AS found FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    },
}


def runner(target: Target) -> None:
    """Add the triggers: from now on every claim, end and log row is recorded."""
    with connect(target) as database:
        if database.dialect == POSTGRESQL:
            database._connection.execute(_TABLES.replace("{id}", "UUID") + ";" + _POSTGRESQL)
        else:
            database._connection.executescript(_TABLES.replace("{id}", "TEXT") + ";" + _SQLITE)


def broken(target: Target) -> list[str]:
    """The broken invariants, each with its name, its SQL, and the rows found."""
    with connect(target) as database:
        return [told for name, sql in INVARIANTS.items() if (told := _told(database, name, sql))]


def _told(database: Database, name: str, sql: str) -> str:
    for word, meaning in _WORDS[database.dialect].items():
        sql = sql.replace(word, meaning)
    rows: list[dict[str, Any]] = database.rows(sql)
    return f"{name}: {len(rows)} violations, such as {rows[:3]}\n{sql.strip()}\n" if rows else ""


def count(target: Target, sql: str) -> int:
    """The one number that `sql` gives as `n`."""
    with connect(target) as database:
        found = database.row(sql)
    assert found is not None
    return int(found["n"])
