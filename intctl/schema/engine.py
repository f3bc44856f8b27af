"""SQLAlchemy over the connection that `db` opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from intctl.db.connect import open_driver
from intctl.db.url import POSTGRESQL, SQLITE, Target

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


def engine(target: Target, *, patient: bool = False) -> Engine:
    """Create an SQLAlchemy engine over `open_driver`, for SQLModel sessions and migrations."""
    from sqlalchemy import NullPool, create_engine, event

    url = "sqlite://" if target.dialect == SQLITE else "postgresql+psycopg://"

    def creator() -> Any:
        connection = open_driver(target, patient=patient)
        if target.dialect == POSTGRESQL:
            connection.autocommit = False
        return connection

    made = create_engine(url, creator=creator, poolclass=NullPool, hide_parameters=True)
    if target.dialect == SQLITE:
        # With isolation_level None, the driver begins no transaction. Begin here, with the write lock.
        @event.listens_for(made, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    elif not patient:
        from intctl.db.postgresql import LIMITS

        @event.listens_for(made, "begin")
        def _limit(connection: Any) -> None:
            connection.exec_driver_sql(LIMITS)

    return made
