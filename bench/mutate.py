"""Damages a ``.dydca`` file in every way we can think of: ``python -m bench.mutate [--n 10000] [--seed 0]``.

Each damaged copy must be refused by a code, or load and compute the same pictures. Bytes are flipped, overwritten, cut
out, repeated and swapped; the manifest is changed as JSON and packed again with right checksums of the zip, and so are
the names and contents of members. The trials run in processes of their own, so that a crash is a result, too.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dydca.errors import DydcaError
from dydca.runtime import load

RESULTS = Path(__file__).parent / "results" / "mutate.json"
CHUNK = 500
ALLOWED = {"harmless", "DYD702", "DYD704"}
"""The codes say: damaged, or for another version or machine."""

ODD_VALUES: list[Any] = [None, True, -1, 0, 1 << 70, 0.5, "", "x", [], {}, [[]], {"a": 1}, "float32", [1, 2, 3, 4]]


def flip(data: bytearray, chance: random.Random) -> None:
    """One bit."""
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def overwrite(data: bytearray, chance: random.Random) -> None:
    """A few bytes at random, as often in the directory at the end as anywhere else."""
    end = min(len(data), 800) if chance.random() < 0.5 else len(data)
    for _ in range(chance.choice([1, 8, 64])):
        data[-1 - chance.randrange(end)] = chance.randrange(256)


def cut(data: bytearray, chance: random.Random) -> None:
    """A piece out, up to all that follows."""
    at = chance.randrange(len(data))
    del data[at : at + chance.choice([1, 64, 4096, len(data)])]


def repeat(data: bytearray, chance: random.Random) -> None:
    """A piece once more, anywhere."""
    at, to, size = chance.randrange(len(data)), chance.randrange(len(data)), chance.choice([1, 64, 4096])
    data[to:to] = data[at : at + size]


def swap(data: bytearray, chance: random.Random) -> None:
    """Two pieces."""
    size = chance.choice([4, 64, 4096])
    a, b = (chance.randrange(max(len(data) - size, 1)) for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def change_manifest(data: bytearray, chance: random.Random) -> None:
    """One value of the manifest, or a key, in a zip that is right in itself."""
    members = _unpack(data)
    manifest = json.loads(members["manifest.json"])
    holders = list(_holders(manifest))
    holder = chance.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if keys:
        key = chance.choice(keys)
        if chance.random() < 0.3:
            del holder[key]
        else:
            others = [other[k] for other in holders for k in (other if isinstance(other, dict) else range(len(other)))]
            holder[key] = copy.deepcopy(chance.choice([*ODD_VALUES, *others]))
    data[:] = _pack({**members, "manifest.json": json.dumps(manifest).encode()})


def change_members(data: bytearray, chance: random.Random) -> None:
    """A member gone, renamed, emptied, doubled or exchanged with another, in a zip that is right in itself."""
    members = _unpack(data)
    one, other = chance.choice(list(members)), chance.choice(list(members))
    match chance.randrange(5):
        case 0:
            del members[one]
        case 1:
            members[chance.choice(["../x", "/x", "lib/mips/libnet.so", one + "x"])] = members.pop(one)
        case 2:
            members[one] = b""
        case 3:
            members[one], members[other] = members[other], members[one]
        case 4:
            members[one] += members[other]
    data[:] = _pack(members)


MUTATIONS: list[Callable[[bytearray, random.Random], None]] = [
    flip, overwrite, cut, repeat, swap, change_manifest, change_members,
]  # fmt: skip


def _holders(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict | list) else []
    return own + [holder for each in inner for holder in _holders(each)]


def _unpack(data: bytes | bytearray) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _pack(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def pictures(path: Path) -> list[bytes]:
    """What the network makes of each declared patch."""
    with load(path, threads=1) as net:
        patches: Any = net.manifest["patches"]
        found = []
        for patch in patches:
            results = net(*(np.random.default_rng(0).random(shape, np.float32) for shape in patch["inputs"]))
            found += [np.asarray(each).tobytes() for each in (results if isinstance(results, tuple) else (results,))]
        return found


def try_some(path: Path, first: int, count: int) -> Counter[str]:
    """Trials number `first` and the following, each with its own seed.

    Raises:
        AssertionError: A damaged file gave other pictures, or another refusal.
    """
    good, want = path.read_bytes(), pictures(path)
    outcomes: Counter[str] = Counter()
    damaged = path.with_suffix(".damaged")
    for number in range(first, first + count):
        chance, data = random.Random(number), bytearray(good)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        mutation(data, chance)
        damaged.write_bytes(data)
        outcome = outcome_of(damaged, want)
        assert outcome in ALLOWED, f"trial {number}, {mutation.__name__}: {outcome}"
        outcomes[f"{mutation.__name__}: {outcome}"] += 1
    return outcomes


def outcome_of(damaged: Path, want: list[bytes]) -> str:
    """The code of the refusal, or whether the pictures are the same."""
    try:
        return "harmless" if pictures(damaged) == want else "other pictures"
    except DydcaError as error:
        return error.code


def run(path: Path, first: int, count: int) -> Counter[str]:
    """The same in a process of its own.

    Raises:
        RuntimeError: It crashed or found a fault.
    """
    command = [sys.executable, "-m", "bench.mutate", "--trials", str(path), str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"trials {first} to {first + count}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return Counter(json.loads(done.stdout))


def main() -> None:
    """Compiles a small network that routes by size and by value, damages it, and writes the counts."""
    if sys.argv[1:2] == ["--trials"]:
        print(json.dumps(try_some(Path(sys.argv[2]), *map(int, sys.argv[3:]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000, help="how many damaged copies")
    parser.add_argument("--seed", type=int, default=0, help="number of the first")
    options = parser.parse_args()
    import dydca
    from tests.lower.test_edges import ScaledExits

    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.dydca"
        with dydca.compile(ScaledExits().eval(), [(1, 3, 8, 6), (1, 3, 5, 7)], threads=1) as network:
            network.save(path)
        for first in range(options.seed, options.seed + options.n, CHUNK):
            outcomes += run(path, first, min(CHUNK, options.seed + options.n - first))
    found = {"mutations": options.n, "first seed": options.seed, "outcomes": dict(sorted(outcomes.items()))}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
