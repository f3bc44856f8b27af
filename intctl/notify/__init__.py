"""Notifiers: who is notified of status changes and of passes.

`catalogue.py` is the table of notifiers, each one file; `notifier.py` is their interface, `event.py` what they
are given, `rules.py` which status changes are due and when.
"""
