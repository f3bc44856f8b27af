"""Every provider of the catalogue, served on loopback: for the demo, for trying things, for the tests.

Needs the extra `intctl[sandbox]`. Nothing but `intctl sandbox` and the tests imports it.
"""

from __future__ import annotations

from intctl.sandbox.box import Sandbox

__all__ = ["Sandbox"]
