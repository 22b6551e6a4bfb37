"""What is accepted as a network, made a module of our own."""

from __future__ import annotations

import copy

import torch
from torch import fx, nn
from torch.export import ExportedProgram

from dydca.capture.interception import choose_arm
from dydca.capture.values import named_tensors
from dydca.errors import CaptureError
from dydca.snapshot import snapshot


def own_copy(model: object) -> nn.Module:
    """The network as a module of ours, in eval mode.

    Raises:
        CaptureError: DYD102, it is no network.
    """
    if isinstance(model, ExportedProgram):
        return _asking(model.module())  # a fresh module each time; eval mode was settled when it was exported
    if isinstance(model, torch.jit.ScriptModule):
        fix = "pass the nn.Module the script was made from, or torch.export.export it"
        raise CaptureError("DYD102", "a TorchScript module has no capturable source", got=type(model).__name__, fix=fix)
    if not isinstance(model, nn.Module):
        raise CaptureError("DYD102", "this is no network", got=type(model).__name__, want="an nn.Module")
    network = model.module if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel) else model
    return _asking(snapshot(network).eval())


def fresh_copy(module: nn.Module) -> nn.Module:
    """A network with the same tensors that remembers nothing of earlier calls.

    A mask that is made at the first call and kept would otherwise lead the next patch on a path of its own.
    """
    return copy.deepcopy(module, {id(tensor): tensor for _, tensor in named_tensors(module)})


def _asking(module: nn.Module) -> nn.Module:
    """Lets graphs that hold a ``torch.cond`` ask for its predicate."""
    for part in module.modules():
        if isinstance(part, fx.GraphModule):
            for node in part.graph.find_nodes(op="call_function", target=torch.ops.higher_order.cond):
                node.target = choose_arm
            part.recompile()
    return module
