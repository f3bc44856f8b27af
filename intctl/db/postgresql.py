"""A PostgreSQL connection on which every wait has a limit, directly or through PgBouncer.

The server cancels a statement after 5 s and a wait for a lock after 3 s. A frozen server cancels nothing, so the
client closes the connection if a statement has not ended after 8 s.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader

from intctl.text import stored_json

#: The longest wait for a statement's reply, in seconds: longer than the server's own limit.
CUT_S = 8.0

_LIMITS = {"statement_timeout": 5000, "lock_timeout": 3000}
_IDLE = {"idle_in_transaction_session_timeout": 10000}

#: The start of a transaction, in one message. PgBouncer may refuse or ignore the start-up options, and may run the
#: next transaction on another server connection, so each transaction sets its own limits.
LIMITS = "; ".join(f"SET LOCAL {name} = {value}" for name, value in {**_LIMITS, **_IDLE}.items())
BEGIN = f"BEGIN; {LIMITS}"

_EPOCH = datetime.fromtimestamp(0, UTC)


class Cut(psycopg.OperationalError):
    """The server did not answer in time, so the client closed the connection."""


class Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection with limits on the wait for a statement. Its fields are local to this process."""

    #: The longest wait, in seconds; None for migrations.
    cut_s: float | None = CUT_S
    #: The end of every wait, as a time of the monotonic clock.
    until: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does, up to the limit."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        if self.cut_s is None:
            return (yield from gen)
        ends = monotonic() + self.cut_s
        if self.until is not None:
            ends = min(ends, self.until)
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg resumes ten times a second, ready or not
                if not ready and monotonic() >= ends:
                    self.pgconn.finish()
                    raise Cut("no answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


class _TimeLoader(Loader):
    """Read a time in UTC, whatever the zone of the session: PgBouncer may drop the start-up options.

    A time that Python has none for (infinity, before Christ) is another program's. It is the epoch, as on SQLite, so
    that one odd row does not stop a list.
    """

    def load(self, data: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(bytes(data).decode())
            return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return _EPOCH


def _json_value(data: str | bytes) -> object:
    try:
        return stored_json(data)
    except ValueError:  # nested too deeply: the code that opens the row reports it, the query does not fail
        return data.decode() if isinstance(data, bytes) else data


def open_connection(parameters: Mapping[str, str], *, patient: bool) -> Bounded:
    """Open a connection in autocommit mode. `patient`: no time limits, for migrations. Raises psycopg.Error."""
    limits = _IDLE if patient else {**_LIMITS, **_IDLE}
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    given = {
        "connect_timeout": "5",
        "application_name": "intctl",
        "tcp_user_timeout": "10000",
        "keepalives_idle": "10",
        "target_session_attrs": "read-write",
        **parameters,
    }
    try:
        connection = _connect({**given, "options": f"{options} -c timezone=UTC -c datestyle=ISO"})
    except psycopg.OperationalError as error:
        if "unsupported startup parameter" not in str(error):
            raise
        connection = _connect(given)  # PgBouncer without ignore_startup_parameters = options
    connection.adapters.register_loader("uuid", TextLoader)
    set_json_loads(_json_value, connection)
    connection.adapters.register_loader("timestamptz", _TimeLoader)
    if patient:
        connection.cut_s = None
    return connection


def _connect(parameters: Mapping[str, str]) -> Bounded:
    return Bounded.connect(**parameters, autocommit=True, prepare_threshold=None)  # type: ignore[arg-type]
