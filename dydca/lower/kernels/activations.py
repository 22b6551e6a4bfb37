"""Activations as straight-line vector code: polynomials, bits of the exponent, at most one division.

Every function takes a vector of float32 and gives one; NaN stays NaN. The errors stated are the largest over all of
float32 in units in the last place (ulp) of the exact result, wherever that is a normal number. Coefficients are found
when first asked for, in float64: polynomials that interpolate at Chebyshev's points, and rational functions by least
squares. Both are within a factor of two of the best there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from dydca.lower.tvm_api import T, fma, lane_vector

LN2_HIGH = 355 / 512
"""The first bits of ln 2: its product with a whole number of up to 15 bits is exact."""

LN2_LOW = math.log(2) - LN2_HIGH

BIAS = 127
"""What float32 adds to the exponent."""

ROUNDER = 1.5 * 2**23 + BIAS
"""Added to a small number, it leaves the whole number nearest to it in the low bits of the sum, `BIAS` added."""

ERF_END = 3.95
"""From here on erf is 1 in float32."""


def splat(value: float, lanes: int) -> Any:
    """A vector of equal lanes, or the scalar itself for one lane."""
    return T.float32(value) if lanes == 1 else T.Broadcast(T.float32(value), lanes)


def bounded(v: Any, low: float, high: float, lanes: int) -> Any:
    """``v`` within ``low..high``; a comparison with NaN is false and gives the second operand."""
    return T.bind(T.min(splat(high, lanes), T.bind(T.max(splat(low, lanes), v))))


def exp(v: Any, lanes: int) -> Any:
    """``e^v``, within 1.1 ulp; the power of two is applied in halves, for it may lie outside of float32's range."""
    shifted, p = _exp_parts(bounded(v, -104.0, 89.0, lanes), lanes)  # 0 further down, infinity further up
    n = T.bind(shifted - _bits(splat(ROUNDER, lanes), lanes))
    half = T.bind(n >> _whole(1, lanes))
    first, second = (_power_of_two(T.bind(part + _whole(BIAS, lanes)), lanes) for part in (half, n - half))
    return T.bind(T.bind(fma(p, first, first, lanes)) * second)


def sigmoid(v: Any, lanes: int) -> Any:
    """``1 / (1 + e^-v)``, within 3 ulp down to -88, 0 below."""
    return _gated(splat(1.0, lanes), v, lanes)


def silu(v: Any, lanes: int) -> Any:
    """``v sigmoid(v)``, within 3 ulp down to -88, 0 below."""
    return _gated(v, v, lanes)


def tanh(v: Any, lanes: int) -> Any:
    """``(1 - e) / (1 + e)`` with ``e = e^-2|v|``, within 3 ulp."""
    less = _expm1(T.bind(_intrinsic("fabs", lanes, v) * splat(-2.0, lanes)), lanes)
    return _intrinsic("copysign", lanes, T.bind(less / (less + splat(2.0, lanes))), v)


def erf(v: Any, lanes: int) -> Any:
    """The error function, within 6 ulp."""
    return bounded(_near_erf(v, 1.0, lanes), -1.0, 1.0, lanes)


def gelu(v: Any, lanes: int) -> Any:
    """``v (1 + erf(v / sqrt 2)) / 2``, off by at most 2.2e-7 of ``|v|``: within 3 ulp above -0.5, 0 below -5.6."""
    half = T.bind(v * splat(0.5, lanes))
    side = T.bind(T.min(splat(1.0, lanes), _near_erf(v, math.sqrt(0.5), lanes)))
    y = T.bind(fma(half, side, half, lanes))
    return T.bind(T.Select(v < splat(-ERF_END * math.sqrt(2), lanes), splat(-0.0, lanes), y))


def gelu_tanh(v: Any, lanes: int) -> Any:
    """``v (1 + tanh u) / 2 = v sigmoid(2 u)``, ``u = sqrt(2 / pi) (v + 0.044715 v^3)``; within 6 ulp above -2."""
    slope = 2 * math.sqrt(2 / math.pi)
    cubic = T.bind(fma(T.bind(v * v), splat(slope * 0.044715, lanes), splat(slope, lanes), lanes))
    return _gated(v, T.bind(v * cubic), lanes)


