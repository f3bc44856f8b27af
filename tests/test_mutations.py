"""The tables of mutations match the tree: the replaced text occurs once, and the tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import mutate

ROOT = Path(__file__).parents[1]
TABLES = mutate.tables()
ALL = [mutation for table in TABLES.values() for mutation in table]

#: The set never shrinks: its first 64 names stay, but for those that were renamed, old name to new.
FIRST = (
    "claim: no SKIP LOCKED",
    "claim: IN (SELECT … LIMIT …) instead of the CTE",
    "claim: no limit",
    "claim: not the longest due first",
    "claim: > for <= in what is due",
    "claim: a valid lease counts for nothing",
    "claim: > for <= in a lease that has run out",
    "claim: by name a valid lease counts for nothing",
    "claim: the token does not rise",
    "claim: attempts are not counted",
    "claim: the organisation is not looked at",
    "claim: what is off too",
    "claim: <= for < in the attempts of the many",
    "claim: a lease from the far future counts",
    "claim: a time in the far future is not pulled forward",
    "claim: the lease is counted from its answer",
    "claim: suspects all at once",
    "claim: suspects never",
    "claim: what a lost answer took is kept",
    "claim on SQLite: the write lock is taken late",
    "record: no token clause (fence)",
    "record: no owner clause (fence)",
    "record: no expiry clause (fence)",
    "record: no config_version guard",
    "record: uptime for an earlier config",
    "record: who is put off is well again",
    "record: a proof of another config",
    "record: a proof for ever",
    "record: a login that was accepted proves nothing",
    "check: a verdict on an earlier config",
    "record: a deletion is not looked at",
    "record: the rows are not locked",
    "record: attempts are not forgotten",
    "record: the status stays",
    "record: a lease that is nearly over is written under",
    "record: what an earlier try wrote is not looked for",
    "record: one bad result ends all",
    "record: > for >= in the failures that make an error",
    "record: > for >= in the refused logins",
    "record: the next time counts from the end",
    "record: a back-off beyond two intervals",
    "record: no second look soon",
    "give back: somebody else's too",
    "give back: it counts as an attempt",
    "give back: never",
    "set aside: never",
    "set aside: < for <= in the lease that must be over",
    "set aside: the attempts stay",
    "trouble: nothing is tried again",
    "trouble: tried again over the same connection",
    "trouble: a frozen session is waited for",
    "trouble: no limits inside a transaction",
    "trouble: PgBouncer's refusal is final",
    "trouble: a pass may last for ever",
    "end: the budget is not looked at",
    "end: a second signal is not heard",
    "end: a signal does not wake the pass",
    "end: known results are not written",
    "end: a note whose answer was lost counts twice",
    "end: nothing is noted over a new connection",
    "tell: a mark whose answer was lost is another's",
    "tell: in maintenance too",
    "tell: what came and went in maintenance",
    "tell: not before the planned end of maintenance",
)
RENAMED = {
    "record: who is put off is well again": "record: a throttled integration is healthy again",
    "give back: somebody else's too": "give back: another owner's too",
    "end: a second signal is not heard": "end: a second signal is ignored",
}


@pytest.mark.parametrize("mutation", ALL, ids=lambda mutation: mutation.name)
def test_every_mutation_fits_the_code(mutation: mutate.Mutation) -> None:
    """Its text occurs exactly once in its object, and its test exists in the named file."""
    assert mutate.object_source(mutation).count(mutation.old) == 1
    assert mutation.old != mutation.new
    compile(mutate.mutated(mutation), mutation.at, "exec")
    file, _, test = mutation.test.partition("::")
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


def test_each_module_has_one_table() -> None:
    """A table holds the mutations of one module, and has its name."""
    for path in mutate.TABLES.glob("[a-z]*.py"):
        modules = {mutation.module for mutation in mutate.table(path)}
        assert {module.removeprefix("intctl.").replace(".", "_") for module in modules} == {path.stem}


def test_the_set_never_shrinks() -> None:
    """The first 64 mutations still exist, under their names or those in the list of renames."""
    names = {mutation.name for mutation in ALL}
    assert len(FIRST) == 64
    assert {RENAMED.get(name, name) for name in FIRST} <= names
    assert len(names) == len(ALL)


def test_the_document_lists_them_all() -> None:
    """tests/mutations.md is the output of python tests/mutate.py --write."""
    assert mutate.DOCUMENT.read_text("utf-8") == mutate.document()


def test_a_mutation_of_an_object_leaves_the_others_alone() -> None:
    """The same text elsewhere in the file is not touched."""
    source = "def one():\n    return 1\n\n\nclass Two:\n    def one(self):\n        return 1\n\n    x = 3\n"
    assert source[slice(*mutate.span(source, "Two.one"))] == "    def one(self):\n        return 1\n"
    assert source[slice(*mutate.span(source, "one"))] == "def one():\n    return 1\n"
    with pytest.raises(LookupError):
        mutate.span(source, "Two.two")


def test_what_changed_since_it_was_red_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module is noted only when all of its mutations ran and were red, and its digest follows its source."""
    monkeypatch.setattr(mutate, "RED", tmp_path / "red.txt")
    module, table = next(iter(TABLES.items()))
    names = {mutation.name for mutation in table}
    mutate.note_red({module: table}, set(), names)
    assert mutate.known_red() == {module: mutate.digest(module, table)}
    mutate.note_red({module: table}, set(), set(list(names)[1:]))
    assert mutate.known_red() == {module: mutate.digest(module, table)}, "not all ran: nothing new is known"
    mutate.note_red({module: table}, {table[0].name}, names)
    assert mutate.known_red() == {}
    changed = (mutate.Mutation("other", table[0].at, "a", "b", table[0].test), *table)
    assert mutate.digest(module, changed) != mutate.digest(module, table)
