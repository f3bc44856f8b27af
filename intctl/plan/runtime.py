"""The resources for testing and saving changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intctl import vault
from intctl.db.connect import Database
from intctl.db.url import Target
from intctl.keyring import Keyring
from intctl.store.tokens import SealedTokens

if TYPE_CHECKING:
    from intctl.probes.guard import AddressPolicy
from intctl.plan.changes import Change

#: Run a function on the database's thread.
Call = Callable[..., Awaitable[Any]]
#: The default number of concurrent tests.
CONCURRENCY = 50


@dataclass(slots=True)
class Runtime:
    """The resources for testing and saving. `database` is used by one thread at a time."""

    target: Target
    database: Database
    keyring: Keyring
    org_id: str
    agent: str
    deadline_s: float = 20.0
    policy: AddressPolicy | None = None
    concurrency: int = CONCURRENCY
    progress: Callable[[], None] = field(default=lambda: None)


def sealed_tokens(runtime: Runtime, change: Change) -> SealedTokens:
    """The stored tokens that belong to this change's config."""
    owner = vault.TokenOwner(runtime.org_id, change.id, change.name)
    return vault.tokens(runtime.database, runtime.keyring, owner, change.provider, change.manifest.config)