def softplus(v: Any, beta: float, threshold: float, lanes: int) -> Any:
    """``log(1 + e^(beta v)) / beta``, v itself where ``beta v`` exceeds the threshold; within 3 ulp for beta 1."""
    x = T.bind(v * splat(beta, lanes))
    e = _exp_of_negative(T.bind(-_intrinsic("fabs", lanes, x)), lanes)
    # Around 0 the sum of both terms is smallest, and there they do not cancel.
    y = T.bind(fma(e, _log1p_slope(e, lanes), T.max(splat(0.0, lanes), x), lanes))
    return T.bind(T.Select(x > splat(threshold, lanes), v, y * splat(1 / beta, lanes)))


def elu(v: Any, alpha: float, scale: float, input_scale: float, lanes: int) -> Any:
    """``scale v`` above 0, else ``alpha scale (e^(input_scale v) - 1)``; within 3 ulp."""
    below = T.bind(_expm1(T.bind(v * splat(input_scale, lanes)), lanes) * splat(alpha * scale, lanes))
    return T.bind(T.Select(v > splat(0.0, lanes), v * splat(scale, lanes), below))


def mish(v: Any, lanes: int) -> Any:
    """``v tanh(softplus(v)) = v n / (n + 2)`` with ``n = e^2v + 2 e^v``, within 4 ulp down to -87."""
    e = exp(T.bind(T.min(splat(20.0, lanes), v)), lanes)  # further up n / (n + 2) is 1
    n = T.bind(e * (e + splat(2.0, lanes)))
    return T.bind(v * T.bind(n / (n + splat(2.0, lanes))))


def hardsigmoid(v: Any, lanes: int) -> Any:
    """``v / 6 + 1 / 2`` within 0..1."""
    return T.bind(bounded(T.bind(v + splat(3.0, lanes)), 0.0, 6.0, lanes) * splat(1 / 6, lanes))


def hardswish(v: Any, lanes: int) -> Any:
    """``v hardsigmoid(v)``."""
    return T.bind(v * hardsigmoid(v, lanes))


def absolute(v: Any, lanes: int) -> Any:
    """``|v|``."""
    return _intrinsic("fabs", lanes, v)


def square_root(v: Any, lanes: int) -> Any:
    """Rounded exactly."""
    return _intrinsic("sqrt", lanes, v)


ALL = (
    absolute, elu, erf, exp, gelu, gelu_tanh, hardsigmoid, hardswish, mish, sigmoid, silu, softplus, square_root, tanh,
)  # fmt: skip
"""Those that a step of an epilogue can name."""


def _gated(amount: Any, v: Any, lanes: int) -> Any:
    """``amount sigmoid(v)`` by ``e^-|v|``, which does not overflow."""
    e = _exp_of_negative(T.bind(-_intrinsic("fabs", lanes, v)), lanes)
    one = splat(1.0, lanes)
    return T.bind(amount * T.Select(v < splat(0.0, lanes), e, one) / (e + one))


def _exp_of_negative(v: Any, lanes: int) -> Any:
    """``e^v`` for v up to 0, within 1.1 ulp down to -88, 0 below."""
    # At the bound the exponent's bits are 0, and so is the power of two.
    shifted, p = _exp_parts(T.bind(T.max(splat(-BIAS * math.log(2), lanes), v)), lanes)
    scale = _power_of_two(shifted, lanes)
    return T.bind(fma(p, scale, scale, lanes))


def _expm1(v: Any, lanes: int) -> Any:
    """``e^v - 1`` for v up to 0, within 2 ulp."""
    shifted, p = _exp_parts(bounded(v, -80.0, 0.0, lanes), lanes)
    scale = _power_of_two(shifted, lanes)
    return T.bind(fma(p, scale, scale - splat(1.0, lanes), lanes))


