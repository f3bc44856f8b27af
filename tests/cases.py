"""The findings about earlier versions, and the tests that hold their right values.

    python tests/cases.py                  write tests/cases.md

A test names the finding that it reproduces: `@pytest.mark.case("security 1")`. A finding that is a whole kind has
several tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "tests" / "cases.md"

#: Each finding, with the behaviour that is right.
CASES = {
    "security 1": "no reference of a manifest reaches a secret of intctl itself",
    "security 2": "objects that another role creates in a schema are never run",
    "security 4": "a value nested too deeply affects only its own row",
    "security 5": "every command is closed to core files and to other processes before it reads a secret",
    "security 7": "a secret is validated alike, whichever way it comes in",
    "security 8": "a CSV cell is never a formula",
    "security 10": "all text is cleaned where it leaves the program",
    "security 11": "a name is never a command to a CI runner",
    "security 13": "the metadata addresses of all clouds are refused",
    "security 14": "one refused address of a host blocks the host",
    "security 16": "a data folder that others may write to is refused",
    "security 17": "a file that decides about trust or holds a secret is judged by owner and mode",
    "security 19": "no option takes a secret as its value",
    "security 20": "a secret is masked in other parties' words in any spelling",
    "security 23": "overwritten rows are erased in an SQLite file",
    "security 25": "the agent's status of one organisation shows the counts of that organisation",
    "security 26": "a password is not sent in plaintext by another method after a temporary failure",
    "security 28": "the current folder is never searched for modules",
    "reliability 1": "a row locked by another session delays only itself",
    "reliability 2": "checks go on within an interval after a clock was ahead and is corrected",
    "reliability 4": "a closed pipe does not end the service",
    "reliability 5": "the budget of a pass covers its notifications",
    "reliability 7": "a full disk or a read-only mount can be read",
    "reliability 8": "the documentation says how to make a backup and restore it",
    "reliability notifications": "a failed notification is delivered later, or is shown as a dead letter",
    "F01": "a rotated refresh token is saved whatever the form of the reply that brings it",
    "F02": "a rate limit told as 403 is no refusal, and no 403 stops the checks",
    "F04": "a closed pipe never means that a check failed",
    "F07": "the next step names the right field, host and command, and none that intctl refuses",
    "F08": "a keyring mounted read-only by the platform is accepted",
    "F10": "a reply that other HTTP clients accept is read, and one with a status line is judged by it",
    "F11": "requests take the proxy of the environment, and a proxy's fault is not the provider's",
    "F13": "without a home folder, the error says what to set",
    "F14": "a deleted working folder is a clear error",
    "F16": "the certificate of the chain that is at fault is named, and the chain's first end counts",
    "F17": "a weak key, signature or key exchange is not called old TLS",
    "F19": "hidden files of a folder are no manifests",
    "F20": "a private key is accepted in the forms of .env and JSON files",
    "F22": "a ping address may have placeholders for its state",
    "F23": "a compressed body is inflated up to its limit",
    "F25": "a read-only mount is named as the cause",
    "F26": "a database address may name several hosts",
    "F05": "a test mail that was not taken is no success",
    "F28": "a refused NOOP changes nothing after an accepted login",
    "F29": "a value that is hardly what the vendor gives is a warning before the first login",
    "real F1": "a relay without a login is healthy only if it takes a mail for another domain",
    "real F2": "a CalDAV server that asks for no credential does not prove one",
    "real F3": "a token for a mail server proves nothing until the mail server accepts it",
    "real F4": "a refusal at RCPT names the sender, the recipient or the relay as the server does",
    "real F5": "a test mail that was not taken is no success, and the step is named",
    "real F6": "the name in EHLO can be resolved, and a refused one names its field",
    "real F7": "a wanted client certificate is named at any reply",
    "real F8": "a TLS port is recognised within seconds by a check on demand",
    "real F10": "a weak certificate is not called old TLS",
    "real F12": "a server's own words about client certificates and HTTPS ports are recognised",
    "real F13": "a server that wants another way to log in does not blame the password",
    "real F14": "a network fault of the token endpoint names that host",
    "terminal S1": "the command to type names the secrets that this way to log in uses",
    "terminal S2": "apply reports every row that it keeps",
    "terminal M24": "an untested edit does not end an alert",
    "vendors S2": "a wrong key and a narrow key are told apart",
    "vendors S3": "an account that lives but may not act is not healthy",
    "vendors S8": "a missing permission is degraded wherever the vendor says that the key lives",
    "vendors S9": "each provider requires a field of its own answer",
    "vendors S10": "an error of a token endpoint that a person must mend is not the provider's",
}


def marked() -> dict[str, list[str]]:
    """Return the tests of each finding, as `file::test`, in the order of the tree."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        place = path.relative_to(ROOT).as_posix()
        for case, test in _marks(ast.parse(path.read_text())):
            found.setdefault(case, []).append(f"{place}::{test}")
    return found


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each finding and the test that names it; `pytestmark` names it for every test of the module."""
    tests = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            yield from ((case, test.name) for case in _cases(node.value) for test in tests)
    for test in tests:
        yield from ((case, test.name) for decorator in test.decorator_list for case in _cases(decorator))


def _cases(mark: ast.expr) -> list[str]:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.case":
        return [str(ast.literal_eval(argument)) for argument in mark.args]
    return []


def document() -> str:
    """Return the text of tests/cases.md."""
    tests = marked()
    lines = ["# Findings and their tests", "", "Written by `python tests/cases.py`.", ""]
    lines += ["| finding | what is right | tests |", "|---|---|---|"]
    for case, right in CASES.items():
        lines.append(f"| {case} | {right} | {'<br>'.join(f'`{test}`' for test in tests.get(case, ()))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
