"""Values that commands pass down: the settings of a pass, the runtime of a test, a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from intctl.cli.context import Context, affordable

if TYPE_CHECKING:
    from intctl.agent import PassSettings
    from intctl.plan import Runtime


@contextmanager
def progress(count: int, label: str) -> Iterator[Callable[[], None]]:
    """Show a progress bar of `count` steps on standard error, if that is a terminal."""
    import sys

    if count < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=count, label=label, file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def agent_settings(context: Context, deadline_s: float, org_id: str | None = None) -> PassSettings:
    """Build the settings of a pass."""
    from intctl.agent import PassSettings

    return PassSettings(
        host=context.host,
        policy=context.policy,
        concurrency=affordable(),
        deadline_s=deadline_s,
        org_id=org_id,
        witness=context.witness,
    )


def make_runtime(context: Context, deadline_s: float, step: Callable[[], None] = lambda: None) -> Runtime:
    """Build the runtime for testing and saving."""
    from intctl.plan import Runtime

    return Runtime(
        target=context.target,
        database=context.database(),
        keyring=context.keyring(),
        org_id=context.org_id(),
        agent=context.host,
        deadline_s=deadline_s,
        policy=context.policy(),
        concurrency=affordable(),
        progress=step,
    )
