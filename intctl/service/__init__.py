"""What surrounds a pass: the journal, systemd, a command at transitions, a ping, a metrics file.

None of these ever fails a pass. Who runs an agent and is not told that it stopped finds out by its
silence: the watchdog, the ping and `intctl agent status` speak only of real progress.
"""
