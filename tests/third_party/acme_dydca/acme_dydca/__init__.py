"""An operator of our own, ``acme::soft_clip``: what a network of ours calls instead of a hard clip."""

import torch
from torch import Tensor


@torch.library.custom_op("acme::soft_clip", mutates_args=())
def soft_clip(x: Tensor, limit: float) -> Tensor:
    """``limit * tanh(x / limit)``."""
    return limit * torch.tanh(x / limit)


@soft_clip.register_fake
def _(x: Tensor, limit: float) -> Tensor:
    return torch.empty_like(x)
