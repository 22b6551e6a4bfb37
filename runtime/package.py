"""A compiled network as data: its description, a library for each platform, its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dydca.runtime import artifact

REPORT_TEXT, REPORT_DATA = "report.txt", "report.json"


class Package:
    """What a ``.dydca`` file holds.

    Args:
        manifest: ``targets`` ``{triple: {"features"?: [names as in /proc/cpuinfo]}}``; ``inputs`` and ``outputs``
            ``[{"name": str, "type": str}, ...]``; ``patches`` ``[{"route": str, "inputs": [shape, ...], "outputs":
            [shape, ...]}, ...]``, with ``results`` where values decide the shapes of the outputs, ``outputs`` being the
            largest; ``single`` false if forward returns a tuple of one; ``threads`` where the user chose a number;
            anything else is kept as it is.
        members: Name -> content: a library per target, see `artifact.library_name`, and the report.
    """

    def __init__(self, manifest: Mapping[str, object], members: Mapping[str, bytes]) -> None:
        self._manifest: dict[str, Any] = json.loads(json.dumps(manifest))
        self._members = dict(members)

    @property
    def manifest(self) -> dict[str, object]:
        """A copy of the compiler's description: targets, inputs, outputs, routes, patches."""
        return dict(self._manifest)

    def report(self) -> str:
        """The compiler's report: routes, shapes, kernels, memory, what each pass did."""
        return self._members.get(REPORT_TEXT, b"").decode(errors="replace")

    def save(self, path: str | Path) -> None:
        """Write the network as a ``.dydca`` file, which `load` reads without torch and TVM.

        Raises:
            FileError: DYD705, it cannot be written; nothing is left behind.
        """
        artifact.save(path, self._manifest, self._members)

    def _described_for(self, triple: str) -> dict[str, object]:
        """The manifest that the library for a target has in itself."""
        rest = {key: value for key, value in self._manifest.items() if key != "targets"}
        return {**rest, "target": self._manifest["targets"][triple]}
