"""What these tests share; and, when only they are run, one list of all cases at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Authority, authority

_ROW = re.compile(r"\b[DTLHSO]\d{1,2}\b")


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    """A certificate authority of the test module's own."""
    with authority() as made:
        yield made


@pytest.fixture(autouse=True)
def _rows(request: pytest.FixtureRequest) -> None:
    """Keeps which rows of the network matrix the test is for, from its id, else its docstring."""
    function = request.node.function
    rows = _ROW.findall(request.node.name) or _ROW.findall(function.__doc__ or "")
    request.node.user_properties.append(("rows", " ".join(dict.fromkeys(rows))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """One line a case: its rows, how it ended, how long it took."""
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
