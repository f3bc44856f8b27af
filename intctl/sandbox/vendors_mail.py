"""Vendors of mail: rows of the table in vendors.py."""

from __future__ import annotations

from intctl.sandbox.vendor import MailAccount, Vendor

VENDORS: dict[str, Vendor] = {}

MAIL: dict[str, MailAccount] = {}
