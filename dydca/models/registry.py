"""What a network of the zoo is known by: its record of facts, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Facts:
    """What is known of one network at one scale before it runs.

    Attributes:
        name: The name `create` takes.
        scale: Upscaling factor; 1 for restoration at the same size.
        paper: Where the network comes from.
        parameters: All parameters, those that are never trained included.
        form: ``training`` as the authors train it, ``merged`` with parallel branches folded into one convolution,
            ``inference`` as the authors deploy it, ``ET`` after equivalent transformation, ``ablation``,
            or ``only`` where a single form exists.
        gmacs: Multiply-adds of convolutions and matrix products in units of 1e9 for one picture of `lr_size`;
            None where the specification sheet gives no number.
        lr_size: Height and width of the picture for which `gmacs` holds.
        psnr: Published dB on luma of Set5 with the authors' weights, border of `scale` pixels cut off.
        trainable: Parameters that training changes, where these are not all.
        origin: ``sheet`` where `parameters` is stated by the authors or measured on their network; ``counted`` where
            it is the number of this implementation and confirms nothing.
        input_range: Values of the input, which are also those of the output.
        inputs: Name and channels of each argument of forward, every one ``[N, channels, H, W]``.
        outputs: What forward returns, in order; the first is the upscaled picture.
        multiple_of: Height and width must be divisible by this.
        smallest: Least height and width.
        square: Height and width must be equal.
        note: What a user must know and cannot see from the above.
    """

    name: str
    scale: int
    paper: str
    parameters: int
    form: str = "only"
    gmacs: float | None = None
    lr_size: tuple[int, int] = (360, 640)
    psnr: float | None = None
    trainable: int | None = None
    origin: str = "sheet"
    input_range: tuple[float, float] = (0.0, 1.0)
    inputs: tuple[tuple[str, int], ...] = (("x", 3),)
    outputs: tuple[str, ...] = ("picture",)
    multiple_of: int = 1
    smallest: int = 1
    square: bool = False
    note: str = ""

    @property
    def rank(self) -> int:
        """Number of axes of every input."""
        return 4

    def accepts(self, height: int, width: int) -> bool:
        """Whether the network takes a picture of this size."""
        fits = height % self.multiple_of == 0 and width % self.multiple_of == 0
        return fits and min(height, width) >= self.smallest and (height == width or not self.square)

    def shapes(self, height: int, width: int, batch: int = 1) -> dict[str, tuple[int, int, int, int]]:
        """The shape of every input for pictures of ``height`` x ``width`` pixels."""
        return {name: (batch, channels, height, width) for name, channels in self.inputs}


@dataclass(frozen=True)
class Entry:
    """A network of the zoo at one scale."""

    facts: Facts
    build: Callable[[], nn.Module]


class Registry:
    """The networks by name and scale.

    Args:
        entries: Every entry; the order is kept.

    Raises:
        ValueError: Two entries have the same name and scale.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[str, dict[int, Entry]] = {}
        for entry in entries:
            scales = self._entries.setdefault(entry.facts.name, {})
            if entry.facts.scale in scales:
                raise ValueError(f"{entry.facts.name} x{entry.facts.scale} is registered twice")
            scales[entry.facts.scale] = entry

    def names(self) -> tuple[str, ...]:
        """The name of every network."""
        return tuple(self._entries)

    def entries(self) -> tuple[Entry, ...]:
        """Every network at every scale."""
        return tuple(entry for scales in self._entries.values() for entry in scales.values())

    def find(self, name: str, scale: int | None) -> Entry:
        """The entry of a name and a scale; the scale may be left out where there is only one.

        Raises:
            ValueError: No such name or scale; the message lists those there are.
        """
        scales = self._entries.get(name)
        if scales is None:
            near = [known for known in self._entries if known.startswith(name.split("_")[0])]
            raise ValueError(f"no network is called {name!r}; there are: {', '.join(near or self._entries)}")
        if scale is None and len(scales) == 1:
            return next(iter(scales.values()))
        if scale not in scales:
            raise ValueError(f"{name} has no scale {scale}; there are: {', '.join(map(str, scales))}")
        return scales[scale]

    def forms(self, name: str, scale: int | None) -> tuple[Entry, ...]:
        """The named entry, then those whose names extend it, as ``etds_m4c32_inference`` does ``etds_m4c32``."""
        chosen = self.find(name, scale)
        kin = (scales for known, scales in self._entries.items() if known.startswith(f"{name}_"))
        return (chosen, *(scales[chosen.facts.scale] for scales in kin if chosen.facts.scale in scales))
