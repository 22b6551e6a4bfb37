"""How the weights of each convolution are packed: one way for all patches and routes, unless that costs too much.

Every algorithm reads weights in a form of its own, and those of F(6) weigh 7.1 times what the network's own do. Which
is the fastest depends on how its tiles divide a picture, so patches would disagree by a few percent and the library
grow by a copy of the weights for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from dydca.lower.calls import Call, Calls, Weight
from dydca.lower.kernels.rows import ConvKernel
from dydca.lower.select_kernels import Choice, algorithm

LARGEST_LOSS = 1 / 8
"""By how much of its cycles a convolution may be predicted to be slower, so that a copy of its weights is saved."""


@dataclass(eq=False)
class ConvCall(Call):
    """A convolution; `reads` are x, the weights and the bias as the network has them until they are packed, and more.

    Attributes:
        choice: The kernel, and what there was to choose from.
    """

    choice: Choice = field(kw_only=True)


def pack_weights(programs: Sequence[Calls]) -> None:
    """Settles the kernel of every convolution and brings weights into the form that it reads."""
    layers: dict[bytes, list[ConvCall]] = {}
    for call in (call for calls in programs for call in calls.calls):
        if isinstance(call, ConvCall):
            layers.setdefault(_content(call), []).append(call)
    for layer in layers.values():
        packed: dict[tuple[object, ...], tuple[Weight, Weight]] = {}
        for call, choice in zip(layer, agreed([call.choice for call in layer]), strict=True):
            call.choice, call.kernel, call.reason = choice, choice.kernel, str(choice)
            form = algorithm(choice.kernel), choice.kernel.weights
            if form not in packed:
                packed[form] = _packed(choice.kernel, *_constants(call))
            call.reads[1:3] = packed[form]


def agreed(choices: Sequence[Choice]) -> list[Choice]:
    """For choices about the same weights: those with the fewest algorithms, and of these the least predicted cycles."""
    known = sorted({algorithm(candidate.kernel) for choice in choices for candidate in choice.ranking})
    for count in range(1, len(known)):
        ways = [[choice.among(names) for choice in choices] for names in combinations(known, count)]
        fitting = [[taken for taken in way if taken is not None] for way in ways if all(map(_is_near, way, choices))]
        if fitting:
            return min(fitting, key=lambda way: sum(taken.ranking[0].cycles for taken in way))
    return list(choices)


def _is_near(taken: Choice | None, fastest: Choice) -> bool:
    return taken is not None and taken.ranking[0].cycles <= (1 + LARGEST_LOSS) * fastest.ranking[0].cycles


def _constants(call: ConvCall) -> tuple[Weight, Weight]:
    weight, bias = call.reads[1:3]
    assert isinstance(weight, Weight)
    assert isinstance(bias, Weight)
    return weight, bias


def _content(call: ConvCall) -> bytes:
    weight, bias = (constant.array for constant in _constants(call))
    return hashlib.sha256(repr(weight.shape).encode() + weight.tobytes() + bias.tobytes()).digest()


def _packed(kernel: ConvKernel, weight: Weight, bias: Weight) -> tuple[Weight, Weight]:
    return (
        Weight(weight.name, kernel.pack_weights(weight.array)),
        Weight(bias.name, kernel.pack_channels(bias.array)),
    )
