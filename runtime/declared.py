"""What a manifest declares: element types, patches and their results; and the refusal of all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dydca.errors import FileError, RunError, UnknownPatchError
from dydca.runtime.library import MAX_RANK, TYPES, Library, Shape, Spec
from dydca.runtime.structure import Structure, is_structure

Shapes = tuple[Shape, ...]


class DeclaredPatch(NamedTuple):
    """Shapes of the inputs, the largest of each output, and whether values decide which shape an output has."""

    inputs: Shapes
    outputs: Shapes
    varies: bool


@dataclass(frozen=True)
class Declaration:
    """The tensors of a network.

    Attributes:
        inputs: Element types, by input; a value of `library.TYPES`.
        outputs: Element types, by output.
        patches: In the order of the manifest.
        structure: How the outputs are put together.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    patches: tuple[DeclaredPatch, ...]
    structure: Structure

    def check(self, library: Library) -> None:
        """Compares with what the library says of itself.

        Raises:
            FileError: DYD702, they differ.
        """
        for patch in self.patches:
            want = tuple(map(Spec, self.outputs, patch.outputs))
            try:
                got = library.outputs_for(self._specs(patch.inputs)) if len(self.inputs) == library.inputs else ()
            except RunError:
                got = ()
            if got != want:
                raise FileError("DYD702", "manifest and library disagree", got=got, want=want)

    def find(self, inputs: Shapes) -> DeclaredPatch:
        """The patch with inputs of these shapes.

        Raises:
            RunError: DYD603, another rank; DYD604, another number of inputs.
            UnknownPatchError: DYD601, not declared; the message lists what is.
        """
        if len(inputs) != len(self.inputs):
            raise RunError("DYD604", "wrong number of inputs", got=len(inputs), want=len(self.inputs))
        for patch in self.patches:
            if patch.inputs == inputs:
                return patch
        for index, shape in enumerate(inputs):
            ranks = sorted({len(patch.inputs[index]) for patch in self.patches})
            if len(shape) not in ranks:
                got, want = f"rank {len(shape)}, {shape}", f"rank {', '.join(map(str, ranks))}"
                raise RunError("DYD603", f"input {index} has another rank", got=got, want=want)
        want = ", ".join(_show(patch.inputs) for patch in self.patches)
        what = "the network was not compiled for this patch"
        raise UnknownPatchError("DYD601", what, got=_show(inputs), want=want)

    def _specs(self, shapes: Shapes) -> list[Spec]:
        return [Spec(*pair) for pair in zip(self.inputs, shapes, strict=True)]


def read_declaration(manifest: Mapping[str, object]) -> Declaration:
    """Reads ``inputs``, ``outputs``, ``patches`` and ``structure`` of a manifest.

    Raises:
        FileError: DYD702, the manifest does not have the form `Network` describes.
    """
    inputs, outputs = _types(manifest, "inputs"), _types(manifest, "outputs")
    patches = manifest.get("patches")
    if not isinstance(patches, list) or not patches:
        raise FileError("DYD702", "the manifest declares no patches", got=patches)
    bare: Structure = 0 if len(outputs) == 1 else {"tuple": list(range(len(outputs)))}
    structure = manifest.get("structure", bare)
    if not is_structure(structure, len(outputs)):
        raise FileError("DYD702", "the structure of the outputs is malformed", got=structure)
    found = tuple(_patch(patch, len(inputs), len(outputs)) for patch in patches)
    return Declaration(inputs, outputs, found, structure)


def _types(manifest: Mapping[str, object], side: str) -> tuple[str, ...]:
    tensors = manifest.get(side)
    types = [tensor.get("type") for tensor in tensors if isinstance(tensor, dict)] if isinstance(tensors, list) else []
    known = tuple(str(type_) for type_ in types if type_ in TYPES.values())
    if not known or not isinstance(tensors, list) or len(known) != len(tensors):
        raise FileError("DYD702", f"the {side} of the manifest are malformed", got=tensors)
    return known


def _patch(patch: object, inputs: int, outputs: int) -> DeclaredPatch:
    if not isinstance(patch, dict):
        raise FileError("DYD702", "a patch of the manifest is malformed", got=patch)
    given = _shapes(patch.get("inputs"), inputs)
    return DeclaredPatch(given, _shapes(patch.get("outputs"), outputs), "results" in patch)


def _shapes(value: object, count: int) -> Shapes:
    is_good = isinstance(value, (list, tuple)) and len(value) == count and all(map(_is_shape, value))
    if not isinstance(value, (list, tuple)) or not is_good:
        raise FileError("DYD702", "a patch of the manifest has malformed shapes", got=value, want=f"{count} shapes")
    return tuple(tuple(shape) for shape in value)


def _is_shape(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_RANK:
        return False
    return all(isinstance(size, int) and not isinstance(size, bool) and 0 < size < 1 << 40 for size in value)


def _show(shapes: Sequence[Shape]) -> str:
    return " x ".join(map(str, shapes))
