"""The C runtime under many callers, plain and with each sanitizer; `create` with failing parts; a soak."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.runtime.native import driver

ADDRESS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
THREAD = ("-g", "-fsanitize=thread")


def run(*arguments: object, flags: tuple[str, ...] = ()) -> None:
    command = [str(driver(*flags)), *map(str, arguments)]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_eight_callers_get_what_one_gets(threads: int) -> None:
    run("calls", threads, 8, 10_000)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("flags", [ADDRESS, THREAD], ids=["address", "thread"])
def test_sanitizers_find_nothing(flags: tuple[str, ...], threads: int) -> None:
    run("calls", threads, 8, 500, flags=flags)


@pytest.mark.parametrize("flags", [(), ADDRESS], ids=["plain", "address"])
def test_create_with_failing_parts(flags: tuple[str, ...]) -> None:
    run("create", flags=flags)


def test_memory_stays_flat() -> None:
    run("soak", 2, 15_000)
