"""Every engine: its environment, the session that drives it, and what its figures stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Engine:
    """One column of the table.

    Attributes:
        title: What the README calls it.
        session: Its module in `bench.peers.sessions`.
        environment: Its file in ``requirements``; None runs in dydca's own environment.
        options: Keyword arguments of the session's functions.
        onnx: Whether it starts from the ONNX file rather than from what PyTorch exports.
        precision: ``fp32``, or what it computes in; only ``fp32`` engines are compared with dydca.
        cases: The only cases it runs; empty for all.
    """

    title: str
    session: str
    environment: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    onnx: bool = False
    precision: str = "fp32"
    cases: tuple[str, ...] = ()


def _openvino(title: str, precision: str, cases: tuple[str, ...] = ()) -> Engine:
    hint = {"precision": {"fp32": "f32", "bf16": "default"}.get(precision, precision)}
    return Engine(title, "open_vino", "openvino", hint, True, precision, cases)


ENGINES: dict[str, Engine] = {
    "dydca": Engine("dydca", "dydca_network"),
    "eager": Engine("torch eager", "torch_eager"),
    "eager_channels_last": Engine("torch eager, channels last", "torch_eager", options={"channels_last": True}),
    "compile": Engine("torch.compile, frozen, max-autotune", "torch_compiled"),
    "onnxruntime": Engine("ONNX Runtime", "onnx_runtime", "onnxruntime", onnx=True),
    "openvino": _openvino("OpenVINO f32", "fp32"),
    "ncnn": Engine("ncnn", "ncnn_net", "ncnn"),
    "mnn": Engine("MNN", "mnn", "mnn", onnx=True),
    "executorch": Engine("ExecuTorch XNNPACK", "execu_torch", "executorch"),
    "litert": Engine("LiteRT XNNPACK", "lite_rt", "litert"),
    "openvino_bf16": _openvino("OpenVINO default", "bf16"),
    "openvino_int8": _openvino("OpenVINO int8 (NNCF)", "int8", ("plain_360",)),
}
