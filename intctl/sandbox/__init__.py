"""Every provider of the catalogue, served on loopback: for the demo, for experiments, for the tests.

Requires the extra `intctl[sandbox]`. Only `intctl sandbox` and the tests import it.
"""

from __future__ import annotations

from intctl.sandbox.box import Sandbox

__all__ = ["Sandbox"]
