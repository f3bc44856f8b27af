"""A thread for the database, so that no statement blocks the event loop and its timers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def database_thread() -> Iterator[Callable[..., Awaitable[Any]]]:
    """Yield a function that runs functions one at a time on one thread. Requires a running event loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
        yield partial(asyncio.get_running_loop().run_in_executor, thread)
