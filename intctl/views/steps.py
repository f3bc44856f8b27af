"""What to do next, as commands that can be pasted."""

from __future__ import annotations

import shlex

from intctl.health.codes import CODES
from intctl.text import clean


def next_step(code: str, name: str, secret_field: str = "", *, saved: bool = True) -> str:
    """What to do about a code, with this integration's name in the commands.

    What was not `saved` can't be edited by name: then the file is what to correct.
    """
    if code not in CODES:
        return f"Run intctl check {quoted(name)}."
    if not saved and "NAME" in CODES[code].next_step:
        return "Correct the credential, in the file, in what it refers to, or as you type it, and run this again."
    text = CODES[code].next_step.replace("NAME", quoted(name))
    return text.replace("--secret FIELD", f"--secret {secret_field}") if secret_field else text


def quoted(name: str) -> str:
    """`name` as it is typed in a shell."""
    return shlex.quote(clean(name))
