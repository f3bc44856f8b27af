"""Wrong files: `wrong/NAME.yaml` is refused with exactly the words of `wrong/messages.txt`."""

from pathlib import Path

import pytest

from intctl import manifest
from intctl.errors import ManifestError
from tests.manifest.test_examples import CERTIFICATE

FOLDER = Path(__file__).parent / "wrong"
FILES = sorted(FOLDER.glob("*.yaml"))
ENVIRON = {
    "SET": "cnry-set",
    "EMPTY": "",
    "MASKED": "********",
    "NEWLINE": "cnry\n",
    "UMLAUT": "cnry-ü",
    "CERTIFICATE": CERTIFICATE,
    "LOCKED_KEY": "-----BEGIN ENCRYPTED PRIVATE KEY-----\ncnry\n-----END ENCRYPTED PRIVATE KEY-----\n",
}
#: Words of the files and the environment that are somebody's secret: no message may hold them.
CANARIES = ("hunter2", "cnry", "pass phrase")


def refusal(path: Path) -> str:
    """All problems of a file, one a line, or what it loaded."""
    try:
        sources = manifest.ValueSources(ENVIRON)
        loaded = manifest.load(manifest.read_file(path), file=f"{FOLDER}/{path.name}", sources=sources)
    except ManifestError as error:
        return str(error).replace(f"{FOLDER}/", "").replace(str(FOLDER), "FOLDER")
    return f"LOADED {loaded}"


def messages() -> dict[str, str]:
    """The expected refusals by file name."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / "messages.txt").read_text().splitlines():
        found.setdefault(line.partition(":")[0], []).append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_refused_in_these_words(path: Path) -> None:
    """Every problem at once, with its position, in our own words, without any value."""
    told = refusal(path)
    assert told == messages()[path.name]
    assert not any(canary in told for canary in CANARIES)


def test_no_expectation_without_a_file() -> None:
    """The list of messages and the folder hold the same files."""
    assert sorted(messages()) == [path.name for path in FILES]
