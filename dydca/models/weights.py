"""Reads safetensors with the authors' tensor names into the networks of the zoo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def load_weights(model: Network, path: str | Path) -> Network:
    """Fill a network with the tensors of a file; every tensor of both must be used.

    The names in the file may be those of the network itself or those of its authors, which a network states as
    ``author_names``: pairs of a regular expression and its replacement, each applied once to a name of the file.
    A ``module.`` in front, which data-parallel training leaves, is taken off.

    Args:
        model: The network; changed in place.
        path: A ``.safetensors`` file.

    Returns:
        `model`.

    Raises:
        ModuleNotFoundError: safetensors is not installed.
        OSError: The file cannot be read.
        ValueError: The file is damaged, or its tensors are not those of the network; the message lists the first.
    """
    tensors = _read(path)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if tensors.keys() != wanted.keys():
        tensors = {_own_name(name, getattr(model, "author_names", ())): value for name, value in tensors.items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    faults = [name for name in sorted(found | wanted) if found.get(name) != wanted.get(name)]
    if faults:
        first = "; ".join(f"{name}: {found.get(name)} for {wanted.get(name)}" for name in faults[:3])
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"{path} does not hold the weights of this {type(model).__name__}: {first}{more}")
    model.load_state_dict(tensors)
    return model


def _read(path: str | Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def _own_name(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    name = name.removeprefix("module.")
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name, count=1)
    return name
