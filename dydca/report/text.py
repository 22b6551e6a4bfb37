"""The report as text: aligned columns of plain characters, the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from dydca.report.analysis import Analysis, PatchReport, RouteReport, Sizes, TensorReport

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
    blocks = [_heading(analysis), _routes(analysis), _patches(analysis), *_findings(analysis)]
    return "\n\n".join("\n".join(block) for block in blocks)


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
    head = ("route", "predicate", "decided at", "patches", "nodes", "parameters", "MAC")
    rows = [
        (
            route.name,
            route.predicate,
            ", ".join(map(_short, route.lines)) or "-",
            f"{100 * route.share:.0f} %",
            str(route.nodes),
            f"{route.parameters:,}",
            route.macs,
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


def _findings(analysis: Analysis) -> Iterator[list[str]]:
    """What a user may have to act on; nothing where there is nothing to say."""
    if analysis.uncovered:
        yield ["not covered by any declared patch", *(f"  {region}" for region in analysis.uncovered)]
    for route in analysis.routes:
        if route.needs:
            rows = [(f"  {need.condition}", need.reason, _short(need.node)) for need in route.needs]
            yield [f"{route.name} needs, beside its predicate", *table(rows)]
        if route.dead:
            yield [f"{route.name} computes and never uses", *_names(route.dead)]
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
    head = ("tensor", "operator", "dtype", "shape", *labels, "MMAC", "KiB", "source")
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
        tensor.dtype or "scalar",
        _shape(tensor.shape) if tensor.dtype else tensor.value or "",
        *(_shape(tensor.shapes[label]) if tensor.dtype else "" for label in labels),
        " ".join(f"{count / 1e6:.2f}" for count in macs) if any(macs) else "",
        " ".join(f"{count / 1024:.1f}" for count in sizes) if tensor.dtype else "",
        _short(tensor.line or "-"),
    )
