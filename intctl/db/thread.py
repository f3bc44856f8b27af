"""The database's own thread: no statement blocks the event loop and its clocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def database_thread() -> Iterator[Callable[..., Awaitable[Any]]]:
    """A function that runs others on one thread, one after the other. To be entered inside a running event loop."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="database") as thread:
        yield partial(asyncio.get_running_loop().run_in_executor, thread)
