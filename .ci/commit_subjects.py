"""Check that commit subjects are at most 72 characters long: `python .ci/commit_subjects.py`.

Covers the commits after FIRST; older subjects are longer. Merge commits are excluded. Without a full
history (a shallow clone, an unpacked archive) the check prints `skipped: …` and succeeds.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST = 72

#: The last commit that was made before the limit.
FIRST = "cf14d8f1131c32d9cdc4892f2624bf27db9831a3"


def main(root: Path = ROOT, first: str = FIRST) -> str:
    """Return the complaint, or an empty text."""
    if reason := _skip_reason(root, first):
        print(f"skipped: {reason}; commit subjects were not checked")
        return ""
    log = _git(root, "log", "--no-merges", "--format=%h %s", f"{first}..HEAD").stdout
    subjects = [line.partition(" ") for line in log.splitlines()]
    long = [f"  {hash} ({len(subject)}) {subject}" for hash, _, subject in subjects if len(subject) > LONGEST]
    return "\n".join([f"commit subjects longer than {LONGEST} characters:", *long]) if long else ""


def _skip_reason(root: Path, first: str) -> str:
    if not shutil.which("git"):
        return "git is not installed"
    shallow = _git(root, "rev-parse", "--is-shallow-repository")
    if shallow.returncode:
        return "this is not a Git repository"
    if shallow.stdout.strip() == "true":
        return "this is a shallow clone"
    if _git(root, "merge-base", "--is-ancestor", first, "HEAD").returncode:
        return f"commit {first[:7]} is not in the history"
    return ""


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main() or 0)
