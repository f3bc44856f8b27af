"""make release-check names each mistake that a release can have."""

from __future__ import annotations

import importlib.util
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n\n### Added\n- All of it.\n"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """.ci/release_check.py, as a module."""
    spec = importlib.util.spec_from_file_location("release_check", ROOT / ".ci" / "release_check.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(root: Path, *arguments: str) -> None:
    """Runs Git as an author of the test's own."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    signing = ["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *signing, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, check: ModuleType) -> Path:
    """A repository with this project's version file and a matching changelog: version 1.2.3."""
    (tmp_path / "intctl").mkdir()
    text = (ROOT / "intctl" / "__init__.py").read_text("utf-8")
    (tmp_path / "intctl" / "__init__.py").write_text(text.replace(f'"{check.version_of(ROOT)}"', '"1.2.3"'))
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Release 1.2.3")
    return tmp_path


def test_a_release_without_mistakes_passes(checkout: Path, check: ModuleType) -> None:
    """Version, changelog and a clean tree that agree pass: before the tag, with its name, and with the tag."""
    assert check.version_of(checkout) == "1.2.3"
    assert check.mistakes(checkout, "1.2.3") == []
    assert check.mistakes(checkout, "1.2.3", "v1.2.3") == []
    git(checkout, "tag", "v1.2.3")
    git(checkout, "tag", "nightly")
    assert check.mistakes(checkout, "1.2.3") == []


def test_another_tag_is_named(checkout: Path, check: ModuleType) -> None:
    """A tag of another version, a tag without v, and the version's tag on an earlier commit are mistakes."""
    assert check.mistakes(checkout, "1.2.3", "1.2.3") == ["the tag is 1.2.3, but __version__ needs v1.2.3"]
    git(checkout, "tag", "v1.2.4")
    assert check.mistakes(checkout, "1.2.3") == ["the tag is v1.2.4, but __version__ needs v1.2.3"]
    git(checkout, "tag", "-d", "v1.2.4")
    git(checkout, "tag", "v1.2.3")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "One more")
    assert check.mistakes(checkout, "1.2.3") == ["v1.2.3 is the tag of another commit: raise __version__"]


def test_an_unclean_tree_is_named(checkout: Path, check: ModuleType) -> None:
    """Changed and untracked files are named."""
    (checkout / "CHANGELOG.md").write_text(CHANGELOG + "- More.\n")
    (checkout / "notes.txt").touch()
    assert check.mistakes(checkout, "1.2.3") == ["the working tree is not clean: CHANGELOG.md, notes.txt"]


@pytest.mark.parametrize("version", ["1.2", "1.2.3.dev1", "v1.2.3", ""])
def test_a_version_of_another_form_is_named(checkout: Path, check: ModuleType, version: str) -> None:
    """Only X.Y.Z can be released."""
    assert check.mistakes(checkout, version)[0] == f"__version__ is {version!r}, not X.Y.Z"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## [Unreleased]\n", "", "CHANGELOG.md needs the section [Unreleased], and the newest version below it"),
        (
            "## [Unreleased]\n",
            "## [Unreleased]\n- Later.\n",
            "CHANGELOG.md has entries under [Unreleased]: move them to the version",
        ),
        (
            "[1.2.3]",
            "[1.2.2]",
            "the newest version in CHANGELOG.md is '[1.2.2] - 2026-12-01', not '[1.2.3] - YYYY-MM-DD'",
        ),
        (" - 2026-12-01", "", "the newest version in CHANGELOG.md is '[1.2.3]', not '[1.2.3] - YYYY-MM-DD'"),
        ("\n### Added\n- All of it.\n", "", "the section '[1.2.3] - 2026-12-01' of CHANGELOG.md is empty"),
    ],
)
def test_a_changelog_that_does_not_fit_is_named(check: ModuleType, old: str, new: str, said: str) -> None:
    """A missing or filled Unreleased section, another version, no date and no entries are mistakes."""
    assert check.in_changelog(CHANGELOG.replace(old, new), "1.2.3") == [said]


def test_the_wheel_of_another_version_is_named(tmp_path: Path, check: ModuleType) -> None:
    """The version is read from the wheel's metadata, not from its name."""
    with zipfile.ZipFile(tmp_path / "intctl-1.2.3-py3-none-any.whl", "w") as wheel:
        wheel.writestr("intctl-1.2.3.dist-info/METADATA", "Metadata-Version: 2.4\nName: intctl\nVersion: 1.2.2\n\n")
    said = "intctl-1.2.3-py3-none-any.whl does not have version 1.2.3 in its metadata"
    assert check.in_wheel(tmp_path, "1.2.3") == [said]
    assert check.in_wheel(tmp_path, "1.2.2") == []


def test_this_changelog_has_the_form_of_a_release(check: ModuleType) -> None:
    """CHANGELOG.md starts with Unreleased; the newest version below it is `__version__`, with a date and entries."""
    found = check.in_changelog((ROOT / "CHANGELOG.md").read_text("utf-8"), check.version_of(ROOT))
    assert [one for one in found if "entries under [Unreleased]" not in one] == []
