"""Answers to questions: judged one by one like the values of a file, and loaded as a manifest."""

import json
from pathlib import Path

import pytest

from intctl.errors import ManifestError
from intctl.manifest.answers import judge, judge_name, load_answers
from intctl.manifest.values import Wrong
from intctl.providers import catalogue
from intctl.providers.base import Field
from intctl.text import Secret
from tests.manifest.test_examples import UNUSUAL

from .test_examples import CERTIFICATE, FOLDER, example
from .test_template import provider_of


@pytest.mark.parametrize("name", catalogue.names())
def test_answers_make_what_the_example_makes(name: str, tmp_path: Path) -> None:
    """Whoever types what a provider's example says gets the example's config; PEM is the path of a file."""
    provider = provider_of(name)
    wanted = example(FOLDER / f"{name}.yaml").config
    answers = {}
    for field in provider.fields:
        if field.name not in wanted:
            continue
        value = wanted[field.name]
        text = value.reveal() if isinstance(value, Secret) else value if isinstance(value, str) else json.dumps(value)
        if field.kind == "pem":
            path = tmp_path / field.name
            path.touch(0o600)
            path.write_text(text)
            text = str(path)
        answers[field.name] = judge(field, text)
    loaded = load_answers(provider, "Näme", answers)
    assert [one for one in loaded.warnings if not any(one.endswith(known) for known in UNUSUAL)] == []
    (item,) = loaded.items
    assert (item.name, item.config) == ("Näme", wanted)


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        (Field("a", "A", required=True), "", "is empty"),
        (Field("a", "A"), " b", "starts or ends with whitespace"),
        (Field("a", "A", secret=True), "********", "the masked form"),
        (Field("a", "A", kind="port", minimum=1, maximum=65535), "0", "from 1 to 65535"),
        (Field("a", "A", pattern="[a-z]+", example="b"), "B", "for example: b"),
        (Field("a", "A", kind="json"), "{", "a quote or bracket is not closed"),
        (Field("a", "A", kind="json"), "", "is empty"),
        (Field("a", "A", kind="json"), "{/a: 1, /a: 2}", "is given twice"),
        (Field("a", "A", kind="json"), "[1]", "JSON pointers and values are expected"),
        (Field("a", "A", kind="pem", secret=True), "/nowhere.pem", "there is no such file"),
    ],
)
def test_wrong_answers_are_refused_in_the_words_of_wrong_files(field: Field, text: str, words: str) -> None:
    """One answer, the rule of its field."""
    with pytest.raises(Wrong, match=words):
        judge(field, text)


def test_pem_answers_are_read(tmp_path: Path) -> None:
    """The file must hold what the field takes, and never be our own key."""
    path = tmp_path / "own.pem"
    path.write_text(CERTIFICATE)
    certificate = Field("a", "A", kind="pem")
    assert judge(certificate, str(path)) == {"file": str(path)}
    with pytest.raises(Wrong, match="PRIVATE KEY"):
        judge(certificate.replace(secret=True), str(path))
    with pytest.raises(Wrong, match="intctl's own"):
        judge(certificate, str(path), (path,))


def test_names_are_judged_as_in_a_manifest() -> None:
    """A name that a manifest may not give is no answer either."""
    assert judge_name("Email") == "Email"
    for text in ("", "-x", "x" * 101, "a\u202eb"):
        with pytest.raises(Wrong):
            judge_name(text)


def test_what_is_wrong_together_is_a_manifest_error() -> None:
    """Single answers can be right and their sum wrong: the provider's own check says so."""
    with pytest.raises(ManifestError, match="auth_token: is missing"):
        load_answers(provider_of("twilio"), "SMS", {"account_sid": f"AC{'0' * 32}"})
