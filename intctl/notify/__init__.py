"""Notifiers: the recipients of status changes and of passes.

`catalogue.py` is the table of notifiers, each one file; `notifier.py` is their interface, `event.py` has their
events, `rules.py` decides which status changes are due and when.
"""
