"""The startup time of intctl, as ratios to `python -c "import click"` in the same run.

Interleaved: each round runs every command once, so that a slow minute affects all of them alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
INTEGRATIONS = 200
BASE = 'python -c "import click"'
GOALS = {"intctl --help": 1.25, f"intctl list ({INTEGRATIONS} integrations)": 2.2, "intctl agent --once (idle)": 3.5}

MANIFEST = """\
name: "{name}"
provider: http
enabled: false
config:
  url: https://127.0.0.1:9/{name}
  auth: bearer
  token: {{env: BENCH_TOKEN}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each command is started (default 20)")
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "INTCTL_HOME": str(Path(folder) / "home"),
            "BENCH_TOKEN": "t" * 40,
            "LANG": "C.UTF-8",
        }
        prepare(Path(folder), environ)
        medians = measure(commands(), environ, rounds)
    report = written(medians, rounds)
    sys.stdout.write(report)
    replace_section(report)


def intctl() -> str:
    """The command of the environment that this script runs in."""
    return str(Path(sys.executable).with_name("intctl"))


def prepare(folder: Path, environ: Mapping[str, str]) -> None:
    """An SQLite database with disabled integrations: nothing is due, so the pass is idle."""
    manifests = folder / "manifests"
    manifests.mkdir()
    for number in range(INTEGRATIONS):
        (manifests / f"{number:03}.yaml").write_text(MANIFEST.format(name=f"api-{number:03}"))
    for arguments in (["init"], ["apply", "--no-test", "-f", str(manifests)]):
        nowhere = subprocess.DEVNULL
        subprocess.run([intctl(), *arguments], env=environ, check=True, stdout=nowhere, stderr=nowhere)


def commands() -> dict[str, Sequence[str]]:
    """Label to argv: the base, intctl's commands, and other installed programs."""
    ours = intctl()
    found: dict[str, Sequence[str]] = {
        BASE: [sys.executable, "-c", "import click"],
        "intctl --help": [ours, "--help"],
        f"intctl list ({INTEGRATIONS} integrations)": [ours, "list"],
        "intctl agent --once (idle)": [ours, "agent", "--once"],
    }
    for name, arguments in {"sqlite-utils": ["--help"], "aws": ["--version"], "airflow": ["--help"]}.items():
        if path := shutil.which(name):
            found[f"{name} {arguments[0]}"] = [path, *arguments]
    return found


def measure(argvs: Mapping[str, Sequence[str]], environ: Mapping[str, str], rounds: int) -> dict[str, float]:
    """Median seconds of each command. The first round warms the caches and does not count."""
    seconds: dict[str, list[float]] = {label: [] for label in argvs}
    for number in range(rounds + 1):
        for label, argv in argvs.items():
            start = time.perf_counter()
            subprocess.run(argv, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if number:
                seconds[label].append(time.perf_counter() - start)
    return {label: statistics.median(times) for label, times in seconds.items()}


def written(medians: Mapping[str, float], rounds: int) -> str:
    """The section for RESULTS.md."""
    lines = [
        "## Start-up",
        "",
        f"`.venv/bin/python bench/startup.py --rounds {rounds}` on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {platform.system()}; medians.",
        "",
        "| command | ms | ratio | goal |",
        "|---|---:|---:|---:|",
    ]
    for label, median in medians.items():
        ratio, goal = median / medians[BASE], GOALS.get(label)
        lines.append(f"| `{label}` | {median * 1000:.0f} | {ratio:.2f} | {f'≤ {goal}' if goal else ''} |")
    return "\n".join(lines) + "\n"


def replace_section(section: str) -> None:
    """Replace the section in RESULTS.md, and keep the others."""
    heading = section.partition("\n")[0]
    text = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    blocks = [block for block in text.split("\n## ") if block.strip()]
    others = [f"## {block}" for block in blocks[1:]]
    kept = [block.rstrip() for block in others if not block.startswith(heading + "\n")]
    RESULTS.write_text("\n\n".join([blocks[0].rstrip(), *kept, section.rstrip()]) + "\n")


if __name__ == "__main__":
    main()
