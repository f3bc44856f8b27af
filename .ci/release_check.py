"""Check that this checkout can be released: `python .ci/release_check.py [vX.Y.Z]`, before or after tagging.

Compares `__version__`, the newest section of CHANGELOG.md, the tag and the version of a wheel that is built
for this, and prints every mistake. Without an argument the tag is the one on HEAD, if there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def version_of(root: Path) -> str:
    """`__version__`, read without importing the package."""
    text = (root / "intctl" / "__init__.py").read_text("utf-8")
    found = re.search(r'^__version__ = "(.*)"$', text, re.MULTILINE)
    return found[1] if found else ""


def mistakes(root: Path, version: str, tag: str = "") -> list[str]:
    """What is wrong with the version, the changelog, the tag and the checkout."""
    found = [] if re.fullmatch(r"\d+\.\d+\.\d+", version) else [f"__version__ is {version!r}, not X.Y.Z"]
    found += in_changelog((root / "CHANGELOG.md").read_text("utf-8"), version)
    on_head = [one for one in _git(root, "tag", "--points-at", "HEAD") if one.startswith("v")]
    for one in [tag] if tag else on_head:
        found += [f"the tag is {one}, but __version__ needs v{version}"] if one != f"v{version}" else []
    if f"v{version}" in _git(root, "tag") and f"v{version}" not in on_head:
        found.append(f"v{version} is the tag of another commit: raise __version__")
    if changed := _git(root, "status", "--porcelain"):
        found.append(f"the working tree is not clean: {', '.join(line[3:] for line in changed)}")
    return found


def in_changelog(text: str, version: str) -> list[str]:
    """What is wrong with the two topmost sections: Unreleased, then `[X.Y.Z] - YYYY-MM-DD`."""
    sections = [part.partition("\n") for part in re.split("^## ", text, flags=re.MULTILINE)[1:]]
    if len(sections) < 2 or sections[0][0] != "[Unreleased]":
        return ["CHANGELOG.md needs the section [Unreleased], and the newest version below it"]
    (_, _, unreleased), (heading, _, entries) = sections[:2]
    found = ["CHANGELOG.md has entries under [Unreleased]: move them to the version"] if unreleased.strip() else []
    if not re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", heading):
        found.append(f"the newest version in CHANGELOG.md is '{heading}', not '[{version}] - YYYY-MM-DD'")
    return found if entries.strip() else [*found, f"the section '{heading}' of CHANGELOG.md is empty"]


def in_wheel(folder: Path, version: str) -> list[str]:
    """What is wrong with the one wheel in `folder`."""
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        right = f"\nVersion: {version}\n" in archive.read(name).decode()
    return [] if right else [f"{wheel.name} does not have version {version} in its metadata"]


def _git(root: Path, *arguments: str) -> list[str]:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main(tag: str = "") -> int:
    """Check ROOT; print the mistakes."""
    version = version_of(ROOT)
    found = mistakes(ROOT, version, tag)
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT)]
        built = subprocess.run(build, check=False, capture_output=True, text=True)
        found += [f"the wheel does not build:\n{built.stderr}"] if built.returncode else in_wheel(Path(folder), version)
    print("\n".join(f"release-check: {one}" for one in found) or f"v{version} can be released")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
