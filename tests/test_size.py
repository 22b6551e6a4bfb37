"""House rules that no linter knows: sizes of files and functions, names of files, what no tracked file mentions."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES = 400
FUNCTION_LINES = 60
EMPTY_NAMES = {"common", "helper", "helpers", "manager", "util", "utils"}
# Packages are named, never the hosts they come from; in pieces, so that this file passes its own test.
HOSTS = [b".".join(host) for host in ((b"pypi", b"org"), (b"pythonhosted", b"org"), (b"download", b"pytorch"))]
SOURCES = sorted(
    path
    for folder in ("bench", "dydca", "passes", "runtime", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in SOURCES}


def test_there_are_sources() -> None:
    assert {"dydca/errors.py", "passes/__init__.py", "runtime/__init__.py", "tests/test_size.py"} <= TREES.keys()


def test_no_file_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_no_function_is_long() -> None:
    lines = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES} == {}


def test_every_module_has_a_docstring() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []


def test_file_names_say_something() -> None:
    assert [str(path.relative_to(ROOT)) for path in SOURCES if EMPTY_NAMES & {path.stem, path.parent.name}] == []


def test_no_file_names_a_registry_host() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    assert [str(path.relative_to(ROOT)) for path in files if any(host in path.read_bytes() for host in HOSTS)] == []
