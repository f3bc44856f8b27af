"""Whether the newest check of an integration still applies to it."""

from __future__ import annotations

from datetime import datetime

from intctl.health.log_entry import LogMetadata

#: When the integration `i` was last disabled.
OFF_AT = """(SELECT max(c.changed_at) FROM integration_changes c
         WHERE c.integration_id = i.id AND NOT c.enabled) AS off_at"""


def is_current(
    newest: LogMetadata,
    *,
    config_version: int,
    status: str | None,
    off_at: datetime | None,
    last_health_check: datetime | None,
) -> bool:
    """Whether the newest check applies to the present config and to the time since the integration was enabled.

    A verdict on another config does not apply; nor does a verdict from before the integration was disabled and
    re-enabled.
    """
    if newest.config_version is None or newest.config_version != config_version:
        return False
    return status != "active" or off_at is None or (last_health_check is not None and last_health_check >= off_at)
