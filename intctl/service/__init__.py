"""What surrounds a pass: signals, systemd, the journal, the metrics file, and the steps after the pass.

`runner.py` makes one pass, `steps.py` lists what follows it, `loop.py` makes one pass after another. No notifier
and no metrics file ever fails a pass. A stopped agent is noticed by its silence: the watchdog, the ping and
`intctl agent status` report only real progress.
"""
