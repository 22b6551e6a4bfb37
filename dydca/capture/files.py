"""Models read from files, without running code that a file brings along.

A whole module is a pickle, and a pickle can call anything. It is read by torch's weights-only unpickler, which knows
only the classes it is told: here those of torch.nn and of dydca.models, and what the user allows by name.
"""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from dydca.capture.factory import build
from dydca.capture.onnx import is_onnx, network_of, read_onnx
from dydca.capture.pt2 import read_pt2
from dydca.errors import CaptureError, FileError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto

_ACTIVATIONS = (
    "relu leaky_relu prelu relu6 elu selu celu gelu silu mish sigmoid tanh softplus hardtanh hardswish hardsigmoid"
)
_HOOKS = (
    ("torch.nn.utils.weight_norm", "WeightNorm"),
    ("torch.nn.utils.spectral_norm", "SpectralNorm"),
    ("torch.nn.utils.spectral_norm", "SpectralNormStateDictHook"),
    ("torch.nn.utils.spectral_norm", "SpectralNormLoadStateDictPreHook"),
    ("torch.nn.modules.module", "_WrappedHook"),
)
_SAFETENSORS_START = b"\0\0\0\0{"
"""From byte 4: the upper half of the length of the JSON that follows, which is far below 4 GiB."""
_ONNX_START = b"\x08"
"""The tag of the version, which every exporter writes first; a pickle starts with 0x80, a zip with PK."""

_TORCHSCRIPT_FIX = "hand over the nn.Module the script was made from, or save torch.export.export(module, ...) to .pt2"


def open_model(model: nn.Module | ExportedProgram | ModelProto | str | Path) -> nn.Module | ExportedProgram:
    """The network itself, read by `read_model` where its path is given."""
    if isinstance(model, str | Path):
        return read_model(model)
    return network_of(model) if is_onnx(model) else model


def read_model(
    path: str | Path, *, factory: str | None = None, allow: Sequence[str] = (), trust_pickle: bool = False
) -> nn.Module | ExportedProgram:
    """Reads a whole module (``.pt``, ``.pth``), an exported program (``.pt2``), or with a factory a state_dict.

    ONNX models (``.onnx``) are read, too. The content decides, not the name.

    Args:
        path: A file that torch.save, torch.export.save or an exporter to ONNX wrote, or safetensors.
        factory: What makes the network whose state_dict the file holds, ``package.module:callable`` or
            ``package.module:callable(scale=2, blocks=4)`` with literals as arguments. It is imported and called.
        allow: Further classes the file may ask for, ``package.Class``, or ``package`` for all in it. They are imported.
        trust_pickle: Reads the file by Python's own unpickler, which runs whatever the file says.

    Raises:
        FileError: DYD701 there is no such file, DYD702 it is damaged, DYD703 it asks for classes not known to be safe,
            DYD706 it is ONNX, and the package onnx is not installed.
        CaptureError: DYD102 it holds TorchScript or something else that is no network, or with a factory no
            state_dict; DYD112 an ONNX node is of a kind that is not read; DYD113 to DYD116 for the factory, see
            `dydca.capture.factory.build`.
        UsageError: DYD902, it is safetensors, and the package that reads these is not installed.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "TorchScript":
        got = f"a TorchScript archive: {path}"
        raise CaptureError("DYD102", "a TorchScript module has no capturable source", got=got, fix=_TORCHSCRIPT_FIX)
    value: object
    if kind == "exported program":
        value = read_pt2(path, trusted=trust_pickle)
    elif kind == "ONNX":
        value = read_onnx(path)
    elif kind == "safetensors":
        value = _tensors(path)
    else:
        value = _unpickled(path, None if trust_pickle else _permitted(path, allow))
    return _as_network(path, value) if factory is None else build(factory, _as_state(path, value), path)


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            start = file.read(9)
            if start[4:] == _SAFETENSORS_START:
                return "safetensors"
            if path.suffix == ".onnx" or start[:1] == _ONNX_START:
                return "ONNX"
            if not zipfile.is_zipfile(path):
                return "pickle"
            members = [name.partition("/")[2] for name in zipfile.ZipFile(path).namelist()]
    except OSError as error:
        raise FileError(
            "DYD701", "the model cannot be read", where=str(path), got=error.strerror or str(error)
        ) from error
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error
    if "archive_format" in members:
        return "exported program"
    return "TorchScript" if "constants.pkl" in members else "pickle"


def _damaged(path: Path, error: Exception) -> FileError:
    message = (str(error).strip() or type(error).__name__).splitlines()[0]
    return FileError("DYD702", "this is no readable model file", where=str(path), got=message)


def _permitted(path: Path, allow: Sequence[str]) -> list[tuple[Any, str]]:
    """What the file asks for, all of it known or allowed.

    Raises:
        FileError: DYD702, DYD703.
    """
    try:
        asked = sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception as error:  # the scanner raises whatever a damaged file makes it stumble over
        raise _damaged(path, error) from error
    granted = {name: _granted(name, allow) for name in asked}
    if refused := [name for name, found in granted.items() if found is None]:
        what = "the model file asks for classes that are not known to be safe"
        want = "classes of torch.nn"
        raise FileError("DYD703", what, where=str(path), got=", ".join(refused), want=want, fix=_way_out(refused))
    return [(found, name) for name, found in granted.items()]


def _way_out(refused: Sequence[str]) -> str:
    """Proposes to allow the user's own classes, never Python's or PyTorch's functions."""
    export = "export the model to .pt2 by torch.export.save"
    if any(name.split(".")[0] in ("builtins", "functools", "torch") for name in refused):
        return export
    return f"{' '.join(f'--allow {name}' for name in refused)} if you know them, or {export}"


