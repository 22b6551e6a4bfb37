"""How tensors are put together into what a Python function takes or returns, as plain data.

A structure is the number of a tensor, or ``{"tuple": [...]}``, ``{"list": [...]}``, ``{"dict": {...}}``,
``{"named": "Point", "fields": {...}}`` for a named tuple, or ``{"constant": ...}`` for what is no tensor.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, TypeGuard

Structure: TypeAlias = int | dict[str, Any]

CONSTANTS = (bool, int, float, str, type(None))


def rebuild(structure: Structure, tensors: Sequence[Any]) -> Any:
    """The structure with tensors in place of their numbers."""
    if isinstance(structure, int):
        return tensors[structure]
    (kind, content), *_ = structure.items()
    if kind == "dict":
        return {key: rebuild(part, tensors) for key, part in content.items()}
    if kind == "named":
        fields: dict[str, Structure] = structure["fields"]
        return _named(content, tuple(fields))(*(rebuild(part, tensors) for part in fields.values()))
    if kind == "constant":
        return content
    parts = [rebuild(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts


@lru_cache
def _named(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)  # its fields come from the network


def leaves(value: Any) -> Iterator[Any]:
    """What is in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def is_structure(value: object, count: int, depth: int = 16) -> TypeGuard[Structure]:
    """Whether a value is a structure of `count` tensors at most."""
    if type(value) is int:
        return 0 <= value < count
    if not isinstance(value, dict) or depth == 0:
        return False
    content = next(iter(value.values()), None)
    match tuple(value):
        case ("tuple",) | ("list",):
            parts = content
        case ("dict",):
            parts = list(content.values()) if isinstance(content, dict) else None
        case ("named", "fields") if _is_name(content) and isinstance(value["fields"], dict):
            parts = list(value["fields"].values()) if all(map(_is_name, value["fields"])) else None
        case ("constant",):
            return isinstance(content, CONSTANTS)
        case _:
            return False
    return isinstance(parts, list) and all(is_structure(part, count, depth - 1) for part in parts)


def _is_name(text: object) -> bool:
    """Whether a named tuple or a field of it may be called so."""
    if not isinstance(text, str):
        return False
    try:
        namedtuple("Checked", [text])
    except ValueError:
        return False
    return True
