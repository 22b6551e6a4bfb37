"""The frames of a movie as PNG files in a folder."""

from __future__ import annotations

from pathlib import Path

from dydca.content.compare import write_png
from dydca.content.files import refuse_writing
from dydca.content.video import TimedFrame


class Pictures:
    """Frames as ``000000.png`` and so on, continued where an earlier run stopped.

    Args:
        folder: Where they are gathered until all are there; created.

    Attributes:
        frames: How many there are.

    Raises:
        FileError: DYD705, the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with refuse_writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.frames = len(list(folder.glob("*.png")))

    def add(self, frame: TimedFrame) -> None:
        """Write the next frame, uint8 ``[H, W, 3]``.

        Raises:
            FileError: DYD705, it cannot be written.
            UsageError: DYD902, Pillow is not installed.
        """
        write_png(self._folder / f"{self.frames:06d}.png", frame.pixels)
        self.frames += 1

    def finish(self, path: Path, sound: str | None) -> None:
        """Move the pictures into the folder `path`, where those of the same names are replaced; pictures are silent.

        Raises:
            FileError: DYD705, it cannot be written.
        """
        with refuse_writing(path):
            path.mkdir(parents=True, exist_ok=True)
            for picture in sorted(self._folder.glob("*.png")):
                picture.replace(path / picture.name)
