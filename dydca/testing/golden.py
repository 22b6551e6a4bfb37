"""A pytest plugin: texts that lie in files beside the tests, written anew by ``--update-golden``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import pytest

Golden: TypeAlias = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    parser.addoption("--update-golden", action="store_true", help="write the golden texts instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden("name", text)`` compares a text with ``golden/name.txt`` in the folder of the test.

    Digits of line numbers, ``net.py:41``, are written as ``#``, since sources move.
    """

    def compare(name: str, text: str) -> None:
        path = request.path.parent / "golden" / f"{name}.txt"
        text = re.sub(r"(?<=\.py:)\d+", lambda digits: "#" * len(digits[0]), text) + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is not there; --update-golden writes it"
        assert text == path.read_text(encoding="utf-8")

    return compare
