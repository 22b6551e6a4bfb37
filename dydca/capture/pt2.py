"""Exported programs read without running anything they hold.

`torch.export.load` trusts its file: it unpickles weights, constants and sample inputs, evaluates size expressions as
Python, compiles guard texts, and resolves an operator named ``torch.os.system``. A file is therefore screened first.
Source: ``torch/export/pt2_archive/_package.py`` and ``torch/_export/serde/serialize.py`` of torch 2.13.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch.export import ExportedProgram
from torch.export.pt2_archive._package import PT2ArchiveReader, load_pt2

from dydca.errors import FileError

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|higher_order|torchvision)\.\w+(\.\w+)?"
    r"|torch\.(_sym_sqrt|sym_\w+)|torch\._C\._set_grad_enabled|math\.(ceil|floor|trunc|sqrt|pow)"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|and_|or_|not_|eq|ne|lt|le|gt|ge|abs|index)"
)
_FUNCTION = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Mod|Max|Min|Abs|floor|ceiling|FloorDiv|CleanDiv|CeilDiv|PythonMod"
    r"|ModularIndexing|IntTrueDiv|FloatTrueDiv|FloatPow|PowByNatural|TruncToInt|TruncToFloat|CeilToInt|FloorToInt"
    r"|RoundToInt|RoundDecimal|ToFloat|Where|Identity|Eq|Ne|Equality|Unequality|Relational|StrictLessThan|LessThan"
    r"|StrictGreaterThan|GreaterThan|And|Or|Not|Piecewise|ExprCondPair|true|false|True|False|L|size"
)
_SYMBOL = re.compile(r"[a-z]+\d+")
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.Attribute, ast.Subscript, ast.BinOp,
    ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Tuple,
)  # fmt: skip


def read_pt2(path: Path, *, trusted: bool) -> ExportedProgram:
    """Reads an exported program.

    Args:
        path: A file that torch.export.save wrote.
        trusted: Leaves out the screening.

    Raises:
        FileError: DYD702 it is damaged or of another version, DYD703 it could run code when it is read.
    """
    try:
        if not trusted:
            _require_harmless(path)
        with nullcontext() if trusted else _weights_only():
            return load_pt2(str(path)).exported_programs["model"]
    except FileError:
        raise
    except pickle.UnpicklingError as error:
        what = "an exported program asks for objects that are not known to be safe"
        raise FileError("DYD703", what, where=str(path), got=_first_line(error)) from error
    except Exception as error:  # the reader raises whatever a damaged member makes it stumble over
        what = "this is no readable exported program"
        raise FileError("DYD702", what, where=str(path), got=_first_line(error)) from error


def _require_harmless(path: Path) -> None:
    if findings := sorted(set(_screen(path))):
        raise FileError("DYD703", "an exported program could run code", where=str(path), got="; ".join(findings))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _weights_only() -> Iterator[None]:
    """Lets every torch.load inside be a weights-only one, whatever it asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _screen(path: Path) -> Iterator[str]:
    """What in the archive could run code; read by the same reader that loads it, so both see the same members."""
    with PT2ArchiveReader(str(path)) as reader:
        for name in reader.get_file_names():
            if name.startswith("data/aotinductor") or re.fullmatch(r"data/(weights|constants)/.*\.pt", name):
                yield f"the member {name}"
            elif name.startswith(("data/weights/", "data/constants/")) and name.endswith(".json"):
                yield from _payloads(json.loads(reader.read_string(name)))
            elif name.startswith("models/"):
                yield from _texts(json.loads(reader.read_string(name)))


def _payloads(config: dict[str, Any]) -> Iterator[str]:
    for name, payload in config["config"].items():
        if payload["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"]):
            yield f"the pickled payload {name}"


def _texts(node: Any, key: str = "") -> Iterator[str]:
    """Every operator name and every expression in the program."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("range_constraints",):
                yield from (f"the symbol {symbol!r}" for symbol in value if not _SYMBOL.fullmatch(symbol))
            yield from _texts(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, key)
    elif isinstance(node, str):
        if key == "target" and node.startswith(("torch", "_operator", "math", "#")) and not _OPERATOR.fullmatch(node):
            yield f"the operator {node!r}"
        if key in ("expr_str", "guards_code") and not _is_arithmetic(node):
            yield f"the expression {node[:80]!r}"


def _is_arithmetic(text: str) -> bool:
    """Whether a text is arithmetic on sizes and nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return False
    return all(map(_is_harmless, ast.walk(tree)))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return bool(_FUNCTION.fullmatch(node.id) or _SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Attribute):
        return node.attr == "size"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return bool(re.fullmatch(r"\w{1,200}", node.value)) and "__" not in node.value
    return isinstance(node, _NODES)
