"""The fixture network, closed after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dydca.runtime import Network
from tests.runtime.native import network


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made
