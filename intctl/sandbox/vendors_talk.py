"""Vendors of messages, meetings and calendars: rows of the table in vendors.py."""

from __future__ import annotations

from intctl.sandbox.vendor import Vendor

VENDORS: dict[str, Vendor] = {}
