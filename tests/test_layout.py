"""The layout: the top-level passes/ and runtime/ are `dydca.passes` and `dydca.runtime`, and only these."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run `program` in a Python of its own, started in the root of the checkout."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", ["passes", "runtime"])
def test_the_generic_import_is_refused(folder: str) -> None:
    result = run(f"import {folder}")
    message = f"ImportError: import dydca.{folder}, not {folder}: the top-level folder only holds its sources"
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == message


@pytest.mark.parametrize("folder", ["passes", "runtime"])
def test_the_links_lead_to_the_folders(folder: str) -> None:
    link = ROOT / "dydca" / folder
    assert link.is_symlink(), f"{link} is no link; was the checkout made with core.symlinks=false?"
    assert link.readlink() == Path("..", folder)
    assert link.resolve() == ROOT / folder


def packages_on_disk() -> list[str]:
    """Every folder below dydca that holds an __init__.py, through the links, as dotted names."""
    folders = (Path(folder) for folder, _, files in os.walk(ROOT / "dydca", followlinks=True) if "__init__.py" in files)
    return sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)


def folders_with_sources() -> list[str]:
    """Every folder below dydca that holds Python files, through the links, as dotted names."""
    walk = os.walk(ROOT / "dydca", followlinks=True)
    folders = (Path(folder) for folder, _, files in walk if any(name.endswith(".py") for name in files))
    return sorted(".".join(folder.relative_to(ROOT).parts) for folder in folders)


def test_the_wheel_holds_every_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    assert declared == packages_on_disk()


def test_every_folder_with_sources_is_a_package() -> None:
    assert folders_with_sources() == packages_on_disk()


def test_the_package_is_typed() -> None:
    assert (ROOT / "dydca" / "py.typed").is_file()


def bound_names(module: ast.Module) -> set[str]:
    """The names a module binds anywhere, by import, assignment or definition, and all its string constants."""
    names: set[str] = set()
    for node in ast.walk(module):
        match node:
            case ast.Import(aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name for alias in aliases)
            case ast.FunctionDef(name) | ast.ClassDef(name) | ast.Name(name):
                names.add(name)
            case ast.Constant(str(text)):  # __all__, and tables of names that are imported on first use
                names.add(text)
    return names


def test_dydca_leaves_the_name_analyze_to_the_module() -> None:
    init = ast.parse((ROOT / "dydca" / "__init__.py").read_text("utf-8"))
    assert "analyze" not in bound_names(init)


@pytest.mark.parametrize("module", ["dydca", "dydca.runtime"])
def test_importing_is_light(module: str) -> None:
    result = run(f"import sys, {module}; print(*sorted({{'torch', 'tvm', 'tvm_ffi'}} & set(sys.modules)))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
