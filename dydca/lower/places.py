"""Where the tensors of a path lie: the values that hold them, in which layouts, and what brings them into others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from torch.fx import Node

from dydca.analysis.facts import Facts
from dydca.lower.calls import Call, Step, Value, Weight
from dydca.lower.kernels.copy import Copy
from dydca.lower.kernels.epilogue import Operand
from dydca.lower.kernels.join import Join
from dydca.lower.kernels.layer import Layer
from dydca.lower.kernels.move import Move
from dydca.lower.layout import PLAIN, Layout, PictureShape, picture
from dydca.lower.targets import Target
from dydca.program import Graph

FEW_CHANNELS = 4
"""Up to here a picture stays plain: blocks would be mostly padding."""


class Place(NamedTuple):
    """Where a tensor lies.

    Attributes:
        value: The buffer.
        layout: How it lies there, perhaps as some of the buffer's blocks.
        lane: The channel of the first block that is the tensor's own first.
    """

    value: Value
    layout: Layout
    lane: int = 0


Held: TypeAlias = dict[int, list[Place]]
"""The places of what has been computed, by its number."""


class Places:
    """The tensors of one path.

    Args:
        graph: The whole path, for one patch.
        facts: What is known of its nodes.
        key: Numbers for the nodes, equal for equal computations.
        held: What the steps before have computed; grows.
        target: The processor.

    Attributes:
        steps: The calls so far, in order; grows by those that bring tensors into other layouts.
        outputs: The caller's own tensors, by what is to be stored in them.
        halos: The widest halo that a tensor's readers need.
        fed: The tensors that some template reads.
        parts: The joined picture that a tensor is to become a part of, with the first channel.
    """

    def __init__(self, graph: Graph, facts: Facts, key: Mapping[Node, int], held: Held, target: Target) -> None:
        self.graph, self.facts, self.key, self.held, self.target = graph, facts, key, held, target
        self.steps = list[Step]()
        self.outputs: dict[Node, Value] = {}
        self.halos: dict[Node, int] = {}
        self.fed: set[Node] = set()
        self.parts: dict[Node, tuple[Node, int]] = {}
        self._begun: dict[Node, Place] = {}

    def picture(self, node: Node) -> PictureShape:
        """The shape of a tensor as that of a picture."""
        return picture(self.facts.shape(node))

    def of(self, node: Node) -> list[Place]:
        """The places of a tensor; a constant read as a tensor is given one."""
        key = self.key[node]
        if key not in self.held and (tensor := self.graph.constant(node)) is not None:
            value = Value(node.name, self.picture(node), itemsize=tensor.itemsize)
            array = np.ascontiguousarray(tensor.detach().numpy())
            self.steps.append(Call(Copy(array.nbytes), [Weight(node.name, array)], [value]))
            self.held[key] = [Place(value, PLAIN)]
        return self.held.setdefault(key, [])

    def feeds(self, node: Node, halo: int = 0) -> None:
        """Notes that a template reads a tensor, with a halo."""
        self.fed.add(node)
        self.halos[node] = max(self.halos.get(node, 0), halo)

    def wanted(self, node: Node, *, shuffled: bool = False) -> Layout:
        """The layout in which the readers of a tensor can use it."""
        plain = node not in self.fed or shuffled or self.picture(node)[1] <= FEW_CHANNELS
        return Layout(1 if plain else self.target.lanes, self.halos.get(node, 0))

    def add(self, node: Node, layout: Layout) -> Place:
        """A new place: the caller's own tensor if it is a plain output, else one in the arena."""
        if layout == PLAIN and node in self.outputs:
            value = self.outputs[node]
        else:
            value = Value(node.name, self.picture(node), layout=layout)
        place = Place(value, layout)
        self.of(node).append(place)
        return place

    def result(self, node: Node, layout: Layout) -> Place:
        """A new place for what a template stores, within the picture that it is joined to if that lies alike."""
        if node in self.parts and not self.of(node) and not (layout == PLAIN and node in self.outputs):
            joined, first = self.parts[node]
            whole = self._joined(joined)
            alike = whole.layout.block == layout.block and whole.layout.halo >= layout.halo
            place = self._part(whole, joined, node, first) if alike else None
            if place is not None:
                self.of(node).append(place)
                return place
        return self.add(node, layout)

    def join(self, node: Node, parts: Mapping[Node, int]) -> None:
        """Brings pictures together, channels one after the other; those that lie there already stay."""
        whole = self._joined(node)
        self.of(node).append(whole)
        places = {part: self._part(whole, node, part, first) for part, first in parts.items()}
        if None in places.values():
            self._gather(node, whole, list(parts))
            return
        for part, place in places.items():
            if place is not None and all(held.value is not whole.value for held in self.of(part)):
                self.move(self.of(part)[0], place, self.picture(part))

    def _gather(self, node: Node, whole: Place, parts: Sequence[Node]) -> None:
        """Joins pictures of which some do not begin with whole blocks."""
        lanes = self.target.lanes
        first, *others = [self.laid_out(part, lanes, 0, any_lane=True) for part in parts]
        shapes = [self.picture(part) for part in parts]
        operands = tuple(Operand(place.layout, shape) for place, shape in zip(others, shapes[1:], strict=True))
        layer = Layer(first.layout, shapes[0], whole.layout, self.picture(node), operands=operands)
        kernel = Join(layer, lanes, tuple(place.lane for place in (first, *others)))
        self.steps.append(Call(kernel, [first.value, *(place.value for place in others)], [whole.value], (node.name,)))

    def _joined(self, node: Node) -> Place:
        """Where pictures are joined, from when the first of them is stored on."""
        if node not in self._begun:
            layout = self.wanted(node)
            own = layout == PLAIN and node in self.outputs
            value = self.outputs[node] if own else Value(node.name, self.picture(node), layout=layout)
            self._begun[node] = Place(value, layout)
        return self._begun[node]

    def _part(self, whole: Place, joined: Node, part: Node, first: int) -> Place | None:
        """The place of a part in a joined picture; None if it does not begin and end with whole blocks."""
        value, layout, _ = whole
        count, end = self.picture(joined)[1], first + self.picture(part)[1]
        if first % layout.block or (end % layout.block and end < count):
            return None
        return Place(value, layout._replace(first=first // layout.block, whole=layout.blocks(count)))

    def add_channels(self, node: Node, source: Node, first: int) -> None:
        """Some channels of another tensor, wherever that lies."""
        for value, layout, lane in self.of(source):
            block, own = divmod(lane + first, layout.block)
            whole = layout.whole or layout.blocks(self.picture(source)[1])
            self.of(node).append(Place(value, layout._replace(first=layout.first + block, whole=whole), own))

    def plain(self, node: Node) -> Value:
        """A tensor as PyTorch would lay it out."""
        found = next((place for place in self.of(node) if place.layout == PLAIN), None)
        return (found or self.convert(node, PLAIN)).value

    def laid_out(self, node: Node, block: int, halo: int, *, any_lane: bool = False) -> Place:
        """A tensor in blocks of `block` with at least that halo; any_lane: they may begin before its own channels."""
        for place in self.of(node):
            if place.layout.block == block and place.layout.halo >= halo and (any_lane or not place.lane):
                return place
        return self.convert(node, Layout(block, max(halo, self.halos.get(node, 0))))

    def convert(self, node: Node, layout: Layout) -> Place:
        """The tensor in another layout."""
        source = self.of(node)[0]
        place = self.add(node, layout)
        self.move(source, place, self.picture(node))
        return place

    def move(self, source: Place, target: Place, shape: PictureShape, shuffle: int = 1) -> None:
        """Appends a call that copies, and shuffles pixels."""
        kernel = Move(
            Layer(source.layout, shape, target.layout, shape, shuffle), self.target.lanes, first_lane=source.lane
        )
        self.steps.append(Call(kernel, [source.value], [target.value]))
