"""A value that is hardly what the vendor gives is a warning before the first login, and never an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from intctl import manifest

CASES = [
    ("sendgrid", {"username": "me@example.com", "password": "SG.a.b"}, ["username"]),
    ("sendgrid", {"username": "apikey", "password": "SG.a.b"}, []),
    ("ses", {"region": "eu-west-1", "username": "AKIAX", "password": "k" * 40}, ["password"]),
    ("ses", {"region": "eu-west-1", "username": "AKIAX", "password": "B" + "k" * 43}, []),
    ("resend", {"api_key": "re_abc"}, []),
    ("resend", {"api_key": "sk_abc"}, ["api_key"]),
    ("brevo", {"api_key": "xsmtpsib-abc"}, ["api_key"]),
    ("brevo", {"api_key": "xsmtpsib-abc", "base_url": "https://localhost:8080"}, []),
]


@pytest.mark.case("F29")
@pytest.mark.parametrize(("provider", "config", "fields"), CASES)
def test_a_mistake_that_the_providers_file_knows(
    tmp_path: Path, provider: str, config: dict[str, Any], fields: list[str]
) -> None:
    """The user name of SendGrid, a secret access key for SES: told, without the value."""
    secrets = {"password", "api_key"} & config.keys()
    given = {name: {"env": name.upper()} if name in secrets else value for name, value in config.items()}
    text = json.dumps({"name": "X", "provider": provider, "config": given})
    sources = manifest.ValueSources({name.upper(): str(config[name]) for name in secrets})
    loaded = manifest.load(text.encode(), file="x.yaml", sources=sources)
    assert [warning.split(": ")[1] for warning in loaded.warnings] == fields
    assert not any(str(config[name]) in warning for name in secrets for warning in loaded.warnings)
