"""The ``.dydca`` file: a zip whose members are stored, aligned to 64 bytes and named with SHA-256 in the manifest.

``manifest.json`` holds ``format``, ``abi``, ``target``, ``inputs``, ``outputs``, ``routes``, ``patches`` and
``sha256`` (of every other member). Nothing in the file is code for Python; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from dydca.errors import FileError
from dydca.runtime.library import ABI_VERSION

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ALIGNMENT = 64
ADDED = ("format", "abi", "sha256")
"""What `save` adds to the manifest of a network."""

MAX_MEMBERS = 64
MAX_MANIFEST_BYTES = 16 << 20

_LOCAL_HEADER_BYTES = 30
_PADDING_FIELD = 0xD935  # the id that Android's zipalign gives its padding
_MODE = 0o100644 << 16

Manifest = dict[str, object]


def library_name(triple: str) -> str:
    """Where the library for a target triple lies in the file."""
    return f"lib/{triple}/libnet.so"


def save(path: str | Path, manifest: Mapping[str, object], members: Mapping[str, bytes]) -> None:
    """Write an artifact: the whole file appears under its name, or nothing does.

    Args:
        path: Where; an existing file is replaced.
        manifest: The compiler's description; `ADDED` is added here.
        members: Name -> content, e.g. ``lib/x86_64-linux-gnu/libnet.so``, ``report.json``, ``report.txt``.

    Raises:
        FileError: DYD705, the folder is not writable or full.
    """
    path = Path(path)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    full = {**manifest, "format": FORMAT_VERSION, "abi": ABI_VERSION, "sha256": hashes}
    content = _pack({MANIFEST: json.dumps(full, indent=1).encode(), **members})
    write_bytes(path, content, "artifact")


def read(path: str | Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read an artifact and verify all of it.

    Returns:
        The manifest as it was given to `save`, and name -> content of every other member.

    Raises:
        FileError: DYD701, not readable; DYD702, damaged or no artifact; DYD704, another format or ABI version.
    """
    content = read_bytes(Path(path), "artifact")
    try:
        members = _unpack(content)
        manifest = json.loads(members.pop(MANIFEST))
    except FileError as error:
        raise FileError(error.code, error.what, where=str(path), got=error.got, want=error.want) from error
    except Exception as error:  # zipfile and json raise a dozen types on damaged data; each means the same here
        got = f"{type(error).__name__}: {error}"
        raise FileError("DYD702", "not an artifact of dydca, or damaged", where=str(path), got=got) from error
    _verify(str(path), manifest, members)
    return {key: value for key, value in manifest.items() if key not in ADDED}, members


def read_bytes(path: Path, kind: str) -> bytes:
    """The content of a file that messages call `kind`.

    Raises:
        FileError: DYD701, not readable.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError("DYD701", f"the {kind} cannot be read", where=str(path), got=error) from error


def write_bytes(path: Path, content: bytes, kind: str) -> None:
    """Writes a file that messages call `kind`: all of it appears under its name, or nothing does.

    Raises:
        FileError: DYD705, the folder is not writable or full.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)  # mkstemp's 0600 would surprise whoever shares the file
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileError("DYD705", f"the {kind} cannot be written", where=str(path), got=error) from error


def _pack(members: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)  # dated 1980: equal content gives equal files
            info.external_attr = _MODE
            padding = -(stream.tell() + _LOCAL_HEADER_BYTES + len(name.encode()) + 4) % ALIGNMENT
            info.extra = _PADDING_FIELD.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(info, content)
    return stream.getvalue()


def _unpack(content: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise FileError("DYD702", "too many members", got=len(infos), want=f"at most {MAX_MEMBERS}")
        for info in infos:
            limit = MAX_MANIFEST_BYTES if info.filename == MANIFEST else len(content)
            is_plain = info.compress_type == zipfile.ZIP_STORED and info.flag_bits == 0
            if not is_plain or info.file_size != info.compress_size or info.file_size > limit:
                raise FileError("DYD702", f"member {info.filename!r} is not stored as dydca stores it")
            if info.filename in members:
                raise FileError("DYD702", f"member {info.filename!r} is there twice")
            members[info.filename] = archive.read(info)
    return members


def _verify(where: str, manifest: object, members: Mapping[str, bytes]) -> None:
    if not isinstance(manifest, dict) or not isinstance(hashes := manifest.get("sha256"), dict):
        raise FileError("DYD702", "the manifest is not one of dydca", where=where)
    for key, want in (("format", FORMAT_VERSION), ("abi", ABI_VERSION)):
        if (version := manifest.get(key)) != want:
            raise FileError("DYD704", f"the artifact's {key} version differs", where=where, got=version, want=want)
    if (got := sorted(members)) != (names := sorted(hashes)):
        raise FileError("DYD702", "the members are not those of the manifest", where=where, got=got, want=names)
    for name, content in members.items():
        if (digest := hashlib.sha256(content).hexdigest()) != hashes[name]:
            raise FileError("DYD702", f"member {name!r} is damaged", where=where, got=digest, want=hashes[name])
