"""The ``.dydcav`` file: a movie in low resolution, how its frames are cut, and the networks that enlarge it.

A zip whose members are stored, so that the video is decoded in place: ``video.mp4`` (with the sound), ``times.npy``
(int64, when each frame is shown), ``splits.npy`` (one bit for each coarse patch of each frame), ``report.json``, and
for each chunk ``chunks/0000/weights.safetensors`` and one compiled network for each target,
``chunks/0000/NAME.dydca``. ``manifest.json`` says what belongs together and holds the SHA-256 of every other member.
Nothing is ever unpickled. The hashes find damage, not malice: a compiled network is native code, as any program is.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dydca.content.files import refuse_reading, write_whole
from dydca.content.grid import Layout, lay_out
from dydca.content.movie.networks import GATES, Gate, NetworkPlan
from dydca.content.video import Video, VideoFormat
from dydca.errors import DydcaError, FileError

FORMAT = 1
MANIFEST, VIDEO, TIMES, SPLITS, REPORT = "manifest.json", "video.mp4", "times.npy", "splits.npy", "report.json"
MAX_MANIFEST_BYTES = 16 << 20
MAX_COARSE = 1 << 16
_READ = 1 << 20


@dataclass(frozen=True)
class Chunk:
    """A run of frames with a network of its own."""

    first: int
    frames: int
    plan: NetworkPlan


@dataclass(frozen=True)
class Manifest:
    """What a package says of itself.

    Attributes:
        height: Of the original, and of what is played; the enlarged frames are cut to it at the bottom.
        width: Likewise, cut at the right.
        time_base: Seconds of one unit in ``times.npy``.
        chunks: In order; together all frames.
    """

    height: int
    width: int
    time_base: Fraction
    chunks: tuple[Chunk, ...]

    @property
    def frames(self) -> int:
        """How many there are in all."""
        return sum(chunk.frames for chunk in self.chunks)

    def to_dict(self) -> dict[str, object]:
        """As JSON values."""
        return {**asdict(self), "time_base": str(self.time_base)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Manifest:
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is not that.
        """
        chunks = tuple(
            Chunk(_count(chunk["first"], 0), _count(chunk["frames"]), _plan(chunk["plan"]))
            for chunk in values["chunks"]
        )
        if not chunks or any(chunk.first != sum(c.frames for c in chunks[:i]) for i, chunk in enumerate(chunks)):
            raise ValueError("the chunks do not follow each other")
        manifest = cls(_count(values["height"]), _count(values["width"]), Fraction(values["time_base"]), chunks)
        if len({(chunk.plan.scale, chunk.plan.patch) for chunk in chunks}) > 1 or manifest.coarse > MAX_COARSE:
            raise ValueError("the frames cannot be cut like this")
        return manifest

    @property
    def scale(self) -> int:
        """High resolution to low."""
        return self.chunks[0].plan.scale

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the low-resolution frames."""
        return -(-self.height // self.scale), -(-self.width // self.scale)

    @property
    def coarse(self) -> int:
        """How many coarse patches cover a frame."""
        height, width = (-(-length // part) for length, part in zip(self.size, self.chunks[0].plan.patch, strict=True))
        return height * width


def _plan(values: dict[str, Any]) -> NetworkPlan:
    if values["gate"] not in GATES:
        raise ValueError(f"no gate is called {values['gate']!r}")
    height, width = values["patch"]
    patch = (_count(height), _count(width))
    return NetworkPlan(cast(Gate, values["gate"]), _count(values["scale"]), patch, _count(values["channels"]))


def _count(value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 31:
        raise ValueError(f"{value!r} is no count")
    return value


def write_package(path: Path, manifest: Manifest, members: Mapping[str, Path | bytes]) -> None:
    """Write a package; the whole file appears under its name, or nothing does.

    Args:
        path: An existing file is replaced.
        manifest: Format and hashes are added here.
        members: Name to content, or to a file that holds it.

    Raises:
        FileError: DYD705, it cannot be written.
    """

    def write(partial: Path) -> None:
        hashes: dict[str, str] = {}
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, content in members.items():
                digest = hashlib.sha256()
                source = BytesIO(content) if isinstance(content, bytes) else content.open("rb")
                with source, archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                    while block := source.read(_READ):
                        digest.update(block)
                        member.write(block)
                hashes[name] = digest.hexdigest()
            full = {"format": FORMAT, **manifest.to_dict(), "sha256": hashes}
            archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(full, indent=1))

    write_whole(path, write)


class Movie:
    """A package, verified as a whole when it is opened.

    Args:
        path: The ``.dydcav`` file.

    Attributes:
        manifest: What the package says of itself.
        times: int64 ``[frames]``, when each is shown, in units of `Manifest.time_base`.
        splits: bool ``[frames, coarse patches]``, which are cut into quadrants.
        digest: SHA-256 of the manifest, and with it of everything.

    Raises:
        FileError: DYD701, not readable; DYD702, damaged or no package; DYD704, of another format version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._spans: dict[str, tuple[int, int]] = {}
        with refuse_reading(self.path):
            self.path.open("rb").close()
        try:
            self._read()
        except DydcaError:
            raise
        except Exception as error:  # zipfile, json and numpy raise a dozen types on damage; each means the same here
            raise self._damaged("not a package of dydca, or damaged", f"{type(error).__name__}: {error}") from error

    def _read(self) -> None:
        with zipfile.ZipFile(self.path) as archive, self.path.open("rb") as file:
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.filename in self._spans:
                    raise self._damaged(f"member {info.filename!r} is not stored as dydca stores it")
                file.seek(info.header_offset + 26)  # the lengths of name and extra field end the fixed local header
                lengths = file.read(4)
                start = info.header_offset + 30 + sum(int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
                self._spans[info.filename] = (start, start + info.file_size)
        if self._spans[MANIFEST][1] - self._spans[MANIFEST][0] > MAX_MANIFEST_BYTES:
            raise self._damaged("the manifest is too large")
        text = self.read(MANIFEST)
        self.digest = hashlib.sha256(text).hexdigest()
        values = json.loads(text)
        if (version := values["format"]) != FORMAT:
            raise FileError("DYD704", "another format version", where=str(self.path), got=version, want=FORMAT)
        self._verify(values["sha256"])
        self.manifest = Manifest.from_dict(values)
        frames, coarse = self.manifest.frames, self.manifest.coarse
        self.times = _array(self.read(TIMES), np.dtype(np.int64), (frames,))
        packed = _array(self.read(SPLITS), np.dtype(np.uint8), (frames, -(-coarse // 8)))
        self.splits: NDArray[np.bool_] = np.unpackbits(packed, axis=1, count=coarse).astype(bool)

    def _verify(self, hashes: dict[str, str]) -> None:
        if set(hashes) != set(self._spans) - {MANIFEST}:
            raise self._damaged("the members are not those of the manifest", sorted(self._spans), sorted(hashes))
        with self.path.open("rb") as file:
            for name, want in hashes.items():
                start, end = self._spans[name]
                file.seek(start)
                digest = hashlib.sha256()
                for done in range(start, end, _READ):
                    digest.update(file.read(min(_READ, end - done)))
                if digest.hexdigest() != want:
                    raise self._damaged(f"member {name!r} is damaged", digest.hexdigest(), want)

    def _damaged(self, what: str, got: object = None, want: object = None) -> FileError:
        return FileError("DYD702", what, where=str(self.path), got=got, want=want)

    def read(self, member: str) -> bytes:
        """The content of a member."""
        start, end = self._spans[member]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    @property
    def gmacs(self) -> float:
        """Mean 10^9 multiply-adds of a frame, as `overfit` reported them."""
        chunks, counts = json.loads(self.read(REPORT))["chunks"], [chunk.frames for chunk in self.manifest.chunks]
        return float(np.average([chunk["gmac_per_frame"] for chunk in chunks], weights=counts))

    def networks(self, chunk: int) -> list[str]:
        """The members that hold the compiled networks of a chunk, one for each target."""
        return sorted(name for name in self._spans if Path(name).match(f"chunks/{chunk:04d}/*.dydca"))

    def weights(self, chunk: int) -> bytes:
        """The weights of a chunk's network as safetensors."""
        return self.read(weights_member(chunk))

    @property
    def address(self) -> str:
        """Where FFmpeg finds the video inside the file."""
        start, end = self._spans[VIDEO]
        return f"subfile,,start,{start},end,{end},,:{self.path}"

    def open_video(self) -> Video:
        """The low-resolution video.

        Raises:
            ContentError, UsageError: as `Video`.
        """
        return Video(self.address, name=str(self.path))

    @property
    def format(self) -> VideoFormat:
        """Of the enlarged video.

        Raises:
            ContentError, UsageError: as `Video`.
        """
        with self.open_video() as video:
            return video.format._replace(height=self.manifest.height, width=self.manifest.width)

    def layout(self, split: NDArray[np.bool_]) -> Layout:
        """How a frame is cut where ``split``, bool ``[coarse patches]``, says which are quartered."""
        return lay_out(self.manifest.size, self.manifest.chunks[0].plan.patch, np.flatnonzero(split).tolist())


def weights_member(chunk: int) -> str:
    """Where the weights of a chunk lie in the package."""
    return f"chunks/{chunk:04d}/weights.safetensors"


def network_member(chunk: int, target: str) -> str:
    """Where the network of a chunk compiled for a target lies in the package."""
    return f"chunks/{chunk:04d}/{target}.dydca"


def array_bytes(array: NDArray[Any]) -> bytes:
    """An array in numpy's own format."""
    stream = BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _array(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    array: NDArray[Any] = np.load(BytesIO(content), allow_pickle=False)
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"an array {array.dtype} {array.shape} where {dtype} {shape} belongs")
    return array
