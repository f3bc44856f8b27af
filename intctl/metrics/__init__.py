"""What the recorded checks add up to. docs/metrics.md says what each figure means.

`timeline` turns checks into time up and time down, `report` into the figures that are shown,
`retention` folds closed days and deletes what is older than an organisation keeps, `maintenance`
knows which time does not count, `pattern` what failures have in common.
"""
