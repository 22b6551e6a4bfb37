"""Patch shapes as a user declares them, and the names of their dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dydca.errors import ShapeError

Shape = tuple[int, ...]
Patch = tuple[Shape, ...]
"""One concrete shape per input of the network, in the order of its inputs."""

_NAMES = {4: ("N", "C", "H", "W"), 3: ("C", "H", "W"), 2: ("H", "W"), 1: ("N",)}


def dim_names(rank: int, suffix: str = "") -> tuple[str, ...]:
    """Names of the axes of a tensor of `rank`: ``N C H W`` for pictures, ``D0 D1 ...`` for other ranks."""
    names = _NAMES.get(rank, tuple(f"D{axis}" for axis in range(rank)))
    return tuple(f"{name}{suffix}" for name in names)


def patch_label(patch: Patch) -> str:
    """A short name for tables and file names: ``108x96``, with batch and further inputs where they matter.

    >>> patch_label(((1, 3, 108, 96),))
    '108x96'
    >>> patch_label(((4, 3, 8, 8), (4, 32)))
    'n4_8x8+4x32'
    """
    return "+".join(map(_shape_label, patch))


def _shape_label(shape: Shape) -> str:
    if len(shape) != 4:
        return "x".join(map(str, shape))
    n, _, h, w = shape
    return f"{h}x{w}" if n == 1 else f"n{n}_{h}x{w}"


def parse_patches(
    declared: Sequence[Sequence[int] | Mapping[str, Sequence[int]]], inputs: Mapping[str, Sequence[int]]
) -> tuple[Patch, ...]:
    """Reads `patch_shapes` into one concrete shape per input, duplicates removed, order kept.

    Args:
        declared: Each entry ``(N, C, H, W)``, or ``(H, W)`` for a network with one picture input, or a mapping
            from input name to shape.
        inputs: The network's inputs by name, each with its sizes where known and -1 where not; an empty
            sequence says that nothing, not even the rank, is known.

    Raises:
        ShapeError: DYD201, an entry is empty, negative, names an unknown input or misses one.
    """
    if not declared:
        raise ShapeError("DYD201", "no patch is declared", got="patch_shapes=[]", want="at least one (N, C, H, W)")
    return tuple(dict.fromkeys(_parse_patch(entry, inputs) for entry in declared))


def _parse_patch(entry: Sequence[int] | Mapping[str, Sequence[int]], inputs: Mapping[str, Sequence[int]]) -> Patch:
    if not isinstance(entry, Mapping):
        if len(inputs) != 1:
            want = "a mapping {name: shape} with " + ", ".join(inputs)
            raise ShapeError("DYD201", "the network has several inputs", got=entry, want=want)
        entry = {name: _completed(name, entry, known) for name, known in inputs.items()}
    if set(entry) != set(inputs):
        raise ShapeError("DYD201", "the patch does not name the inputs", got=sorted(entry), want=sorted(inputs))
    return tuple(_parse_shape(name, entry[name], known) for name, known in inputs.items())


def _parse_shape(name: str, shape: Sequence[int], known: Sequence[int]) -> Shape:
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise ShapeError("DYD201", f"the shape of {name} is not understood", got=shape, want="positive integers")
    if known and len(known) != len(sizes):
        raise ShapeError("DYD201", f"the rank of {name} is another", got=shape, want=f"{len(known)} sizes")
    return sizes


def _completed(name: str, shape: Sequence[int], known: Sequence[int]) -> Sequence[int]:
    """``(H, W)`` of the only picture with batch and channels put before it."""
    free = (-1,) * 4
    if isinstance(shape, str) or len(shape) != 2 or len(known or free) != len(free):
        return shape
    batch, channels = (known or free)[:2]
    if channels < 1:
        want = "(N, C, H, W), or example_inputs that show the channels"
        raise ShapeError("DYD201", f"the number of channels of {name} is not known", got=shape, want=want)
    return (max(batch, 1), channels, *shape)
