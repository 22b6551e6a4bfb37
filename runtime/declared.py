"""The patches a manifest declares, and the refusal of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dydca.errors import FileError, RunError, UnknownPatchError
from dydca.runtime.library import MAX_RANK, Library, Shape

Shapes = tuple[Shape, ...]
Declared = list[tuple[Shapes, Shapes]]


def declared_patches(manifest: Mapping[str, object]) -> Declared:
    """The input and output shapes of each entry of ``patches``.

    Raises:
        FileError: DYD702, the manifest does not have the form `Network` describes.
    """
    patches = manifest.get("patches")
    if not isinstance(patches, list) or not patches:
        raise FileError("DYD702", "the manifest declares no patches", got=patches)
    found = []
    for patch in patches:
        if not isinstance(patch, dict):
            raise FileError("DYD702", "a patch of the manifest is malformed", got=patch)
        found.append((_shapes(patch.get("inputs")), _shapes(patch.get("outputs"))))
    if len({len(inputs) for inputs, _ in found}) > 1:
        raise FileError("DYD702", "the patches of the manifest differ in their number of inputs")
    return found


def check_library(library: Library, declared: Declared) -> None:
    """Compare the declared patches with what the library says of itself.

    Raises:
        FileError: DYD702, they differ.
    """
    for inputs, outputs in declared:
        try:
            actual = library.output_shapes(inputs) if len(inputs) == library.inputs else ()
        except UnknownPatchError:
            actual = ()
        if actual != outputs:
            raise FileError("DYD702", "manifest and library disagree", got=actual, want=outputs)


def output_shapes(library: Library, declared: Declared, inputs: Shapes) -> Shapes:
    """The output shapes for inputs of these shapes.

    Raises:
        RunError: DYD603, another rank; DYD604, another number of inputs.
        UnknownPatchError: DYD601, not declared; the message lists what is.
    """
    if len(inputs) != library.inputs:
        raise RunError("DYD604", "wrong number of inputs", got=len(inputs), want=library.inputs)
    for index, shape in enumerate(inputs):
        ranks = sorted({len(patch[index]) for patch, _ in declared})
        if len(shape) not in ranks:
            want = f"rank {', '.join(map(str, ranks))}"
            raise RunError("DYD603", f"input {index} has another rank", got=f"rank {len(shape)}, {shape}", want=want)
    try:
        return library.output_shapes(inputs)
    except UnknownPatchError as error:
        want = ", ".join(_show(patch) for patch, _ in declared)
        what = "the network was not compiled for this patch"
        raise UnknownPatchError("DYD601", what, got=_show(inputs), want=want) from error


def _show(shapes: Sequence[Shape]) -> str:
    return " x ".join(map(str, shapes))


def _shapes(value: object) -> Shapes:
    is_good = isinstance(value, (list, tuple)) and value and all(_is_shape(shape) for shape in value)
    if not isinstance(value, (list, tuple)) or not is_good:
        raise FileError("DYD702", "a patch of the manifest has malformed shapes", got=value)
    return tuple(tuple(shape) for shape in value)


def _is_shape(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_RANK:
        return False
    return all(isinstance(size, int) and not isinstance(size, bool) and 0 < size < 1 << 40 for size in value)
