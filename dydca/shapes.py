"""Patch shapes as a user declares them, and the names of their dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeGuard

from torch.export import Dim as TorchDim

from dydca.errors import ShapeError

MAX_ROUTES = 64
"""How many routes one patch may have, unless a caller says otherwise."""

Shape = tuple[int, ...]
Patch = tuple[Shape, ...]
"""One concrete shape per input of the network, in the order of its inputs."""


@dataclass(frozen=True)
class Dim:
    """A size that is any multiple of `multiple_of` in ``min..max``; what has the same name has the same size.

    Raises:
        ShapeError: DYD106, no size is in the range, or a bound is not positive.

    >>> Dim("h", 16, 256, multiple_of=2).sizes
    range(16, 257, 2)
    """

    name: str
    min: int
    max: int
    multiple_of: int = 1

    def __post_init__(self) -> None:
        numbers = (self.min, self.max, self.multiple_of)
        if not self.name.isidentifier() or not all(type(number) is int and number > 0 for number in numbers):
            raise ShapeError("DYD106", "the range of a size is not understood", got=self)
        if not self.sizes:
            raise ShapeError("DYD106", "the range of a size is empty", got=self)

    @property
    def sizes(self) -> range:
        """The sizes, rising."""
        return range(-(-self.min // self.multiple_of) * self.multiple_of, self.max + 1, self.multiple_of)

    def __str__(self) -> str:
        step = f":{self.multiple_of}" if self.multiple_of != 1 else ""
        return f"{self.name}:{self.min}..{self.max}{step}"


RangedShape: TypeAlias = tuple[int | Dim, ...]
AnyShape: TypeAlias = Sequence[int | Dim | TorchDim]
"""A shape as a user may write it."""


@dataclass(frozen=True)
class PatchRange:
    """All patches whose sizes lie in declared ranges; `shapes` is one per input, with at least one `Dim` in all."""

    shapes: tuple[RangedShape, ...]

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The ranges, each name once."""
        return tuple(dict.fromkeys(size for shape in self.shapes for size in shape if isinstance(size, Dim)))

    def patch(self, sizes: Mapping[str, int]) -> Patch:
        """The patch whose ranges take the given sizes, by name."""
        return tuple(tuple(sizes[s.name] if isinstance(s, Dim) else s for s in shape) for shape in self.shapes)

    def __contains__(self, patch: Patch) -> bool:
        if tuple(map(len, patch)) != tuple(map(len, self.shapes)):
            return False
        pairs = [pair for shapes in zip(self.shapes, patch, strict=True) for pair in zip(*shapes, strict=True)]
        sizes = {declared.name: size for declared, size in pairs if isinstance(declared, Dim)}
        return all(sizes[dim.name] in dim.sizes for dim in self.dims) and self.patch(sizes) == patch

    def __str__(self) -> str:
        return "+".join("x".join(map(str, shape)) for shape in self.shapes)


class Declared(NamedTuple):
    """What `patch_shapes` says: single patches and ranges of patches."""

    patches: tuple[Patch, ...]
    ranges: tuple[PatchRange, ...]


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
    declared: Sequence[AnyShape | Mapping[str, AnyShape]], inputs: Mapping[str, Sequence[int]]
) -> Declared:
    """Reads `patch_shapes` into one shape per input, duplicates removed, order kept.

    Args:
        declared: Each entry ``(N, C, H, W)``, or ``(H, W)`` for a network with one picture input, or a mapping
            from input name to shape. A size is a number, a `Dim`, or a ``torch.export.Dim`` with both bounds.
        inputs: The network's inputs by name, each with its sizes where known and -1 where not; an empty
            sequence says that nothing, not even the rank, is known.

    Raises:
        ShapeError: DYD201, an entry is empty, negative, of another rank than the others, names an unknown input or
            misses one; DYD106, a range is not understood.
    """
    if not declared:
        raise ShapeError("DYD201", "no patch is declared", got="patch_shapes=[]", want="at least one (N, C, H, W)")
    entries = dict.fromkeys(_parse_entry(entry, inputs) for entry in declared)
    if len(ranks := dict.fromkeys(tuple(map(len, shapes)) for shapes in entries)) > 1:
        raise ShapeError("DYD201", "the patches differ in rank", got=" and ".join(map(str, ranks)))
    patches = tuple(shapes for shapes in entries if _is_patch(shapes))
    return Declared(patches, tuple(PatchRange(shapes) for shapes in entries if not _is_patch(shapes)))


def _is_patch(shapes: tuple[RangedShape, ...]) -> TypeGuard[Patch]:
    return not any(isinstance(size, Dim) for shape in shapes for size in shape)


def _parse_entry(
    entry: AnyShape | Mapping[str, AnyShape], inputs: Mapping[str, Sequence[int]]
) -> tuple[RangedShape, ...]:
    if not isinstance(entry, Mapping):
        if len(inputs) != 1:
            want = "a mapping {name: shape} with " + ", ".join(inputs)
            raise ShapeError("DYD201", "the network has several inputs", got=entry, want=want)
        entry = {name: _completed(name, entry, known) for name, known in inputs.items()}
    if set(entry) != set(inputs):
        raise ShapeError("DYD201", "the patch does not name the inputs", got=sorted(entry), want=sorted(inputs))
    shapes = tuple(_parse_shape(name, entry[name], known) for name, known in inputs.items())
    named: dict[str, Dim] = {}
    for dim in PatchRange(shapes).dims:
        if named.setdefault(dim.name, dim) != dim:
            raise ShapeError("DYD106", "one name has two ranges", got=f"{named[dim.name]} and {dim}")
    return shapes


def _parse_shape(name: str, shape: AnyShape, known: Sequence[int]) -> RangedShape:
    sizes = tuple(map(parse_size, shape)) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if not sizes or not all(isinstance(size, Dim) or (type(size) is int and size > 0) for size in sizes):
        raise ShapeError("DYD201", f"the shape of {name} is not understood", got=shape, want="positive integers")
    if known and len(known) != len(sizes):
        raise ShapeError("DYD201", f"the rank of {name} is another", got=shape, want=f"{len(known)} sizes")
    return sizes


def parse_size(size: int | Dim | TorchDim) -> int | Dim:
    """A ``torch.export.Dim`` as a range of ours.

    Raises:
        ShapeError: DYD106, it is derived from another, or has no upper bound.
    """
    if not isinstance(size, TorchDim):
        return size
    low, high = size.min, size.max
    if type(size) is not TorchDim or not isinstance(high, int):
        fix = f'write dydca.Dim("{size.__name__}", min, max)'
        raise ShapeError("DYD106", "a torch.export.Dim needs both bounds", got=size, fix=fix)
    return Dim(size.__name__, max(low, 1), high)


def _completed(name: str, shape: AnyShape, known: Sequence[int]) -> AnyShape:
    """``(H, W)`` of the only picture with batch and channels put before it."""
    free = (-1,) * 4
    if isinstance(shape, str) or len(shape) != 2 or len(known or free) != len(free):
        return shape
    batch, channels = (known or free)[:2]
    if channels < 1:
        want = "(N, C, H, W), or example_inputs that show the channels"
        raise ShapeError("DYD201", f"the number of channels of {name} is not known", got=shape, want=want)
    return (max(batch, 1), channels, *shape)
