"""A package of somebody else, installed as a user installs it, changes what dydca compiles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `use_acme.py` in a new environment that holds the package; what both need is borrowed from this one."""
    folder = tmp_path_factory.mktemp("acme")
    source = shutil.copytree(HERE / "acme_dydca", folder / "source")  # building leaves files in it
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(source)], check=True, cwd=folder)

    def told(*arguments: str) -> dict[str, Any]:
        command = [str(python), "-W", "ignore", str(HERE / "use_acme.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return told


def test_an_installed_package_changes_a_compile(run: Run) -> None:
    told = run("--with-acme")
    assert told["unruled"] == []  # by its rule
    assert told["error"] <= 1e-6
    by_name = {report["name"]: report for report in told["report"]["passes"]}
    assert by_name["lower_soft_clip"]["rewrites"] == 1  # by its pass
    assert by_name["merge_linear"]["rewrites"] == 1
    assert by_name["drop_dead"]["ops_after"] == {"conv2d": 1, "mul": 1, "tanh": 1}


def test_without_the_package_the_operator_is_refused() -> None:
    command = [sys.executable, "-W", "ignore", str(HERE / "use_acme.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout) == {"unruled": ["acme.soft_clip.default"], "code": "DYD401"}
