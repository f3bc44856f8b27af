"""The next step, with commands to paste."""

from __future__ import annotations

import shlex

from intctl.health.codes import CODES
from intctl.text import clean


def next_step(code: str, name: str, secret_field: str = "", *, saved: bool = True) -> str:
    """The next step for a code, with the integration's name in its commands.

    An integration that is not `saved` cannot be edited by name: the user must correct its file.
    """
    if code not in CODES:
        return f"Run intctl check {quoted(name)}."
    if not saved and "NAME" in CODES[code].next_step:
        return "Correct the credential in the file, in its source or at the prompt, and run the command again."
    text = CODES[code].next_step.replace("NAME", quoted(name))
    return text.replace("--secret FIELD", f"--secret {secret_field}") if secret_field else text


def quoted(name: str) -> str:
    """Quote `name` for a shell."""
    return shlex.quote(clean(name))
