from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Authority, authority


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    """A certificate authority of the test module's own."""
    with authority() as made:
        yield made
