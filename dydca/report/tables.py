"""The tables of a report as rows of cells, whatever writes them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from dydca.report.analysis import Analysis, NeedReport, PatchReport, RouteReport, SightReport, Sizes, TensorReport

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table, or a list of findings.

    Attributes:
        title: What it is about.
        head: Of the columns; empty for findings.
        rows: Cells, as many in each.
        right: The columns of numbers.
    """

    title: str
    head: Row
    rows: tuple[Row, ...]
    right: frozenset[int] = frozenset()


def title(analysis: Analysis) -> str:
    """The network in a line."""
    patches = len({patch.label for route in analysis.routes for patch in route.patches})
    counts = f"{_count(len(analysis.routes), 'route')}, {_count(patches, 'declared patch', 'es')}"
    return f"{analysis.model}: {counts}, {analysis.parameters:,} parameters"


def signature(analysis: Analysis) -> list[Row]:
    """The inputs of the network."""
    return [
        ("input", entry.name, entry.dtype, shape(entry.dims), "" if entry.read else "never read")
        for entry in analysis.inputs
    ]


def tables(analysis: Analysis) -> list[Table]:
    """Routes, patches, what is needed, what is seen, and all that a user may have to act on; none without rows."""
    found = (_routes(analysis), _patches(analysis), _needs(analysis), _sights(analysis), *_findings(analysis))
    return [each for each in found if each.rows]


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{plural if number != 1 else ''}"


def _routes(analysis: Analysis) -> Table:
    head = ("route", "predicate", "decided at", "patches", "nodes", "parameters", "MAC", "classes")
    rows = (
        (
            route.name,
            route.predicate,
            ", ".join(map(short, route.lines)) or "-",
            f"{100 * route.share:.0f} %",
            str(route.nodes),
            f"{route.parameters:,}",
            route.macs,
            ", ".join(f"{count} {name}" for name, count in route.classes.items()),
        )
        for route in analysis.routes
    )
    return Table("Routes", head, tuple(rows), frozenset((3, 4, 5)))


def _patches(analysis: Analysis) -> Table:
    head = ("patch", "route", "output", "GMAC", "activations", "peak", "at least")
    rows = (_patch_row(route, patch) for route in analysis.routes for patch in route.patches)
    return Table("Patches", head, tuple(rows), frozenset((3, 4, 5, 6)))


def _patch_row(route: RouteReport, patch: PatchReport) -> Row:
    output = ", ".join(map(shape, patch.outputs))
    macs = "?" if patch.macs is None else f"{patch.macs / 1e9:.4f}"
    sizes = (patch.activation_bytes, patch.peak_bytes, patch.bound_bytes)
    return (patch.label, route.name, output, macs, *map(kib, sizes))


def _needs(analysis: Analysis) -> Table:
    """What operators ask of sizes, each condition once."""
    asking: dict[NeedReport, list[str]] = {}
    for route in analysis.routes:
        for need in route.needs:
            asking.setdefault(need, []).append(route.name)
    rows = ((need.condition, ", ".join(on), f"else {need.reason}", short(need.node)) for need, on in asking.items())
    return Table("Accepted sizes", ("needed of sizes", "on", "", "by"), tuple(rows))


def _sights(analysis: Analysis) -> Table:
    """How far outputs see, which is what a tile needs of its surroundings."""
    head = ("an output pixel of", "on", "sees of", "scale", "rows", "columns", "in steps of")
    rows = (
        _sight_row(route, rows, columns)
        for route in analysis.routes
        for rows, columns in zip(route.sights[::2], route.sights[1::2], strict=True)
    )
    return Table("Receptive field", head, tuple(rows))


def _sight_row(route: RouteReport, rows: SightReport, columns: SightReport) -> Row:
    scale, step = _either(rows.scale, columns.scale), _either(str(rows.step), str(columns.step))
    return (rows.output, route.name, rows.input, scale, _window(rows), _window(columns), step)


def _window(sight: SightReport) -> str:
    return f"all, by {short(sight.unbounded)}" if sight.unbounded else f"-{sight.before}..+{sight.after}"


def _either(rows: str, columns: str) -> str:
    return rows if rows == columns else f"{rows}x{columns}"


def _findings(analysis: Analysis) -> Iterator[Table]:
    yield _finding("not covered by any declared patch", analysis.uncovered)
    for route in analysis.routes:
        unknown = ((f"{entry.low} <= {entry.symbol} <= {entry.high}", short(entry.node)) for entry in route.unknown)
        yield Table(f"{route.name} has numbers that only execution tells", (), tuple(unknown))
        yield _finding(f"{route.name} computes and never uses", map(short, route.dead))
        yield _finding(f"{route.name} has operators without a rule; their shapes are PyTorch's", route.unruled)
    yield _finding("parameters that no route reads", analysis.unread)


def _finding(title: str, names: Iterable[str]) -> Table:
    return Table(title, (), tuple((name,) for name in names))


def tensor_table(route: RouteReport) -> Table:
    """Every computed value of a route: symbolic shape, then shape, MAC and bytes for each patch."""
    labels = [patch.label for patch in route.patches]
    head = ("tensor", "operator", "class", "dtype", "shape", "values", *labels, "MMAC", "KiB", "source")
    stored = sum(tensor.op == "get_attr" for tensor in route.tensors)
    rows = (_tensor_row(tensor, labels) for tensor in route.tensors if tensor.op != "get_attr")
    title = f"{route.name}: {route.predicate}; {_count(stored, 'stored tensor')} not shown"
    return Table(title, head, tuple(rows), frozenset((len(head) - 3, len(head) - 2)))


def _tensor_row(tensor: TensorReport, labels: Sequence[str]) -> Row:
    macs, sizes = tensor.macs.values(), tensor.bytes.values()
    return (
        f"%{tensor.name}",
        f"{tensor.op} (no rule)" if tensor.unruled else tensor.op,
        tensor.kind or "",
        tensor.dtype or "scalar",
        shape(tensor.shape) if tensor.dtype else tensor.value or "",
        _interval(tensor.interval),
        *(shape(tensor.shapes[label]) if tensor.dtype else "" for label in labels),
        " ".join(f"{count / 1e6:.2f}" for count in macs) if any(macs) else "",
        " ".join(f"{count / 1024:.1f}" for count in sizes) if tensor.dtype else "",
        short(tensor.line or "-"),
    )


def _interval(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    if low is None and high is None:
        return ""
    return f"{'-inf' if low is None else f'{low:.4g}'}..{'inf' if high is None else f'{high:.4g}'}"


def kib(count: int | None) -> str:
    """Bytes for reading."""
    return "?" if count is None else f"{count / 1024:,.0f} KiB"


def shape(sizes: Sizes) -> str:
    """``[1, 3, 2*H, 2*W]``."""
    return f"[{', '.join(map(str, sizes))}]"


def short(text: str) -> str:
    """A place in the source without its folders."""
    head, _, path = text.rpartition("(")
    return f"{head}({PurePath(path).name}" if head else PurePath(path).name
