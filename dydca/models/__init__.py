"""Super-resolution networks as plain ``torch.nn.Module`` classes; nothing here knows that dydca compiles them.

```python
model = dydca.models.create("etds_m4c32", scale=2)          # in training form, with random weights
model = dydca.models.load("etds_m4c32", "weights.safetensors", scale=2)  # in the form the file holds
dydca.models.facts("etds_m4c32", scale=2).parameters        # 38352
```
"""

from pathlib import Path

from torch import nn

from dydca.models import (
    abpn,
    block_chains,
    dydca_wdsr,
    ecbsr,
    elsr,
    etds,
    imdn,
    mvsr,
    padding,
    plain,
    routers,
    rt4ksr,
    swrn,
    vapsr,
)
from dydca.models.dydca_wdsr import WDSR, Block, DynamicWDSR, WeightNormConv2d
from dydca.models.registry import Entry, Facts, Registry
from dydca.models.weights import load_weights

__all__ = [
    "WDSR",
    "Block",
    "DynamicWDSR",
    "Facts",
    "WeightNormConv2d",
    "create",
    "every",
    "facts",
    "list",
    "load",
    "load_weights",
]

_FAMILIES = (
    etds, ecbsr, abpn, plain, elsr, rt4ksr, swrn, vapsr, imdn, mvsr, dydca_wdsr, routers, padding, block_chains,
)  # fmt: skip
_REGISTRY = Registry(entry for family in _FAMILIES for entry in family.ENTRIES)


def create(name: str, scale: int | None = None) -> nn.Module:
    """Build a network with random weights, in the form it is trained in unless the name says otherwise.

    Args:
        name: One of `list`.
        scale: Upscaling factor; may be left out where there is only one.

    Raises:
        ValueError: No such name or scale; the message lists those there are.
    """
    return _REGISTRY.find(name, scale).build()


def load(name: str, path: str | Path, scale: int | None = None) -> nn.Module:
    """Build the form of a network whose tensors a file holds, and fill it.

    Tried are the named network and those whose names extend it: ``etds_m4c32`` also reads a file of
    ``etds_m4c32_inference``.

    Args:
        name: One of `list`.
        path: A ``.safetensors`` file.
        scale: Upscaling factor; may be left out where there is only one.

    Returns:
        The network, in eval mode.

    Raises:
        ValueError: No such name or scale, or the file fits none of the forms; then the first one's misfit is told.
        OSError: The file cannot be read.
    """
    forms = _REGISTRY.forms(name, scale)
    refusals: dict[str, ValueError] = {}
    for form in forms:
        try:
            return load_weights(form.build(), path).eval()
        except ValueError as refusal:
            refusals[form.facts.name] = refusal
    raise ValueError(f"{refusals[forms[0].facts.name]} (nor does it fit {', '.join(refusals)})")


def facts(name: str, scale: int | None = None) -> Facts:
    """What is known of a network: paper, parameters, multiply-adds, quality, and the inputs it accepts.

    Raises:
        ValueError: No such name or scale; the message lists those there are.
    """
    return _REGISTRY.find(name, scale).facts


def every() -> tuple[Entry, ...]:
    """Every network at every scale, with its facts and how it is built."""
    return _REGISTRY.entries()


def list() -> tuple[str, ...]:
    """The name of every network, family by family."""
    return _REGISTRY.names()
