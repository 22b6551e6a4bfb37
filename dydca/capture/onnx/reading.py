"""ONNX files and protos, checked and turned into a module."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from dydca.capture.onnx.network import Body, OnnxNetwork, network_type
from dydca.capture.onnx.numbers import Numbers, numbers_of, tensor_of
from dydca.capture.onnx.table import OPERATORS, Node
from dydca.capture.onnx.types import TORCH_TYPES
from dydca.errors import CaptureError, FileError

if TYPE_CHECKING:
    import onnx

OLDEST = 11
"""Opset; before it Resize, Clip and Pad meant something else."""

SMALL = 2**16
"""Constants of more elements are computed by the network, as the model says."""

_OWN_DOMAINS = ("", "ai.onnx")
_TAKEN = {*dir(nn.Module()), "body", "file", "run", "stated_inputs"}
"""Names of what a module already has."""

_FLOW = ("If", "Loop", "Constant")


def is_onnx(value: object) -> bool:
    """Whether a value is an ``onnx.ModelProto``."""
    return f"{type(value).__module__}.{type(value).__name__}".startswith("onnx.") and hasattr(value, "opset_import")


def read_onnx(path: Path) -> OnnxNetwork:
    """Reads a file, and tensors it keeps in other files of its folder.

    Raises:
        FileError: DYD702 it is no valid model, DYD706 the package onnx is absent.
        CaptureError: DYD112, a node is of a kind that is not read.
    """
    library = _library()
    try:
        model = library.load(path)
        library.checker.check_model(path)  # by its path, as a model of 2 GiB cannot be checked otherwise
    except Exception as error:  # the reader and the checker raise whatever a damaged file makes them stumble over
        raise _damaged(str(path), error) from error
    return _network(library, model, path.name)


def network_of(model: Any) -> OnnxNetwork:
    """The network in an ``onnx.ModelProto``.

    Raises:
        FileError: DYD702 it is no valid model, DYD706 the package onnx is absent.
        CaptureError: DYD112, a node is of a kind that is not read.
    """
    library = _library()
    try:
        library.checker.check_model(model)
    except Exception as error:  # likewise
        raise _damaged("an onnx.ModelProto", error) from error
    return _network(library, model, "model.onnx")


def _network(library: Any, model: onnx.ModelProto, file: str) -> OnnxNetwork:
    opset = max((entry.version for entry in model.opset_import if entry.domain in _OWN_DOMAINS), default=0)
    if opset < OLDEST:
        got = f"opset {opset}"
        raise CaptureError("DYD112", "the ONNX model is of an older version than is read", got=got, want=OLDEST)
    try:
        graph = library.inliner.inline_local_functions(model).graph
        reader = _Reader(library, opset)
        body = reader.body(graph, frozenset())
        stated = [_stated(entry) for entry in graph.input if entry.name in body.inputs]
    except CaptureError:
        raise
    except Exception as error:  # likewise
        raise _damaged(file, error) from error
    names = tuple(_unique(re.sub(r"\W", "_", name) for name in body.inputs))
    return network_type(names)(file, body, reader.constants, stated)


def _library() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.inliner
        import onnx.numpy_helper
    except ImportError as error:
        raise FileError("DYD706", "reading ONNX needs the package onnx", got=str(error)) from error
    return onnx


def _damaged(where: str, error: Exception) -> FileError:
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileError("DYD702", "this is no valid ONNX model", where=where, got=message)


def _stated(entry: onnx.ValueInfoProto) -> tuple[torch.dtype, tuple[int, ...]]:
    tensor = entry.type.tensor_type
    if tensor.elem_type not in TORCH_TYPES:
        got = f"{entry.name} of element type {tensor.elem_type}"
        raise CaptureError("DYD112", "an input of the ONNX model is no tensor of numbers", got=got)
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return TORCH_TYPES[tensor.elem_type], tuple(sizes)


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Each name as one that Python takes, and no name twice."""
    seen: set[str] = set()
    for name in names:
        stem = f"_{name}" if not name.isidentifier() or iskeyword(name) else name
        free = next(each for each in _numbered(stem) if each not in seen)
        seen.add(free)
        yield free


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}_{number}" for number in count(2))


