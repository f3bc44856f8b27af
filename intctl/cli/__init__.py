"""The command line: `commands` is the table of commands, `entry` runs one and ends the process."""

from intctl.cli.commands import COMMANDS
from intctl.cli.entry import main, root

__all__ = ["COMMANDS", "main", "root"]
