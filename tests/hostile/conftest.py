"""Shared fixtures; and, if only these tests run, one list of all cases at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Authority, authority

_ROW = re.compile(r"\b[DTLHSO]\d{1,2}\b")


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    """The test module's own certificate authority."""
    with authority() as made:
        yield made


@pytest.fixture(autouse=True)
def _rows(request: pytest.FixtureRequest) -> None:
    """Record the test's rows of the network matrix, from its id or else its docstring."""
    function = request.node.function
    rows = _ROW.findall(request.node.name) or _ROW.findall(function.__doc__ or "")
    request.node.user_properties.append(("rows", " ".join(dict.fromkeys(rows))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line per case: its rows, result and duration."""
    here = Path(__file__).parent
    if not all(here in (path := Path(one.partition("::")[0]).resolve(), *path.parents) for one in config.args):
        return
    ended = {}
    for how in ("passed", "failed", "skipped"):
        for report in terminalreporter.getreports(how):
            if report.when == "call" or how != "passed":
                rows = dict(report.user_properties).get("rows", "")
                ended[report.nodeid] = f"{rows:12} {how} {report.duration:5.2f} s  {report.nodeid.partition('/')[2]}"
                if how == "skipped" and isinstance(report.longrepr, tuple):
                    ended[report.nodeid] += f"  {report.longrepr[2]}"
    terminalreporter.section("network matrix: rows, cases")
    for line in sorted(ended.values(), key=lambda line: (line.startswith(" "), line)):
        terminalreporter.write_line(line)
