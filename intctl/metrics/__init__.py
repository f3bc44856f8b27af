"""The figures of the recorded checks. docs/metrics.md defines each of them.

`timeline` turns checks into time up and time down, `report` into the displayed figures; `retention` folds closed
days and deletes checks older than an organisation keeps; `maintenance` says which time does not count; `pattern`
finds what failures have in common.
"""
