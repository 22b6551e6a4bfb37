"""Runs an iterator in a thread of its own, a few items ahead of whoever takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Full, Queue
from typing import TypeVar

T = TypeVar("T")

_END = object()


@contextmanager
def prefetched(items: Iterable[T], ahead: int = 3) -> Iterator[Iterator[T]]:
    """Take from `items` in a thread; an error of theirs is raised where their next item would have come.

    Args:
        items: Used by that thread only, which has ended when the ``with`` is left.
        ahead: Items that may wait, which bounds the memory.
    """
    waiting: Queue[object] = Queue(ahead)
    stopped = threading.Event()

    def put(item: object) -> None:
        while not stopped.is_set():
            with suppress(Full):
                waiting.put(item, timeout=0.1)
                break

    def fill() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(_END)
        except BaseException as error:  # it belongs to whoever takes the items
            put(error)

    def taken() -> Iterator[T]:
        while (item := waiting.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item  # type: ignore[misc]  # what is neither the end nor an error came from `items`

    thread = threading.Thread(target=fill, name="prefetch", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        thread.join()
