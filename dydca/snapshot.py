"""A network as it is now, whatever becomes of the user's own."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

Model = TypeVar("Model")


def snapshot(model: Model) -> Model:
    """A copy of a module, without gradients of its computed tensors; anything else is returned as it is."""
    if not isinstance(model, nn.Module):
        return model
    # torch.nn.utils.weight_norm leaves computed tensors in __dict__, which deepcopy refuses; a detached copy is equal.
    computed = [value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in computed if not value.is_leaf})
