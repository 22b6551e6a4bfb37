"""The evaluation as one HTML file that needs nothing from elsewhere, and its parts: table, plot, pictures."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np

from dydca.content.compare import compose, draw_layout, png_bytes
from dydca.content.files import write_whole
from dydca.content.grid import Patch
from dydca.content.movie.evaluate import BICUBIC, Evaluation, Example
from dydca.content.pixels import Frame
from dydca.content.score import luma
from dydca.errors import UsageError

COLUMNS = {"psnr_y": "PSNR-Y dB", "psnr_rgb": "PSNR-RGB dB", "ssim_y": "SSIM-Y", "ssim_rgb": "SSIM-RGB"}
CROPS = 3

_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>dydca evaluate: {{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
td, th { padding: .25rem .75rem; border-bottom: 1px solid #ccc; text-align: right; }
td:first-child, th:first-child { text-align: left; } img { max-width: 100%; } p { max-width: 50rem; }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ evaluation.numbers | length }} frames, enlarged by {{ evaluation.scale }};
{{ "%.0f" | format(100 * evaluation.hard) }} % of the patches are hard.</p>
<table><tr>{% for cell in table[0] %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for row in table[1:] %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p>{{ definitions }}</p>
<h2>PSNR-Y of each frame</h2><img alt="PSNR-Y of each frame" src="data:image/png;base64,{{ plot }}">
<h2>Frame {{ evaluation.example.number }}: how it is cut, and where bicubic is furthest off</h2>
<img alt="crops side by side" src="data:image/png;base64,{{ picture }}">
</body></html>
"""


def table(evaluation: Evaluation) -> list[list[str]]:
    """The head and a row for each version, as text."""
    classes = list(evaluation.versions[0].classes)
    rows = [["version", "GMAC a frame", *COLUMNS.values(), *(f"{name} patches, Y dB" for name in classes)]]
    for version in evaluation.versions:
        means = version.means()
        cells = [f"{means[name]:.{2 if 'psnr' in name else 4}f}" for name in COLUMNS]
        cells += [f"{version.classes[name]:.2f}" for name in classes]
        rows.append([version.name, f"{version.gmacs:.2f}", *cells])
    return rows


def write_html(path: Path, evaluation: Evaluation) -> None:
    """Write the report.

    Raises:
        FileError: DYD705, it cannot be written.
        UsageError: DYD902, matplotlib, jinja2 or Pillow is not installed.
    """
    from dydca.content.movie import evaluate

    try:
        from jinja2 import Environment
    except ImportError as error:
        raise UsageError("DYD902", "the report needs jinja2", fix="pip install 'dydca[report]'") from error
    html = (
        Environment(autoescape=True)
        .from_string(_TEMPLATE)
        .render(
            title=Path(evaluation.original).name,
            evaluation=evaluation,
            table=table(evaluation),
            definitions=(evaluate.__doc__ or "").partition("\n\n")[2].replace("`", ""),
            plot=base64.b64encode(plot(evaluation)).decode(),
            picture=base64.b64encode(png_bytes(picture(evaluation.example, evaluation.scale))).decode(),
        )
    )
    write_whole(path, lambda partial: partial.write_text(html, encoding="utf-8"))


def plot(evaluation: Evaluation) -> bytes:
    """PSNR-Y over the frames, one line for each version, as PNG.

    Raises:
        UsageError: DYD902, matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("DYD902", "plots need matplotlib", fix="pip install 'dydca[report]'") from error
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    for version in evaluation.versions:
        finite = np.where(np.isfinite(version.psnr_y), version.psnr_y, np.nan)
        style = "--" if version.name == BICUBIC else "-"
        axes.plot(evaluation.numbers, finite, style, label=version.name, marker="." if len(finite) < 3 else "")
    axes.set(xlabel="frame", ylabel="PSNR-Y (dB)")
    axes.grid(alpha=0.3)
    axes.legend()
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def picture(example: Example, scale: int) -> Frame:
    """The layout over the frame, and below it crops of all versions where bicubic is furthest off."""
    squared = (luma(example.enlarged[BICUBIC]) - luma(example.original)) ** 2
    patches, (height, width) = example.layout.patches, example.original.shape[:2]
    smallest = min(patches, key=lambda patch: patch.height * patch.width)
    tall, wide = min(smallest.height * scale, height), min(smallest.width * scale, width)
    corners = {(min(patch.top * scale, height - tall), min(patch.left * scale, width - wide)) for patch in patches}
    windows = (Patch(top, left, tall, wide) for top, left in corners)
    crops = sorted(windows, key=lambda crop: (-float(squared[crop.window()].mean()), crop))[:CROPS]
    shown = list(example.enlarged)[-1]
    versions = {**example.enlarged, "original": example.original}
    return compose(versions, crops, draw_layout(example.enlarged[shown], example.layout, scale), zoom=3)
