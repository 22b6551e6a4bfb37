"""Compiles a network with a soft clip and tells what happened; runs in the environment of the test."""

import importlib
import json
import sys
import zipfile
from typing import Any

import torch
from torch import Tensor, nn

import dydca

if "--with-acme" in sys.argv:
    importlib.import_module("acme_dydca")  # registers the operator
else:
    torch.library.define("acme::soft_clip", "(Tensor x, float limit) -> Tensor")
    torch.library.impl("acme::soft_clip", "CPU", lambda x, limit: limit * torch.tanh(x / limit))
    torch.library.register_fake("acme::soft_clip", lambda x, limit: torch.empty_like(x))


class Net(nn.Module):
    """A convolution, softly clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, 3, H, W]`` to ``[N, 8, H, W]``."""
        y: Tensor = torch.ops.acme.soft_clip(self.conv(x), 0.5)
        return y


torch.manual_seed(0)
net, patch = Net().eval(), (1, 3, 12, 10)
told: dict[str, Any] = {"unruled": dydca.explain(net, [patch]).to_dict()["routes"][0]["unruled"]}  # type: ignore[index]
try:
    with dydca.compile(net, [patch], threads=1, verify=True) as compiled:
        x = torch.randn(patch)
        with torch.no_grad():
            told["error"] = float((compiled(x) - net(x)).abs().max())
        compiled.save("net.dydca")
    told["report"] = json.loads(zipfile.ZipFile("net.dydca").read("report.json"))
except dydca.DydcaError as error:
    told["code"] = error.code
print(json.dumps(told))
