"""A movie's networks from and to safetensors, and compiled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dydca.content.movie.networks import NetworkPlan
from dydca.errors import ContentError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from dydca.runtime import Network


def save_weights(model: nn.Module) -> bytes:
    """The parameters of a network as safetensors."""
    from safetensors.torch import save

    return save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})


def fill(model: nn.Module, weights: bytes, where: Path | str) -> nn.Module:
    """Give a network the parameters that `save_weights` wrote.

    Args:
        model: Changed in place.
        weights: Of a network of the same kind.
        where: What messages call them.

    Returns:
        `model`, in eval mode.

    Raises:
        ContentError: DYD810, they are damaged, or of another network.
        UsageError: DYD902, safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise UsageError("DYD902", "weights need safetensors", fix="pip install 'dydca[content]'") from error
    try:
        model.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        got = " ".join(str(error).split())
        raise ContentError("DYD810", "these weights do not fit the network", where=str(where), got=got) from error
    return model.eval()


def compile_weights(plan: NetworkPlan, weights: bytes, target: str, threads: int | None) -> Network:
    """Compile the network of a plan with these weights for its patches.

    Raises:
        ContentError: DYD810, the weights do not fit.
        BuildError: The tool chain's, or DYD503, no such target.
    """
    from dydca.api import compile

    return compile(fill(plan.build(), weights, "weights"), plan.patch_shapes, target=target, threads=threads)