def _granted(name: str, allow: Sequence[str]) -> Any:
    """The class behind a name, None if it is neither known nor allowed."""
    if name in _known():
        return _known()[name]
    if not any(name == entry or name.startswith(f"{entry}.") for entry in allow):
        return None
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        fix = "run dydca where the class can be imported, and save from an importable module rather than a script"
        raise FileError("DYD703", f"the allowed class {name} cannot be imported", got=str(error), fix=fix) from error


@cache
def _known() -> dict[str, Any]:
    """Every network class of torch.nn and dydca.models, and the functions and hooks that pickled modules refer to."""
    models = importlib.import_module("dydca.models")  # by name: not an import of the package above for mypy
    for module in pkgutil.iter_modules(models.__path__, "dydca.models."):
        importlib.import_module(module.name)
    classes = [
        kind
        for kind in _subclasses(nn.Module)
        if kind.__module__.startswith(("torch.nn.modules.", "dydca.models."))
        and getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind  # tracing makes others so called
    ]
    hooks = [getattr(importlib.import_module(module), name) for module, name in _HOOKS]
    functions = [getattr(functional, name) for name in _ACTIVATIONS.split()]
    named = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in [*classes, *hooks]}
    return named | {
        f"torch.nn.functional.{name}": function for name, function in zip(_ACTIVATIONS.split(), functions, strict=True)
    }


def _subclasses(kind: type[nn.Module]) -> Iterator[type[nn.Module]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def _unpickled(path: Path, permitted: Iterable[tuple[Any, str]] | None) -> object:
    """The object in the file; without a list of permitted names, by Python's own unpickler."""
    try:
        with warnings.catch_warnings(), safe_globals(list(permitted or ())):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=permitted is not None)
    except pickle.UnpicklingError as error:
        message = next(
            (line for line in str(error).splitlines() if "WeightsUnpickler" in line), str(error).splitlines()[0]
        )
        raise FileError(
            "DYD703", "the model file does what is not known to be safe", where=str(path), got=message
        ) from error
    except Exception as error:  # a damaged file makes the reader raise anything
        raise _damaged(path, error) from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UsageError("DYD902", "weights need safetensors", fix="pip install 'dydca[content]'") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:  # a type that torch does not have is a KeyError
        raise _damaged(path, error) from error


def _as_network(path: Path, value: object) -> nn.Module | ExportedProgram:
    if isinstance(value, nn.Module | ExportedProgram):
        return value
    got = f"a state_dict of {len(value)} tensors" if _is_state(value) else f"an object of type {type(value).__name__}"
    fix = "name what makes the network by --factory package.module:callable, or torch.save(model, ...) the whole model"
    raise CaptureError(
        "DYD102", "the file holds no network", where=str(path), got=got, want="a whole nn.Module", fix=fix
    )


def _as_state(path: Path, value: object) -> dict[str, Tensor]:
    """The state_dict in the file: all of it, or the only one in a checkpoint.

    Raises:
        CaptureError: DYD102.
    """
    if _is_state(value):
        return value
    found = {key: entry for key, entry in value.items() if _is_state(entry)} if isinstance(value, dict) else {}
    if len(found) == 1:
        return next(iter(found.values()))
    got = f"state_dicts under {', '.join(map(repr, found))}" if found else f"an object of type {type(value).__name__}"
    fix = "torch.save the state_dict you mean alone" if found else "leave the factory out, or torch.save a state_dict"
    raise CaptureError("DYD102", "the file does not hold one state_dict", where=str(path), got=got, fix=fix)


def _is_state(value: object) -> TypeGuard[dict[str, Tensor]]:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(entry, Tensor) for name, entry in value.items())
    )