def _exp_parts(x: Any, lanes: int) -> tuple[Any, Any]:
    """For ``x = n ln 2 + r``: an integer whose low bits are ``n + BIAS``, and ``e^r - 1`` (Cody and Waite, 1980)."""
    shifted = T.bind(fma(x, splat(1 / math.log(2), lanes), splat(ROUNDER, lanes), lanes))
    number = T.bind(shifted - splat(ROUNDER, lanes))
    r = T.bind(fma(number, splat(-LN2_HIGH, lanes), x, lanes))
    r = T.bind(fma(number, splat(-LN2_LOW, lanes), r, lanes))
    tail = _polynomial(_interpolated(_exp_remainder, 4, -math.log(2) / 2, math.log(2) / 2), r, lanes)
    return _bits(shifted, lanes), T.bind(fma(T.bind(r * r), tail, r, lanes))


def _exp_remainder(r: float) -> float:
    """``(e^r - 1 - r) / r^2`` by its series."""
    return sum(r**k / math.factorial(k + 2) for k in range(20))


def _near_erf(v: Any, factor: float, lanes: int) -> Any:
    """``erf(factor v)``, which rounding may leave an ulp beyond 1 or -1."""
    x = bounded(v, -ERF_END / factor, ERF_END / factor, lanes)
    above, below = _rational(_erf_over_root, 5, ERF_END**2)
    t = T.bind(x * x)
    numerator = _polynomial([c * factor ** (2 * k + 1) for k, c in enumerate(above)], t, lanes)
    denominator = _polynomial([c * factor ** (2 * k) for k, c in enumerate(below)], t, lanes)
    return T.bind(x * T.bind(numerator / denominator))


def _erf_over_root(t: float) -> float:
    """``erf(x) / x`` in ``t = x^2``, which is entire."""
    return math.erf(math.sqrt(t)) / math.sqrt(t)


def _log1p_slope(u: Any, lanes: int) -> Any:
    """``log(1 + u) / u`` for u in 0..1."""
    return _polynomial(_interpolated(lambda u: math.log1p(u) / u, 10, 0.0, 1.0), u, lanes)


@cache
def _interpolated(function: Callable[[float], float], degree: int, low: float, high: float) -> tuple[float, ...]:
    """Coefficients of a polynomial, lowest power first."""
    found = Chebyshev.interpolate(np.vectorize(function), degree, domain=[low, high])
    return tuple(found.convert(kind=Polynomial).coef)


@cache
def _rational(
    function: Callable[[float], float], degree: int, high: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Numerator and denominator on ``0..high`` with least squares of the relative error, lowest powers first.

    Sanathanan and Koerner, 1963: the problem is made linear with the denominator found before as a weight.
    """
    points = (1 + np.cos((np.arange(200) + 0.5) * np.pi / 200)) / 2
    wanted, powers = np.vectorize(function)(high * points), np.vander(points, degree + 1, increasing=True)
    system = np.hstack([powers / wanted[:, None], -powers[:, 1:]])
    denominator = np.ones_like(points)
    for _ in range(3):
        found = np.linalg.lstsq(system / denominator[:, None], 1 / denominator)[0]
        denominator = 1 + powers[:, 1:] @ found[degree + 1 :]
    scale = high ** -np.arange(degree + 1.0)
    return tuple(found[: degree + 1] * scale), (1.0, *(found[degree + 1 :] * scale[1:]))


def _polynomial(coefficients: Sequence[float], x: Any, lanes: int) -> Any:
    """By Horner's rule."""
    total = splat(coefficients[-1], lanes)
    for coefficient in coefficients[-2::-1]:
        total = T.bind(fma(total, x, splat(coefficient, lanes), lanes))
    return total


def _power_of_two(exponent: Any, lanes: int) -> Any:
    """``2^n`` from integers whose low bits are ``n + BIAS``."""
    return T.bind(T.reinterpret(lane_vector(lanes), exponent << _whole(23, lanes)))


def _bits(v: Any, lanes: int) -> Any:
    return T.bind(T.reinterpret("int32" if lanes == 1 else f"int32x{lanes}", v))


def _whole(value: int, lanes: int) -> Any:
    return T.int32(value) if lanes == 1 else T.Broadcast(T.int32(value), lanes)


def _intrinsic(name: str, lanes: int, *operands: Any) -> Any:
    return T.bind(T.call_llvm_pure_intrin(lane_vector(lanes), f"llvm.{name}", *operands))
