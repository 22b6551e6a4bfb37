"""The report as text: aligned columns of plain characters, the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from dydca.report.analysis import Analysis, NeedReport, PatchReport, RouteReport, SightReport, Sizes, TensorReport

Row = Sequence[str]
SHOWN = 8
"""Longer lists of names are cut; the JSON has all."""


def table(rows: Sequence[Row], *, right: Iterable[int] = ()) -> list[str]:
    """Lines with columns two blanks apart; the columns of `right` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    flush = set(right)
    return [
        "  ".join(
            cell.rjust(width) if place in flush else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def summary(analysis: Analysis) -> str:
    """The network, its routes and patches, and all that a user may have to act on."""
    blocks = [
        _heading(analysis),
        _routes(analysis),
        _patches(analysis),
        _needs(analysis),
        _sights(analysis),
        *_findings(analysis),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _heading(analysis: Analysis) -> list[str]:
    patches = len({patch.label for route in analysis.routes for patch in route.patches})
    counts = f"{_count(len(analysis.routes), 'route')}, {_count(patches, 'declared patch', 'es')}"
    title = f"{analysis.model}: {counts}, {analysis.parameters:,} parameters"
    rows = [
        ("  input", entry.name, entry.dtype, _shape(entry.dims), "" if entry.read else "never read")
        for entry in analysis.inputs
    ]
    return [title, *table(rows), f"  output  {', '.join(analysis.outputs)}"]


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{plural if number != 1 else ''}"


def _routes(analysis: Analysis) -> list[str]:
    head = ("route", "predicate", "decided at", "patches", "nodes", "parameters", "MAC", "classes")
    rows = [
        (
            route.name,
            route.predicate,
            ", ".join(map(_short, route.lines)) or "-",
            f"{100 * route.share:.0f} %",
            str(route.nodes),
            f"{route.parameters:,}",
            route.macs,
            ", ".join(f"{count} {name}" for name, count in route.classes.items()),
        )
        for route in analysis.routes
    ]
    return table([head, *rows], right=(3, 4, 5))


def _patches(analysis: Analysis) -> list[str]:
    head = ("patch", "route", "output", "GMAC", "activations", "peak", "at least")
    rows = [_patch_row(route, patch) for route in analysis.routes for patch in route.patches]
    return table([head, *rows], right=(3, 4, 5, 6))


def _patch_row(route: RouteReport, patch: PatchReport) -> Row:
    output = ", ".join(map(_shape, patch.outputs))
    macs = "?" if patch.macs is None else f"{patch.macs / 1e9:.4f}"
    sizes = (patch.activation_bytes, patch.peak_bytes, patch.bound_bytes)
    return (patch.label, route.name, output, macs, *map(_kib, sizes))


def _kib(count: int | None) -> str:
    return "?" if count is None else f"{count / 1024:,.0f} KiB"


def _shape(sizes: Sizes) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _needs(analysis: Analysis) -> list[str]:
    """What operators ask of sizes, each condition once."""
    asking: dict[NeedReport, list[str]] = {}
    for route in analysis.routes:
        for need in route.needs:
            asking.setdefault(need, []).append(route.name)
    rows = [(need.condition, ", ".join(on), f"else {need.reason}", _short(need.node)) for need, on in asking.items()]
    return table([("needed of sizes", "on", "", "by"), *rows]) if rows else []


def _sights(analysis: Analysis) -> list[str]:
    """How far outputs see, which is what a tile needs of its surroundings."""
    head = ("an output pixel of", "on", "sees of", "scale", "rows", "columns", "in steps of")
    pairs = [
        (route.name, rows, columns)
        for route in analysis.routes
        for rows, columns in zip(route.sights[::2], route.sights[1::2], strict=True)
    ]
    rows = [
        (
            rows.output,
            name,
            rows.input,
            _either(rows.scale, columns.scale, "x"),
            _window(rows),
            _window(columns),
            _either(str(rows.step), str(columns.step), "x"),
        )
        for name, rows, columns in pairs
    ]
    return table([head, *rows]) if rows else []


def _window(sight: SightReport) -> str:
    return f"all, by {_short(sight.unbounded)}" if sight.unbounded else f"-{sight.before}..+{sight.after}"


def _either(rows: str, columns: str, between: str) -> str:
    return rows if rows == columns else f"{rows}{between}{columns}"


def _findings(analysis: Analysis) -> Iterator[list[str]]:
    """What a user may have to act on; nothing where there is nothing to say."""
    if analysis.uncovered:
        yield ["not covered by any declared patch", *(f"  {region}" for region in analysis.uncovered)]
    for route in analysis.routes:
        if route.unknown:
            rows = [(f"  {entry.low} <= {entry.symbol} <= {entry.high}", _short(entry.node)) for entry in route.unknown]
            yield [f"{route.name} has numbers that only execution tells", *table(rows)]
        if route.dead:
            yield [f"{route.name} computes and never uses", *_names(tuple(map(_short, route.dead)))]
        if route.unruled:
            yield [f"{route.name} has operators without a rule; their shapes are PyTorch's", *_names(route.unruled)]
    if analysis.unread:
        yield ["parameters that no route reads", *_names(analysis.unread)]


def _names(names: Sequence[str]) -> list[str]:
    more = [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [*(f"  {name}" for name in names[:SHOWN]), *more]


def _short(text: str) -> str:
    """A place in the source without its folders."""
    head, _, path = text.rpartition("(")
    return f"{head}({PurePath(path).name}" if head else PurePath(path).name


def tensor_tables(analysis: Analysis) -> str:
    """Every computed value of every route: symbolic shape, then shape, MAC and bytes for each patch."""
    return "\n\n".join("\n".join(_tensors(route)) for route in analysis.routes)


def _tensors(route: RouteReport) -> list[str]:
    labels = [patch.label for patch in route.patches]
    head = ("tensor", "operator", "class", "dtype", "shape", "values", *labels, "MMAC", "KiB", "source")
    stored = sum(tensor.op == "get_attr" for tensor in route.tensors)
    rows = [_tensor_row(tensor, labels) for tensor in route.tensors if tensor.op != "get_attr"]
    first = len(head) - 3
    return [
        f"{route.name}: {route.predicate}; {_count(stored, 'stored tensor')} not shown",
        *table([head, *rows], right=(first, first + 1)),
    ]


def _tensor_row(tensor: TensorReport, labels: Sequence[str]) -> Row:
    macs, sizes = tensor.macs.values(), tensor.bytes.values()
    return (
        f"%{tensor.name}",
        f"{tensor.op} (no rule)" if tensor.unruled else tensor.op,
        tensor.kind or "",
        tensor.dtype or "scalar",
        _shape(tensor.shape) if tensor.dtype else tensor.value or "",
        _interval(tensor.interval),
        *(_shape(tensor.shapes[label]) if tensor.dtype else "" for label in labels),
        " ".join(f"{count / 1e6:.2f}" for count in macs) if any(macs) else "",
        " ".join(f"{count / 1024:.1f}" for count in sizes) if tensor.dtype else "",
        _short(tensor.line or "-"),
    )


def _interval(ends: tuple[float | None, float | None]) -> str:
    low, high = ends
    if low is None and high is None:
        return ""
    return f"{'-inf' if low is None else f'{low:.4g}'}..{'inf' if high is None else f'{high:.4g}'}"
