"""The check of commit subjects in .ci/run."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """.ci/commit_subjects.py, as a module."""
    spec = importlib.util.spec_from_file_location("commit_subjects", ROOT / ".ci" / "commit_subjects.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(root: Path, *arguments: str) -> str:
    """The output of a Git command, run as an author of the test's own."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    ran = subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose first commit has a long subject."""
    git(tmp_path, "init", "-q", "-b", "main", "repository")
    root = tmp_path / "repository"
    git(root, "commit", "-q", "--allow-empty", "-m", "x" * 100)
    return root


def test_long_subjects_are_named(repository: Path, check: ModuleType) -> None:
    """A subject of 73 characters is named with its commit; 72 characters, a long body and a merge are allowed."""
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "side")
    git(repository, "commit", "-q", "--allow-empty", "-m", "é" * 72, "-m", "y" * 100)
    git(repository, "checkout", "-q", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "m" * 100, "side")
    assert check.main(repository, first) == ""
    git(repository, "commit", "-q", "--allow-empty", "-m", "z" * 73)
    hash = git(repository, "rev-parse", "--short", "HEAD")
    assert check.main(repository, first).splitlines()[1:] == [f"  {hash} (73) {'z' * 73}"]


def test_without_a_full_history_the_check_is_skipped_aloud(
    repository: Path, check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shallow clone, a foreign history and a plain folder succeed, and say that nothing was checked."""
    git(repository, "commit", "-q", "--allow-empty", "-m", "z" * 73)
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow")
    (tmp_path / "plain").mkdir()
    assert [check.main(tmp_path / name) for name in ("shallow", "repository", "plain")] == ["", "", ""]
    assert capsys.readouterr().out.splitlines() == [
        "skipped: this is a shallow clone; commit subjects were not checked",
        "skipped: commit cf14d8f is not in the history; commit subjects were not checked",
        "skipped: this is not a Git repository; commit subjects were not checked",
    ]
