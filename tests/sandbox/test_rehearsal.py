"""`intctl sandbox up`, `manifests` and the rehearsal for CI, as processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from intctl import manifest
from intctl.providers import catalogue
from intctl.sandbox import Sandbox
from intctl.sandbox.faults import FAULTS
from intctl.sandbox.manifests import manifests

ROOT = Path(__file__).parents[2]


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {name: text for name, text in os.environ.items() if not name.startswith("INTCTL_")}
    return {**own, "PATH": path, "TMPDIR": str(tmp_path), **more}


def intctl(*argv: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "intctl", *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
        timeout=180,
    )


@pytest.mark.parametrize("provider", catalogue.names())
def test_a_manifest_for_every_provider_loads(box: Sandbox, provider: str) -> None:
    """Each provider of the catalogue has a manifest, which needs only the sandbox's environment."""
    text = manifests(box)[provider]
    [item] = manifest.load(text.encode(), file=f"{provider}.yaml", sources=manifest.ValueSources(box.environ())).items
    assert item.provider.name == provider
    assert not set(box.environ().values()) & set(text.split('"'))


def test_rehearsal_for_ci_passes(tmp_path: Path) -> None:
    """examples/ci.sh provisions every provider from files, checks them all, exits 0, and leaves nothing."""
    ran = intctl("sandbox", "run", "--", "sh", "examples/ci.sh", env=environ(tmp_path))
    assert ran.returncode == 0, ran.stderr
    for name in catalogue.names():
        entry = catalogue.CATALOGUE[name]
        assert f"\n{entry.title}: " in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_rehearsal_for_ci_finds_the_fault(tmp_path: Path) -> None:
    """With one provider's login refused, examples/ci.sh exits 1 and names that integration, its cause and no other."""
    ran = intctl(
        "sandbox", "run", "--fault", "sendgrid=smtp.auth.rejected", "--", "sh", "examples/ci.sh", env=environ(tmp_path)
    )
    assert ran.returncode == 1
    assert "SendGrid: misconfigured" in ran.stderr
    assert "(smtp.auth.rejected)" in ran.stderr
    assert ran.stdout.count("misconfigured") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_serves_until_it_is_told_to_end(number: signal.Signals, tmp_path: Path) -> None:
    """`up` names a file that connects another shell to the sandbox; at the end nothing is left."""
    inside = tmp_path / "inside"
    inside.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "intctl", "sandbox", "up", "--fault", "twilio=server.error"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(inside),
    ) as process:
        try:
            assert process.stdout
            said = [process.stdout.readline() for _ in range(6)]
            count = len(catalogue.names())
            assert said[0] == f"The sandbox is running: {count} providers on 127.0.0.1. Press Ctrl-C to stop it.\n"
            assert said[1] == "  fault in twilio: 503\n"
            script = Path(said[3].removeprefix("  . ").strip())
            assert stat.S_IMODE(script.stat().st_mode) == 0o600
            code = (
                f". {script} && intctl sandbox manifests {tmp_path}/made"
                f" && intctl test -f {tmp_path}/made/bamboohr.yaml && intctl test -f {tmp_path}/made/twilio.yaml"
            )
            ran = subprocess.run(["sh", "-c", code], capture_output=True, text=True, env=environ(tmp_path), timeout=60)
        finally:
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
    assert (ran.returncode, process.returncode, errors) == (1, 0, "")
    assert "healthy" in ran.stdout and "server.error" in ran.stdout + ran.stderr
    assert list(inside.iterdir()) == []


def test_seed_makes_credentials_reproducible(tmp_path: Path) -> None:
    """The same seed gives the same credentials, another seed others; provider by provider."""
    found = []
    for number, seed in enumerate((7, 7, 8)):
        folder = tmp_path / str(number)
        folder.mkdir()
        box = Sandbox(folder, seed=seed)
        found.append({name: text for name, text in box.environ().items() if "BEGIN" not in text})
    first, again, other = found
    assert first == again
    assert [name for name in first if first[name] == other[name]] == []


def test_manifests_spare_what_others_wrote(tmp_path: Path) -> None:
    """A file of the same name that the command did not make is kept, and nothing is written."""
    target = tmp_path / "mine"
    target.mkdir()
    (target / "twilio.yaml").write_text("name: Mine\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    ran = intctl("sandbox", "run", "--", "intctl", "sandbox", "manifests", str(target), env=environ(inside))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"intctl: {target}/twilio.yaml exists and was not created by this command. Nothing was written.\n"
    )
    assert [path.name for path in target.iterdir()] == ["twilio.yaml"]
    (target / "twilio.yaml").unlink()
    for _ in range(2):
        ran = intctl("sandbox", "run", "--", "intctl", "sandbox", "manifests", str(target), env=environ(inside))
        assert ran.returncode == 0, ran.stderr


def test_manifests_of_every_way(tmp_path: Path) -> None:
    """With --ways the other ways to log in have a manifest too; without DIR all go into one file that can be used."""
    target = tmp_path / "made"
    script = f"intctl sandbox manifests {target} --ways && intctl sandbox manifests --ways > {tmp_path}/all.yaml"
    ran = intctl(
        "sandbox", "run", "--", "sh", "-c", f"{script} && intctl test -f {tmp_path}/all.yaml", env=environ(tmp_path)
    )
    assert "Gmail (oauth): healthy" in ran.stdout and "Google Calendar (service-account): healthy" in ran.stdout
    unsure = [line for line in ran.stdout.splitlines() if " — " in line and ": healthy — " not in line]
    # A test cannot store the successor of a single-use token.
    assert len([line for line in unsure if "(self.token_single_use" in line]) == 3
    assert len([line for line in unsure if "(self.no_probe" in line]) == 5 == len(unsure) - 3
    assert ran.returncode == 1
    names = {path.stem for path in target.iterdir()}
    assert set(catalogue.names()) < names
    assert {"gmail-oauth", "microsoft365-application", "calendly-oauth", "caldav-bearer", "sendgrid-api"} < names
    assert (tmp_path / "all.yaml").read_text().count("  - name: ") == len(names)


def test_manifests_want_a_sandbox(tmp_path: Path) -> None:
    """Without a sandbox in the environment the command says how to get one."""
    ran = intctl("sandbox", "manifests", str(tmp_path / "made"), env=environ(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "intctl sandbox run" in ran.stderr
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("stated", ["sendgrid", "nobody=server.error", "twilio=starttls.missing"])
def test_senseless_faults_are_one_line(tmp_path: Path, stated: str) -> None:
    """Exit 2 and one line; the command is not run."""
    ran = intctl("sandbox", "run", "--fault", stated, "--", "echo", "ran", env=environ(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1


def test_help_names_every_fault(tmp_path: Path) -> None:
    """The help, which imports nothing, has the table's codes and no others."""
    text = intctl("sandbox", "--help", env=environ(tmp_path)).stdout.replace(",", " ")
    table = text.partition("reports that\n  code:")[2].partition("If a vendor")[0].replace("(", " ")
    assert {word for word in table.split() if word in FAULTS} == set(FAULTS)
    assert {word for word in table.split() if "." in word.strip(".")} <= set(FAULTS)
