"""The report as text: aligned columns of plain characters, the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dydca.report.analysis import Analysis
from dydca.report.tables import Table, signature, tables, tensor_table, title

SHOWN = 8
"""Longer lists of findings are cut; the JSON and the page have all."""


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
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
    outputs = f"  output  {', '.join(analysis.outputs)}"
    heading = [title(analysis), *_indented(table(signature(analysis))), outputs]
    return "\n\n".join("\n".join(block) for block in (heading, *map(_block, tables(analysis))))


def _block(shown: Table) -> list[str]:
    if shown.head:
        return table([shown.head, *shown.rows], right=shown.right)
    more = [f"and {len(shown.rows) - SHOWN} more"] if len(shown.rows) > SHOWN else []
    return [shown.title, *_indented([*table(shown.rows[:SHOWN]), *more])]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def tensor_tables(analysis: Analysis) -> str:
    """Every computed value of every route: symbolic shape, then shape, MAC and bytes for each patch."""
    shown = map(tensor_table, analysis.routes)
    return "\n\n".join("\n".join([each.title, *_block(each)]) for each in shown)
