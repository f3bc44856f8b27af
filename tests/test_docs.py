"""The documents agree with the code."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_documents_are_up_to_date() -> None:
    """Help, codes and exit codes in the documents are generated from the code: python docs/generate.py"""
    # In a separate process: click keeps the help option that a command was first called with.
    ran = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_stale_document_is_noticed(generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a changed line, a missing file and a page without a provider are stale."""
    shutil.copytree(ROOT / "docs" / "providers", tmp_path / "docs" / "providers")
    (tmp_path / "docs" / "providers" / "gone.md").touch()
    page = tmp_path / "docs" / "providers" / "twilio.md"
    page.write_text(page.read_text("utf-8").replace("Account SID", "Account"))
    guide = (ROOT / "docs" / "add-a-provider.md").read_text("utf-8")
    (tmp_path / "docs" / "add-a-provider.md").write_text(guide.replace("class BambooHR", "class Other"))
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text("utf-8").replace("interrupted |", "gone |"))
    shutil.copy(ROOT / "docs" / "add-a-notifier.md", tmp_path / "docs")
    (tmp_path / "docs" / "codes.md").write_text((ROOT / "docs" / "codes.md").read_text("utf-8"))
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.stale() == [
        "docs/commands.md",
        "README.md",
        "docs/add-a-provider.md",
        "docs/providers/twilio.md",
        "docs/providers/gone.md",
    ]


def test_the_readme_lists_each_provider_once(generate: ModuleType) -> None:
    """Each provider of the catalogue is listed once under its type, or once as one without a proof."""
    types, unproven = generate.providers_by_type().split("\n\n")
    listed = [name for line in types.splitlines() for name in line.partition(": ")[2].split(", ")]
    listed += re.split(", | and ", unproven.partition(" can be stored")[0])
    assert sorted(listed) == sorted(generate.catalogue.names())
    assert "- `video`: zoom" in types


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in a document names an existing file."""
    links = [
        (document, link)
        for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for link in re.findall(r"\]\(([^)#\s]+)\)", re.sub(r"(?ms)^```.*?^```", "", document.read_text("utf-8")))
        if "://" not in link
    ]
    assert links
    assert [f"{document.name}: {link}" for document, link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("number", range(1, 11))
def test_every_test_case_of_the_specification_is_a_test(number: int) -> None:
    """ADMIN-INT-001 to 010 each occur in the name of a test and in its sentence."""
    texts = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert f"def test_admin_int_{number:03d}_" in texts
    assert f'"""ADMIN-INT-{number:03d}:' in texts


def test_every_test_says_what_it_holds() -> None:
    """Every test has a sentence: the contract that it keeps."""
    tests = [
        (path.name, node)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(tests) > 300
    assert [f"{name}: {node.name}" for name, node in tests if not ast.get_docstring(node)] == []
