"""ONNX models as networks: beside onnx's own reference, and networks through torch's exporters and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dydca
from bench.zoo.onnx_trip import EXPORTERS, difference, export
from dydca.capture.files import read_model
from dydca.capture.network import own_copy
from dydca.models import create

SHAPE = (1, 4, 6, 8)


def untyped(name: str) -> onnx.ValueInfoProto:
    """A value of whatever type and shape: those of results are not read."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [])


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
) -> onnx.ModelProto:
    """Of one input x with free height and width."""
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, "h", "w"])
    results = [untyped(name) for name in outputs]
    graph = helper.make_graph(list(nodes), "graph", [x], results, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def node(operator: str, *inputs: str, outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, name=f"{operator}_node", **attributes)


def f32(*shape: int, seed: int = 3) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> Any:
    return np.array(numbers, dtype=np.int64)


def reference(proto: onnx.ModelProto, x: torch.Tensor) -> list[Any]:
    return list(ReferenceEvaluator(proto).run(None, {"x": x.numpy()}))


RESIZED = {"coordinate_transformation_mode": "half_pixel", "mode": "linear"}
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "conv": ([node("Conv", "x", "w", "b", pads=[1, 1, 1, 1])], {"w": f32(6, 4, 3, 3), "b": f32(6)}),
    "conv in groups with unequal pads": (
        [node("Conv", "x", "w", pads=[0, 1, 2, 1], strides=[2, 1], group=2)],
        {"w": f32(6, 2, 3, 3)},
    ),
    "transposed": ([node("ConvTranspose", "x", "w", strides=[2, 2], output_padding=[1, 1])], {"w": f32(4, 5, 3, 3)}),
    "gemm": (
        [
            node("GlobalAveragePool", "x", outputs=["p"]),
            node("Flatten", "p", outputs=["f"]),
            node("Gemm", "f", "w", "b", transB=1, alpha=0.5),
        ],
        {"w": f32(3, 4), "b": f32(3)},
    ),
    "flatten from the end": ([node("Flatten", "x", axis=-2)], {}),
    "prelu": ([node("PRelu", "x", "s")], {"s": f32(4, 1, 1)}),
    "leaky relu": ([node("LeakyRelu", "x", alpha=0.2)], {}),
    "gelu": ([node("Erf", "x", outputs=["e"]), node("Mul", "x", "e")], {}),
    "hard sigmoid": ([node("HardSigmoid", "x", alpha=0.25, beta=0.5)], {}),
    "clip": ([node("Clip", "x", "l", "h")], {"l": np.float32(-0.5), "h": np.float32(0.7)}),
    "remainder": ([node("Mod", "x", "d", fmod=1)], {"d": np.float32(0.7)}),
    "integer division": (
        [node("Cast", "x", outputs=["i"], to=7), node("Div", "i", "d")],
        {"d": np.int64(-2)},
    ),
    "batch norm": (
        [node("BatchNormalization", "x", "s", "b", "m", "v")],
        {"s": f32(4), "b": f32(4, seed=4), "m": f32(4, seed=5), "v": abs(f32(4, seed=6)) + 1},
    ),
    "instance norm": ([node("InstanceNormalization", "x", "s", "b")], {"s": f32(4), "b": f32(4)}),
    "layer norm": ([node("LayerNormalization", "x", "s", "b", axis=1)], {"s": f32(4, 6, 8), "b": f32(4, 6, 8)}),
    "softmax": ([node("Softmax", "x", axis=1)], {}),
    "depth to space": ([node("DepthToSpace", "x", blocksize=2, mode="CRD")], {}),
    "depth to space by blocks": ([node("DepthToSpace", "x", blocksize=2, mode="DCR")], {}),
    "space to depth": ([node("SpaceToDepth", "x", blocksize=2)], {}),
    "resize to nearest": (
        [node("Resize", "x", "", "s", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        {"s": np.array([1, 1, 2, 3], np.float32)},
    ),
    "resize by pixels": (
        [node("Resize", "x", "", "s", coordinate_transformation_mode="half_pixel")],
        {"s": np.array([1, 1, 2, 3], np.float32)},
    ),
    "resize linearly": ([node("Resize", "x", "", "s", **RESIZED)], {"s": np.array([1, 1, 2, 2], np.float32)}),
    "resize to a size": ([node("Resize", "x", "", "", "z", **RESIZED)], {"z": ints(1, 4, 9, 16)}),
    "resize by cubic": (
        [node("Resize", "x", "", "s", mode="cubic", cubic_coeff_a=-0.75)],
        {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "pad": ([node("Pad", "x", "p", "v")], {"p": ints(0, 0, 1, 2, 0, 0, 3, 0), "v": np.float32(0.5)}),
    "pad by reflection": ([node("Pad", "x", "p", mode="reflect")], {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    "pad by edge": ([node("Pad", "x", "p", "", "a", mode="edge")], {"p": ints(2, 1), "a": ints(3)}),
    "slice": (
        [node("Slice", "x", "s", "e", "a", "t")],
        {"s": ints(1, -1), "e": ints(2**62, -(2**62)), "a": ints(1, 3), "t": ints(2, -2)},
    ),
    "gather": ([node("Gather", "x", "i", axis=1)], {"i": ints(2, -1, 0)}),
    "gather one": ([node("Gather", "x", "i", axis=1)], {"i": np.int64(-1)}),
    "split": (
        [node("Split", "x", "s", outputs=["a", "b"], axis=1), node("Concat", "b", "a", axis=2)],
        {"s": ints(2, 2)},
    ),
    "transpose": ([node("Transpose", "x", perm=[0, 2, 3, 1])], {}),
    "squeeze": (
        [node("Squeeze", "x", "a", outputs=["q"]), node("Unsqueeze", "q", "b")],
        {"a": ints(0), "b": ints(1, 4)},
    ),
    "expand": (
        [node("ReduceMean", "x", "a", outputs=["m"]), node("Expand", "m", "z")],
        {"a": ints(1), "z": ints(2, 4, 1, 1)},
    ),
    "expand to more axes": (
        [node("Squeeze", "x", "a", outputs=["q"]), node("Expand", "q", "z")],
        {"a": ints(0), "z": ints(2, 3, 1, 1, 1)},
    ),
    "reductions": (
        [node("ReduceMax", "x", "a", outputs=["m"], keepdims=0), node("ReduceL2", "m", "b", keepdims=1)],
        {"a": ints(-1), "b": ints(1)},
    ),
    "argmax": ([node("ArgMax", "x", axis=1, keepdims=0)], {}),
    "topk": ([node("TopK", "x", "k", outputs=["y", "i"], axis=3)], {"k": ints(3)}),
    "where": ([node("Less", "x", "l", outputs=["c"]), node("Where", "c", "x", "l")], {"l": np.float32(0.1)}),
    "max pool": ([node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])], {}),
    "average pool": ([node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {}),
    "scatter": (
        [node("ScatterND", "x", "i", "u")],
        {"i": np.array([[0, 1], [0, 3]], np.int64), "u": f32(2, 6, 8)},
    ),
    "einsum": ([node("Einsum", "x", "w", equation="nchw,oc->nohw")], {"w": f32(5, 4)}),
    "sizes": (
        [
            node("Shape", "x", outputs=["s"]),
            node("Gather", "s", "two", outputs=["h"], axis=0),
            node("Div", "h", "three", outputs=["d"]),
            node("Unsqueeze", "d", "zero", outputs=["u"]),
            node("Concat", "minus", "u", "minus", outputs=["z"], axis=0),
            node("Slice", "z", "zero", "end", outputs=["q"]),
            node("Concat", "q", "tail", outputs=["r"], axis=0),
            node("Reshape", "x", "r"),
        ],
        {"two": np.int64(2), "three": np.int64(3), "zero": ints(0), "minus": ints(-1), "end": ints(2), "tail": ints(3)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_operators_compute_what_the_reference_computes(name: str) -> None:
    nodes, constants = CASES[name]
    proto = model(nodes, constants)
    x = torch.from_numpy(f32(*SHAPE, seed=8))
    results = dydca.capture(proto, [SHAPE]).run(x)
    for have, want in zip(results, reference(proto, x), strict=True):
        assert tuple(have.shape) == np.shape(want)
        np.testing.assert_allclose(have.numpy(), want, rtol=1e-5, atol=1e-5)


def test_a_size_that_is_free_stays_free_and_nodes_are_named() -> None:
    proto, x = model(*CASES["sizes"]), torch.rand(1, 4, 12, 10)
    program = dydca.capture(proto, [SHAPE, tuple(x.shape)])
    assert len(program.routes) == 1
    np.testing.assert_array_equal(program.run(x)[0].numpy(), reference(proto, x)[0])
    (named,) = [n for n in program.routes[0].graph if "Reshape_node" in str(n.meta.get("stack_trace"))]
    assert dydca.program.source_line(named) == "model.onnx[Reshape_node]:8"


def branching() -> onnx.ModelProto:
    """Doubles bright pictures, negates others, and then adds 1 three times."""
    bright = helper.make_graph([node("Add", "x", "x", outputs=["b"])], "bright", [], [untyped("b")])
    dark = helper.make_graph([node("Neg", "x", outputs=["d"])], "dark", [], [untyped("d")])
    step = [node("Add", "carried", "one", outputs=["next"]), node("Identity", "going", outputs=["still"])]
    given, kept = map(untyped, ("i", "going", "carried")), map(untyped, ("still", "next"))
    body = helper.make_graph(step, "body", list(given), list(kept))
    nodes = [
        node("ReduceMean", "x", outputs=["m"], keepdims=0),
        node("Greater", "m", "zero", outputs=["c"]),
        node("If", "c", outputs=["r"], then_branch=bright, else_branch=dark),
        node("Loop", "three", "true", "r", body=body),
    ]
    return model(nodes, {"zero": np.float32(0), "one": np.float32(1), "three": np.int64(3), "true": np.array(True)})


def test_an_if_is_two_routes_and_a_loop_is_unrolled() -> None:
    program = dydca.capture(branching(), [SHAPE])
    assert len(program.routes) == 2
    assert "model.onnx[If_node]:3" in program.routes[0].predicate
    for x in (torch.rand(SHAPE), -torch.rand(SHAPE)):
        (want,) = reference(branching(), x)
        np.testing.assert_allclose(program.run(x)[0].numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ["espcn", "rt4ksr_block_nafbase", "swrn"])
def test_networks_come_back(name: str, exporter: str, tmp_path: Path) -> None:
    network = create(name, scale=4 if name == "swrn" else 2).eval()
    facts = dydca.models.facts(name, scale=4 if name == "swrn" else 2)
    inputs = [torch.rand(shape) for shape in facts.shapes(24, 32).values()]
    export(network, inputs, exporter, tmp_path / "network.onnx")
    assert difference(network, tmp_path / "network.onnx", inputs) <= 1e-4


def test_weights_keep_their_names_and_compiled_code_runs(tmp_path: Path) -> None:
    network = create("espcn", scale=2).eval()
    x = torch.rand(next(iter(dydca.models.facts("espcn", scale=2).shapes(12, 10).values())))
    export(network, [x], "TorchScript", tmp_path / "network.onnx")
    read = own_copy(read_model(tmp_path / "network.onnx"))
    assert {name for name, _ in read.named_parameters()} >= set(network.state_dict())
    proto = onnx.load(tmp_path / "network.onnx")
    counted = dydca.explain(proto, [tuple(x.shape)]).parameters
    assert counted == sum(parameter.numel() for parameter in network.parameters())
    with dydca.compile(proto, [tuple(x.shape)]) as compiled, torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = branching().SerializeToString()
    outside = model([node("Add", "x", "w")], {"w": f32(4, 1, 1)})
    outside.graph.initializer[0].ClearField("raw_data")
    outside.graph.initializer[0].data_location = TensorProto.EXTERNAL
    outside.graph.initializer[0].external_data.add(key="location", value="../secret")
    (tmp_path.parent / "secret").write_bytes(bytes(16))
    cyclic = model([node("Add", "x", "b", outputs=["a"]), node("Neg", "a", outputs=["b"]), node("Neg", "b")])
    damaged = [b"", b"no model", whole[: len(whole) // 2], outside.SerializeToString(), cyclic.SerializeToString()]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(dydca.DydcaError, match="DYD702"):
            read_model(path)


@pytest.mark.parametrize(
    ("proto", "told"),
    [
        (model([node("StringNormalizer", "x")]), "StringNormalizer"),
        (model([node("Conv", "x", "w", auto_pad="SAME_UPPER")], {"w": f32(4, 4, 3, 3)}), "Conv_node"),
        (model([node("Relu", "x")], opset=9), "opset 9"),
        (model([node("Cast", "x", outputs=["s"], to=7), node("Reshape", "x", "s")]), "values"),
    ],
)
def test_what_is_not_read_is_refused_with_the_node(proto: onnx.ModelProto, told: str) -> None:
    with pytest.raises(dydca.DydcaError, match=f"DYD112(.|\n)*{told}"):
        dydca.capture(proto, [SHAPE])
