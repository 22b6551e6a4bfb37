"""Routes by value: every path found without a change of source, and taken when eager takes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import dydca
from tests.capture.bodies import Body, agree, conv, pictures

PATCHES = [(1, 3, 8, 10), (1, 3, 11, 7)]


def logits(x: Tensor) -> Tensor:
    """Of three classes, whatever the input is."""
    return x.mean((2, 3)) @ torch.eye(3)


def gate(m: nn.ModuleList, x: Tensor) -> Any:
    if x.mean() > 0:
        return m[0](x)
    return m[1](x)


def expert(m: nn.ModuleList, x: Tensor) -> Any:
    return m[int(x.mean((2, 3)).argmax(1)[0])](x)


def early_exit(m: nn.ModuleList, x: Tensor) -> Any:
    y = m[0](x)
    for part in m[1:]:
        if y.abs().mean().item() * 2 > 0.9:
            break
        y = y + part(y)
    return y


def nested(m: nn.ModuleList, x: Tensor) -> Any:
    y = m[0](x)
    if x.shape[2] < 9:
        if y.mean().item() > 0.1:
            return y * 2
    elif y.amax() > 2:
        return y - 1
    return torch.relu(y)


def by_cond(m: nn.ModuleList, x: Tensor) -> Any:
    return torch.cond(x.mean() > 0, lambda x: x * 2, lambda x: x - 1, (x,))


def scalar_into_tensor(m: nn.ModuleList, x: Tensor) -> Any:
    score = x.abs().mean().item()
    if 0.3 < score <= 0.8:
        return score * x
    return x / (1 + score)


def listed(m: nn.ModuleList, x: Tensor) -> Any:
    red, green, _ = x.mean((0, 2, 3)).tolist()
    return x * 2 if red > green else x


def asked_again(m: nn.ModuleList, x: Tensor) -> Any:
    if x.mean() > 0:
        x = x * 2
    score, y = x.amax(), x - 1
    if score > 1:
        y = y * 3
    flag = score > 1  # the same again, and once more
    return y + 1 if flag and score > 1 else y


def chained(m: nn.ModuleList, x: Tensor) -> Any:
    bright, rough = x.mean() > 0, x.std() > 1
    if bright and rough:
        return x * 2
    if not bright or x.amax() > 3:
        return x - 1
    return x


def by_number(m: nn.ModuleList, x: Tensor) -> Any:
    choice = logits(x).argmax().item()
    if choice == 0:
        return x
    if choice == 1:
        return x * 2
    if choice == 2:
        return x * 3
    raise ValueError("no other channel")


def arithmetic(m: nn.ModuleList, x: Tensor) -> Any:
    index = logits(x).argmax()
    steps = (index * 2 + 1) % 4  # 1, 3, 1
    for _ in range(int(steps)):
        x = x + 1
    return x * (index.item() // 2 + 1)


def clamped(m: nn.ModuleList, x: Tensor) -> Any:
    level = (x.mean() * 4).long().clamp(1, 3)
    return x[:, : int(level)]


def tabled(m: nn.ModuleList, x: Tensor) -> Any:
    widths = torch.tensor([2, 5, 8])
    width = int(widths[x.mean((2, 3)).argmax()])
    weight, bias = m[0].parameters()
    return F.conv2d(x, weight[:width], bias[:width])


def switched(m: nn.ModuleList, x: Tensor) -> Any:
    width = (3, 8)[int(x.mean() > 0)]
    for part in m:
        part.width = width  # type: ignore[assignment]  # as ARM-Net does
    for part in m:
        weight: Any = part.weight
        x = F.conv2d(x, weight[: part.width, : x.shape[1]], padding=1)
    return x


def depth(m: nn.ModuleList, x: Tensor) -> Any:
    count = (logits(x) > 0).sum()
    for part in m[: count + 1]:
        x = part(x)
    return x


def keyed(m: nn.ModuleList, x: Tensor) -> Any:
    table = {0: 1.0, 1: 2.0, 2: 4.0}
    choice: Any = logits(x).argmax().item()
    return x * table[choice] + {"a1": 1, "a0": 0}.get(f"a{choice % 2}", 2)


def rounded(m: nn.ModuleList, x: Tensor) -> Any:
    level = math.floor(torch.sigmoid(x.mean()).item() * 2.5)
    return x * (1, 2, 3)[level] + math.ceil(x.mean().item())


def waiting(m: nn.ModuleList, x: Tensor) -> Any:
    steps = 0
    while x.abs().mean().item() < 1.5 and steps < 3:
        x, steps = x * 2, steps + 1
    return x


def extremes(m: nn.ModuleList, x: Tensor) -> Any:
    low, high = x.mean().item(), x.std().item()
    return x * max(low, high) + min(low, 0.5)


def contained(m: nn.ModuleList, x: Tensor) -> Any:
    if x.mean((2, 3)).argmax().item() in (0, 2):
        return x
    return -x if torch.equal(x.sign()[:, 0], x.sign()[:, 1]) or (x > 2.5).any() else x + 2


def looked_up(m: nn.ModuleList, x: Tensor) -> Any:
    table = torch.arange(12.0).reshape(4, 3)
    channel: Any = x.mean((2, 3)).argmax().item()
    return x + table[:, channel].view(1, 4, 1, 1).sum(1) + table[x.amax().long() % 4].sum()


def other_shapes(m: nn.ModuleList, x: Tensor) -> Any:
    if x.mean() > 0:
        return F.pixel_shuffle(m[0](x).repeat(1, 2, 1, 1), 2)
    return x[:, :, ::2]


def grown(m: nn.ModuleList, x: Tensor) -> Any:
    parts = [m[int(patch.mean((1, 2)).argmax())](patch[None]) for patch in x.expand(2, -1, -1, -1) * 1.0]
    return torch.cat(parts)


def of_one_network(m: nn.ModuleList, x: Tensor) -> Any:
    scores = m[0](x).mean((2, 3)).softmax(1)
    order = scores.argsort(1, descending=True)
    best = scores.topk(2).indices[0, 0]
    return x * int(best) if scores.max(1).values[0] > 0.5 else x * order[0, 0].item()


NETS: dict[str, tuple[Body, int]] = {
    "gate": (Body(gate, conv(), conv()), 2),
    "expert": (Body(expert, conv(), conv(), conv()), 3),
    "early exit": (Body(early_exit, conv(), conv(8), conv(8)), 3),
    "nested": (Body(nested, conv()), 4),
    "cond": (Body(by_cond), 2),
    "listed": (Body(listed), 2),
    "scalar": (Body(scalar_into_tensor), 3),
    "asked again": (Body(asked_again), 4),
    "chained": (Body(chained), 4),
    "by number": (Body(by_number), 3),
    "arithmetic": (Body(arithmetic), 2),
    "clamped": (Body(clamped), 3),
    "tabled": (Body(tabled, conv()), 3),
    "switched": (Body(switched, conv(), conv(8)), 2),
    "depth": (Body(depth, *[conv(3, 3) for _ in range(4)]), 4),
    "keyed": (Body(keyed), 3),
    "rounded": (Body(rounded), 3),
    "waiting": (Body(waiting), 5),
    "extremes": (Body(extremes), 4),
    "contained": (Body(contained), 5),
    "looked up": (Body(looked_up), 1),
    "other shapes": (Body(other_shapes, conv()), 2),
    "grown": (Body(grown, conv(), conv(), conv()), 9),
    "of one network": (Body(of_one_network, conv(3, 3)), 4),
}


@pytest.mark.parametrize("name", NETS)
def test_all_routes_are_found_and_each_input_takes_the_one_that_eager_takes(name: str) -> None:
    model, count = NETS[name]
    program = dydca.capture(model, PATCHES)
    assert len(program.routes) == count
    for patch in PATCHES:
        for x in pictures(patch, 20):
            agree(program, model, x)


COMPILED = ["gate", "expert", "early exit", "cond", "listed", "scalar"]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_decides_as_the_source_does(name: str) -> None:
    model, _ = NETS[name]
    with dydca.compile(model, PATCHES, threads=1) as network, torch.no_grad():
        for patch in PATCHES:
            for x in pictures(patch, 40):
                expected = model.eval()(x)
                assert (network(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_what_python_got_is_told() -> None:
    program = dydca.capture(NETS["tabled"][0], PATCHES[:1])
    told = [route.predicate for route in program.routes]
    assert [text.split(" is ")[1] for text in told] == ["2", "5", "8"]
    assert all(text.startswith("the index at test_decisions.py:") for text in told)


SWALLOWED: dict[str, tuple[Callable[..., Any], str]] = {
    "float": (lambda m, x: x * 2 if float(x.mean()) > 0 else x, "write .item()"),
    "float of a number": (lambda m, x: x * float(x.mean().item()), "leave float() away"),
    "any integer": (lambda m, x: x * int(x.sum()), "clamp"),
    "math": (lambda m, x: x * math.sqrt(x.std().item()), "leave float() away"),
    "numpy": (lambda m, x: x * 2 if x.numpy().mean() > 0 else x, "stay with tensors"),
    "numpy scalar": (lambda m, x: x * x.mean().numpy(), "stay with tensors"),
    "text": (lambda m, x: {"0.5": x}.get(f"{x.mean().item():.1f}", x * 2), "leave the formatting away"),
    "key": (lambda m, x: {0.5: x}.get(x.mean().item(), x * 2), "choose by comparisons"),
}


@pytest.mark.parametrize("name", SWALLOWED)
def test_what_python_swallows_is_refused_with_the_line_and_the_fix(name: str) -> None:
    forward, fix = SWALLOWED[name]
    with pytest.raises(dydca.DydcaError, match=rf"DYD104(.|\n)*test_decisions\.py:\d+(.|\n)*{re.escape(fix)}"):
        dydca.capture(Body(forward), PATCHES)


def three_gates(m: nn.ModuleList, x: Tensor) -> Any:
    for channel in range(3):
        if x[0, channel].mean() > 0:
            x = x + 1
    return x


def test_a_route_explosion_names_the_lines() -> None:
    with pytest.raises(dydca.DydcaError, match=r"DYD105(.|\n)*test_decisions\.py:\d+"):
        dydca.capture(Body(three_gates), PATCHES, max_routes=7)
    assert len(dydca.capture(Body(three_gates), PATCHES, max_routes=8).routes) == 8


def test_a_choice_among_too_many_is_refused_at_once() -> None:
    with pytest.raises(dydca.DydcaError, match=r"DYD105(.|\n)*a choice among 80 at test_decisions\.py:\d+"):
        dydca.capture(Body(lambda m, x: x * int(x.argmax() % 80)), PATCHES)


def test_an_endless_loop_is_refused() -> None:
    def forward(_: nn.ModuleList, x: Tensor) -> Any:
        while not x.mean() > 1:
            x = x + 1
        return x

    with pytest.raises(dydca.DydcaError, match="DYD105"):
        dydca.capture(Body(forward), PATCHES)


def test_arms_of_different_shape_are_captured_and_run() -> None:
    model = Body(lambda m, x: x if x.mean() > 0 else x[:, :, ::2])
    assert len(dydca.capture(model, PATCHES).routes) == 2
    with dydca.compile(model, PATCHES) as network:
        for x in (torch.full(PATCHES[0], 0.5), torch.full(PATCHES[0], -0.5)):
            torch.testing.assert_close(network(x), model(x), rtol=0, atol=0)


def test_arms_of_different_types_are_refused_by_the_compiler() -> None:
    model = Body(lambda m, x: x if x.mean() > 0 else x > 0)
    with pytest.raises(dydca.DydcaError, match="DYD403"):
        dydca.compile(model, PATCHES)


def test_sizes_that_depend_on_values_are_refused_by_the_compiler() -> None:
    model = Body(lambda m, x: torch.nonzero(x > 0).float())
    with pytest.raises(dydca.DydcaError, match=r"DYD405|DYD402"):
        dydca.compile(model, PATCHES)


def test_a_route_on_which_forward_raises_is_refused_with_what_led_there() -> None:
    def forward(m: nn.ModuleList, x: Tensor) -> Any:
        assert x.amin() >= 0, "negative"
        return x

    with pytest.raises(dydca.DydcaError, match=r"DYD109(.|\n)*test_decisions\.py:\d+(.|\n)*condition at .* is False"):
        dydca.capture(Body(forward), PATCHES)


def test_a_predicate_that_is_overwritten_is_refused() -> None:
    def forward(m: nn.ModuleList, x: Tensor) -> Any:
        flag = x.mean() > 0
        y = x * 2 if flag else x
        flag.fill_(False)
        return y

    with pytest.raises(dydca.DydcaError, match="DYD104"):
        dydca.capture(Body(forward), PATCHES)


def test_what_was_known_of_a_tensor_ends_with_a_write_into_it() -> None:
    def forward(m: nn.ModuleList, x: Tensor) -> Any:
        index = x.mean((2, 3)).argmax()
        index.mul_(5)
        return x * int(index)

    with pytest.raises(dydca.DydcaError, match="DYD104"):
        dydca.capture(Body(forward), PATCHES)
