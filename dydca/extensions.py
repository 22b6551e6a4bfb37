"""What installed packages add to dydca: rules, passes and kernel hints, found by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from dydca.errors import PassError

Kind = TypeVar("Kind")


def offered(group: str) -> list[tuple[str, Any]]:
    """What installed packages name under an entry point group, imported, with the words for it in messages.

    Raises:
        PassError: DYD305, a package cannot be imported.
    """
    return [(_words(point), _load(point)) for point in sorted(entry_points(group=group))]


def offered_classes(group: str, kind: type[Kind]) -> list[type[Kind]]:
    """The classes under an entry point group.

    Raises:
        PassError: DYD305, a package cannot be imported, or offers anything but a subclass of `kind`.
    """
    found = offered(group)
    for words, thing in found:
        if not (isinstance(thing, type) and issubclass(thing, kind)):
            raise PassError("DYD305", f"{words} is of another kind", got=thing, want=f"a subclass of {kind.__name__}")
    return [thing for _, thing in found]


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # importing foreign code
        got = f"{type(error).__name__}: {error}"
        raise PassError("DYD305", f"{_words(point)} cannot be loaded", got=got) from error


def _words(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist else ""
    return f"{point.group}:{point.name}{package}"
