"""What a kernel computes, as opposed to how: from which picture to which, and what happens to each value on the way."""

from __future__ import annotations

from dataclasses import dataclass

from dydca.lower.kernels.epilogue import Operand, Step
from dydca.lower.layout import Layout, PictureShape


@dataclass(frozen=True)
class Layer:
    """``y = shuffle(epilogue(f(x)))``.

    Attributes:
        source: How x lies.
        source_shape: x as [N, C, H, W].
        target: How y lies; plain if it is shuffled.
        target_shape: f(x) as [N, O, H', W'], before any shuffle.
        shuffle: Pixel-shuffle factor of the store; 1 stores plainly.
        steps, operands: The epilogue.
    """

    source: Layout
    source_shape: PictureShape
    target: Layout
    target_shape: PictureShape
    shuffle: int = 1
    steps: tuple[Step, ...] = ()
    operands: tuple[Operand, ...] = ()

    @property
    def stored_shape(self) -> PictureShape:
        """The result as [N, C, H, W]."""
        (n, c, h, w), r = self.target_shape, self.shuffle
        return n, c // r**2, h * r, w * r


@dataclass(frozen=True)
class Conv(Layer):
    """``f = conv2d(x, w) + b``.

    Attributes:
        window: Height and width of the kernel.
        stride, padding, dilation: As in conv2d, (vertical, horizontal); the source's halo is at least the padding.
        groups: 1, or as many as there are channels, in and out.
    """

    window: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-adds, as the network's author would count them."""
        n, o, h, w = self.target_shape
        return n * o * h * w * self.source_shape[1] // self.groups * self.window[0] * self.window[1]
