"""The page of one integration: config, health, figures, recent errors, usage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from intctl import vault
from intctl.db.connect import Database
from intctl.errors import KeyringError
from intctl.health.status import Verdict
from intctl.keyring import Keyring
from intctl.manifest import masked, to_plain
from intctl.metrics.figures import Report
from intctl.metrics.report import of_day
from intctl.providers import catalogue
from intctl.store import clock, configs, logs
from intctl.store.integrations import Integration
from intctl.store.usages import Usage, usages
from intctl.views.maintenance import maintenance_ends, maintenance_until
from intctl.views.steps import next_step
from intctl.views.titles import title

#: How many recent errors a page shows.
_RECENT = 5


@dataclass(frozen=True, slots=True)
class RecentError:
    """A failed check, in brief."""

    checked_at: datetime
    verdict: Verdict
    code: str
    phase: str
    error_message: str | None


@dataclass(frozen=True, slots=True)
class IntegrationPage:
    """The content of `intctl show`. If the config cannot be read, `config` is None and `config_problem` says why."""

    integration: Integration
    maintenance_until: datetime | None
    title: str
    next_step: str
    config: Mapping[str, object] | None
    config_problem: str | None
    metrics: Report
    recent_errors: Sequence[RecentError]
    usage: Usage | None
    now: datetime


def integration_page(
    database: Database, keyring: Callable[[], Keyring], integration: Integration, *, reveal: bool = False
) -> IntegrationPage:
    """The page of an integration, its secrets masked unless `reveal`."""
    org_id, id = integration.org_id, integration.id
    config, problem = _config(database, keyring, integration, reveal)
    return IntegrationPage(
        integration=integration,
        maintenance_until=maintenance_until(maintenance_ends(database, org_id), id),
        title=title(integration.provider),
        next_step=next_step(integration.code, integration.name, integration.facts),
        config=config,
        config_problem=problem,
        metrics=of_day(database, org_id, id),
        recent_errors=[
            RecentError(log.checked_at, log.verdict, log.code, log.phase, log.error_message)
            for log in logs.newest(database, org_id, id=id, limit=_RECENT, failures=True)
        ],
        usage=usages(database, org_id, id=id).get(id),
        now=clock.now(database),
    )


def _config(
    database: Database, keyring: Callable[[], Keyring], integration: Integration, reveal: bool
) -> tuple[Mapping[str, object] | None, str | None]:
    """The config, or the reason why it cannot be shown: the rest of the page is shown anyway."""
    provider = catalogue.get(integration.provider)
    if provider is None:
        return None, f'This version of intctl does not know the provider "{integration.provider}".'
    sealed = configs.sealed(database, integration.org_id, id=integration.id)[0]
    try:
        config = vault.open_config(keyring(), sealed, provider)
    except KeyringError as error:
        return None, str(error)
    return (to_plain(provider, config) if reveal else masked(provider, config)), None
