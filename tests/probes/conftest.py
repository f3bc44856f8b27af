from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Authority, authority


@pytest.fixture(scope="module")
def ca() -> Iterator[Authority]:
    """The test module's own certificate authority."""
    with authority() as made:
        yield made
