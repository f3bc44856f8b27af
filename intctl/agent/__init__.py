"""A pass: claim, probe concurrently, record.

An event loop waits for the network, one thread of its own uses the database, and no transaction is open during a
probe. An idle pass imports neither asyncio nor a probe.
"""

from intctl.agent.scheduled import fuse, run_once
from intctl.agent.settings import PassSettings, Stop
from intctl.agent.summary import Summary

__all__ = ["PassSettings", "Stop", "Summary", "fuse", "run_once"]
