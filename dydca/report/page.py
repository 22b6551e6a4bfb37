"""The report as one HTML page that needs nothing from elsewhere: the routes as a graph, memory over time, the tables.

All of it can be read without scripts; the one there is sorts a table whose head is clicked.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from itertools import count

from dydca.report.analysis import Analysis, PatchReport, RouteReport
from dydca.report.tables import Table, kib, signature, tables, tensor_table, title

_STYLE = """
.dydca { font: 14px/1.5 system-ui, sans-serif; color-scheme: light dark; }
.dydca table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
.dydca th, .dydca td { padding: .15rem .6rem; border-bottom: 1px solid #8884; text-align: left; white-space: nowrap; }
.dydca .number { text-align: right; } .dydca .wide { overflow-x: auto; }
.dydca thead th { cursor: pointer; } .dydca summary { cursor: pointer; margin: .4rem 0; }
.dydca svg { max-width: 100%; height: auto; } .dydca svg text { fill: currentColor; font-size: 12px; }
.dydca .box { fill: #4a7fc922; stroke: #4a7fc9; } .dydca .edge { stroke: #888; fill: none; }
.dydca .bar { fill: #4a7fc9; } .dydca .limit { stroke: #c96a4a; stroke-dasharray: 5 4; }
"""

_SORT = """
document.querySelectorAll('.dydca thead th').forEach(head => head.addEventListener('click', () => {
  const body = head.closest('table').tBodies[0], place = head.cellIndex, up = head.dataset.up !== '1';
  const value = row => row.cells[place].textContent, number = text => parseFloat(text.replaceAll(',', ''));
  const order = (a, b) => number(a) - number(b) || a.localeCompare(b);
  head.dataset.up = up ? '1' : '0';
  [...body.rows].sort((a, b) => (up ? 1 : -1) * order(value(a), value(b))).forEach(row => body.append(row));
}));
"""


def page(analysis: Analysis) -> str:
    """A whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>dydca: {escape(analysis.model)}</title></head>\n"
        f"<body>{fragment(analysis)}\n<script>{_SORT}</script></body></html>\n"
    )


def fragment(analysis: Analysis) -> str:
    """What a notebook shows."""
    parts = [
        f"<h1>{escape(title(analysis))}</h1>",
        _table(Table("", (), (*signature(analysis), ("output", ", ".join(analysis.outputs), "", "", "")))),
        "<h2>The way of a patch</h2>",
        _graph(analysis),
        *(f"<h2>{escape(each.title)}</h2>{_table(each)}" for each in tables(analysis)),
        "<h2>Memory of activations</h2>",
        *(_timelines(route) for route in analysis.routes),
        "<h2>Tensors</h2>",
        *(_folded(each.title, _table(each)) for each in map(tensor_table, analysis.routes)),
    ]
    return f'<div class="dydca"><style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</div>"


def _folded(summary: str, content: str, *, open_: bool = False) -> str:
    return f"<details{' open' if open_ else ''}><summary>{escape(summary)}</summary>{content}</details>"


def _table(shown: Table) -> str:
    head = f"<thead>{_row('th', shown.head, shown.right)}</thead>" if shown.head else ""
    rows = "\n".join(_row("td", row, shown.right) for row in shown.rows)
    return f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'


def _row(tag: str, cells: Iterable[str], right: frozenset[int]) -> str:
    marks = (' class="number"' if place in right else "" for place in count())
    cells = (f"<{tag}{mark}>{escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=False))
    return f"<tr>{''.join(cells)}</tr>"


_ROW, _WIDE, _TALL = 74, 340, 56
"""Of the boxes of the graph: how far apart, how wide, how tall."""


def _graph(analysis: Analysis) -> str:
    """A tree: the patch, the predicates on the edges, the routes with what they cost."""
    edge = 24 + 7 * max(len(route.predicate) for route in analysis.routes)
    height, middle = _ROW * len(analysis.routes), _ROW * len(analysis.routes) / 2
    shapes = "".join(_branch(route, middle, _ROW * (place + 0.5), edge) for place, route in enumerate(analysis.routes))
    width = 90 + edge + _WIDE + 10
    label = "the routes, with the predicate of each and what it costs"
    return (
        f'<svg role="img" aria-label="{label}" width="{width}" viewBox="0 0 {width} {height}">'
        f'<rect class="box" x="2" y="{middle - 15:g}" width="86" height="30" rx="6"/>'
        f'<text x="45" y="{middle + 4:g}" text-anchor="middle">a patch</text>{shapes}</svg>'
    )


def _branch(route: RouteReport, middle: float, centre: float, edge: int) -> str:
    left = 90 + edge
    costs = " to ".join(f"{each / 1e9:.4f}" for each in _ends(patch.macs for patch in route.patches)) or "?"
    lines = (
        f"{route.name}: {100 * route.share:.0f} % of the declared patches",
        f"{route.nodes} nodes, {route.parameters:,} parameters",
        f"{costs} GMAC",
    )
    texts = "".join(
        f'<text x="{left + 10}" y="{centre - 12 + 17 * place:g}">{escape(line)}</text>'
        for place, line in enumerate(lines)
    )
    return (
        f'<path class="edge" d="M88 {middle:g} L98 {centre:g} H{left}"/>'
        f'<text x="104" y="{centre - 5:g}">{escape(route.predicate)}</text>'
        f'<rect class="box" x="{left}" y="{centre - _TALL / 2:g}" width="{_WIDE}" height="{_TALL}" rx="6"/>{texts}'
    )


def _ends(counts: Iterable[int | None]) -> list[int]:
    known = sorted({count for count in counts if count is not None})
    return [known[0], known[-1]] if len(known) > 1 else known


def _timelines(route: RouteReport) -> str:
    known = [patch for patch in route.patches if patch.peak_bytes]
    return "".join(_folded(*_timeline(route, patch), open_=patch is known[0]) for patch in known)


def _timeline(route: RouteReport, patch: PatchReport) -> tuple[str, str]:
    """Bytes alive while each operator runs, in the graph's own order; below the line no order can stay."""
    steps = [(each, each.live[patch.label]) for each in route.tensors if each.kind]
    high, low = patch.peak_bytes or 1, patch.bound_bytes or 0
    wide = max(3.0, min(16.0, 900 / max(len(steps), 1)))
    bars = "".join(
        f'<rect class="bar" x="{wide * place:g}" y="{120 - 116 * live / high:.1f}" width="{wide - 1:g}" '
        f'height="{116 * live / high:.1f}"><title>{escape(f"%{each.name}: {kib(live)}")}</title></rect>'
        for place, (each, live) in enumerate(steps)
    )
    width, line = max(wide * len(steps), 1), 120 - 116 * low / high
    summary = f"{patch.label} on {route.name}: peak {kib(high)}, at least {kib(low)}"
    drawing = (
        f'<svg role="img" aria-label="{escape(summary)}" width="{width:g}" height="122" viewBox="0 0 {width:g} 122">'
        f'{bars}<path class="limit" d="M0 {line:.1f} H{width:g}"/></svg>'
    )
    return summary, drawing