class _Reader:
    """Collects the constants of a model while its graphs are read."""

    def __init__(self, library: Any, opset: int) -> None:
        self.library, self.opset = library, opset
        self.constants: dict[str, Tensor] = {}

    def body(self, graph: onnx.GraphProto, known: frozenset[str]) -> Body:
        """A graph; `known` are the names of values around it.

        Raises:
            FileError: DYD702, it reads what nobody made.
        """
        stored = {entry.name: self._tensor(entry) for entry in graph.initializer}
        inputs = tuple(entry.name for entry in graph.input if entry.name not in stored)
        made, nodes = known | stored.keys() | set(inputs), list[Node]()
        for node in graph.node:
            if absent := [name for name in node.input if name and name not in made]:
                raise FileError("DYD702", "a node reads what nobody made before", where=node.name, got=absent[0])
            if node.op_type == "Constant":
                stored[node.output[0]] = self._constant(node)
            elif (constants := _folded(read := self._node(node, stored, made), stored)) is not None:
                stored |= constants
            else:
                nodes.append(read)
            made = made.union(node.output)
        outputs = tuple(entry.name for entry in graph.output)
        if absent := [name for name in outputs if name not in made]:
            raise FileError("DYD702", "an output that nobody made", where=graph.name, got=absent[0])
        numbers = {name: found for name, tensor in stored.items() if (found := numbers_of(tensor)) and _is_plain(found)}
        paths = {name: self._store(name, tensor) for name, tensor in stored.items() if name not in numbers}
        return Body(inputs, tuple(nodes), outputs, paths, numbers)

    def _node(self, node: onnx.NodeProto, stored: Mapping[str, Tensor], made: frozenset[str]) -> Node:
        attributes = {entry.name: self._attribute(entry, made) for entry in node.attribute}
        label = node.op_type if node.domain in _OWN_DOMAINS else f"{node.domain}::{node.op_type}"
        name = node.name or node.output[0]
        constants = {name: numbers_of(stored[name]) for name in node.input if name in stored}
        own = {name: numbers for name, numbers in constants.items() if numbers is not None}
        read = Node(label, name, tuple(node.input), tuple(node.output), attributes, self.opset, own)
        if label not in OPERATORS and label not in _FLOW:
            raise CaptureError(
                "DYD112", f"the ONNX operator {label} is not read", where=name, got=f"opset {self.opset}"
            )
        return read

    def _attribute(self, entry: onnx.AttributeProto, made: frozenset[str]) -> Any:
        value = self.library.helper.get_attribute_value(entry)
        kinds = self.library.AttributeProto
        if entry.type == kinds.GRAPH:
            return self.body(value, made)
        if entry.type == kinds.TENSOR:
            return self._tensor(value)
        return value.decode() if isinstance(value, bytes) else value

    def _constant(self, node: onnx.NodeProto) -> Tensor:
        (entry,) = node.attribute
        value = self.library.helper.get_attribute_value(entry)
        if entry.name == "value":
            return self._tensor(value)
        if entry.name not in ("value_float", "value_floats", "value_int", "value_ints"):
            raise CaptureError("DYD112", f"an ONNX constant by {entry.name} is not read", where=node.output[0])
        return torch.tensor(value, dtype=torch.float32 if "float" in entry.name else torch.int64)

    def _tensor(self, entry: onnx.TensorProto) -> Tensor:
        if entry.data_type not in TORCH_TYPES:
            got = f"{entry.name} of element type {entry.data_type}"
            raise CaptureError("DYD112", "an ONNX tensor is of an element type that is not read", got=got)
        array = self.library.numpy_helper.to_array(entry)
        if TORCH_TYPES[entry.data_type] == torch.bfloat16:
            array = array.astype("float32")
        return torch.from_numpy(array.copy()).to(TORCH_TYPES[entry.data_type])

    def _store(self, name: str, tensor: Tensor) -> str:
        """The path at which a module may keep the tensor: its name with what torch forbids replaced."""
        parts = [re.sub(r"\W", "_", part) or "_" for part in name.strip(".").split(".")]
        parts = [
            f"{part}_" if hasattr(OnnxNetwork, part) or part in ("body", "file", "stated_inputs") else part
            for part in parts
        ]
        stem = ".".join(parts)
        free = next(filter(self._is_free, _numbered(stem)))
        self.constants[free] = tensor
        return free

    def _is_free(self, path: str) -> bool:
        ahead = path.split(".")
        inside = any(".".join(ahead[:end]) in self.constants for end in range(1, len(ahead) + 1))
        return not inside and not any(other.startswith(f"{path}.") for other in self.constants)


def _folded(node: Node, stored: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The results of a node that computes a few constants from constants, None for any other."""
    if node.operator in _FLOW or not node.inputs or not all(name in stored for name in node.inputs if name):
        return None
    operands = [stored[name] if name else None for name in node.inputs]
    values = [numbers_of(tensor) if tensor is not None else None for tensor in operands]
    chosen = [number if number and _is_plain(number) else own for number, own in zip(values, operands, strict=True)]
    made = OPERATORS[node.operator](node, *chosen)
    results = [tensor_of(value) for value in (made if isinstance(made, list | tuple) else (made,))]
    return dict(zip(node.outputs, results, strict=False)) if sum(r.numel() for r in results) <= SMALL else None


def _is_plain(numbers: Numbers) -> bool:
    """Whether the numbers stand in for the tensor everywhere: whole ones, and single ones."""
    return numbers.scalar or not numbers.dtype.is_floating_point
