"""Keys: equal for equal networks, different for whatever a network could do differently."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from dydca.cache import key
from dydca.cache.key import key_of
from dydca.models import create

FACTOR = 2.0


def helper(x: Tensor) -> Tensor:
    return x * FACTOR


class Body(nn.Module):
    kind = "plain"

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act: Callable[[Tensor], Tensor] = torch.relu

    def forward(self, x: Tensor) -> Tensor:
        return helper(self.act(self.conv(x)))


def body() -> Body:
    torch.manual_seed(0)
    return Body()


def nudge(model: Body) -> None:
    weight = model.conv.weight.data.view(-1)
    weight[7] = torch.nextafter(weight[7], torch.tensor(1.0))


def test_equal_networks_have_equal_keys() -> None:
    assert key_of(body()) == key_of(body()) is not None


@pytest.mark.parametrize(
    "change",
    [
        nudge,
        lambda model: model.eval(),
        lambda model: setattr(model, "act", torch.sigmoid),
        lambda model: setattr(model, "act", lambda x: x),
        lambda model: setattr(model, "act", partial(nn.functional.leaky_relu, negative_slope=0.2)),
        lambda model: setattr(model.conv, "stride", (2, 2)),
        lambda model: model.register_buffer("buffer", torch.zeros(1)),
        lambda model: model.register_forward_hook(lambda *_: None),
        lambda model: model.conv.double(),
    ],
)
def test_values_count(change: Callable[[Body], object]) -> None:
    changed = body()
    change(changed)
    assert key_of(changed) not in (None, key_of(body()))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (Body, "forward", lambda self, x: helper(self.conv(x))),
        (Body, "kind", "other"),
        (globals(), "FACTOR", 3.0),
        (globals(), "helper", lambda x: x),
    ],
)
def test_code_counts(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: object) -> None:
    before = key_of(body())
    (monkeypatch.setitem if isinstance(place, dict) else monkeypatch.setattr)(place, name, value)
    assert key_of(body()) not in (None, before)


def test_what_a_function_encloses_counts() -> None:
    def scaled(factor: float) -> Callable[[Tensor], Tensor]:
        return lambda x: x * factor

    def with_act(factor: float) -> str | None:
        model = body()
        model.act = scaled(factor)
        return key_of(model)

    assert with_act(2.0) == with_act(2.0)
    assert with_act(2.0) not in (None, with_act(3.0))


def test_the_request_the_environment_and_the_compiler_count(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = key_of(body(), [(1, 3, 8, 8)])
    assert plain != key_of(body(), [(1, 3, 8, 9)])
    monkeypatch.setenv("CC", "clang")
    assert plain != (changed := key_of(body(), [(1, 3, 8, 8)]))
    monkeypatch.setattr(key, "_compiler", lambda: "another")
    assert changed != key_of(body(), [(1, 3, 8, 8)])


def test_exported_and_traced_networks() -> None:
    def exported(factor: float) -> str | None:
        scaled = nn.Sequential(body(), nn.Hardtanh(0, factor))
        return key_of(torch.export.export(scaled, (torch.zeros(1, 3, 8, 8),)))

    assert exported(1.0) == exported(1.0)
    assert exported(1.0) not in (None, exported(2.0))
    assert key_of(fx.symbolic_trace(body())) == key_of(fx.symbolic_trace(body())) is not None


@pytest.mark.parametrize("name", ["ecbsr_y_m4c16", "rt4ksr_block_dconvbase", "imdn_rtc", "abpn_m4c28"])
def test_the_zoo_can_be_read(name: str) -> None:
    assert key_of(create(name, 2)) is not None


def test_what_cannot_be_read_has_no_key() -> None:
    model = body()
    model.lock = threading.Lock()  # type: ignore[assignment]
    assert key_of(model) is None
