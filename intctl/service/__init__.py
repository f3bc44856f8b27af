"""The surroundings of a pass: signals, systemd, the journal, the metrics file, and the steps after the pass.

`runner.py` runs one pass, `steps.py` lists the steps after it, `loop.py` runs one pass after another. No notifier
and no metrics file ever fails a pass. The watchdog, the ping and `intctl agent status` report only real progress,
so that a stopped agent is noticed.
"""
