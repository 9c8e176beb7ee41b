"""How many starts of phase retrieval fit at once into the memory of a machine or a device, said before the first array is made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from xcdi.backend import gpu_memory
from xcdi.errors import XcdiError

__all__ = ["FOOTPRINTS", "Footprint", "Plan", "available_memory", "plan"]

_KEPT = 9  # of a finished start: its object 8, its support 1
_MEAN = 8  # of the mean that a schedule ends with: a copy of the object besides the sum, which is the end that is kept
_MOST_VOXELS = 2**31 - 1  # of one batched transform: CuPy's plans count in 32 bits
_SMOOTH, _ROUGH = 1, 8  # work area of cuFFT in arrays; lengths with large prime factors take up to eight


@dataclass(frozen=True)
class Footprint:
    """Bytes per voxel that a runner holds at its peak.

    Attributes
    ----------
    start : float
        Of every start that runs: the estimate it was loaded from, the runner's own arrays, and the mean that a schedule ends with.
    shared : float
        Of what all starts read: the amplitude 4, the validity 1, and the forms of them that a runner keeps once.
    coherence : float
        More of every start where light is partially coherent.
    work : float
        More of every start for the work areas of planned transforms, for lengths of small prime factors.
    """

    start: float
    shared: float
    coherence: float
    work: float = 0.0


FOOTPRINTS = MappingProxyType(
    {
        "plain": Footprint(_KEPT + 53 + _MEAN, 5, 0),  # the moves make a new array for every step of a formula
        "in_place": Footprint(_KEPT + 29 + _MEAN, 5, 4),  # rho 8, psi 8, support 1, target 4, two for the blur 4 + 4
        "fused": Footprint(_KEPT + 21 + _MEAN, 5, 0),  # waves 8, rho 8, goal 4, support 1
        "batched": Footprint(_KEPT + 53 + _MEAN, 5 + 4, 5),  # as plain
        "gpu": Footprint(_KEPT + 21 + _KEPT + _MEAN, 5 + 4 + 4 + 2 + 4, 4, 8 + 4 + 4),  # rho 8, psi 8, counts 4, support 1; three plans
    }
)


@dataclass(frozen=True)
class Plan:
    """What runs at once, and what it takes, bytes.

    Attributes
    ----------
    at_once : int
        Starts that run beside each other: the batch on a GPU, threads on a CPU.
    rounds : int
        How often that many are run, the last time perhaps fewer.
    bytes_per_start, bytes_shared, bytes_kept : int
        Of each start that runs, of what they share, of the objects and supports of all starts at the end.
    available : int
        What it was planned for.
    """

    at_once: int
    rounds: int
    bytes_per_start: int
    bytes_shared: int
    bytes_kept: int
    available: int

    @property
    def needed(self) -> int:
        """Bytes at the peak."""
        return self.bytes_shared + self.bytes_kept + self.at_once * self.bytes_per_start

    def told(self) -> str:
        """Say in words what runs at once, and what it takes.

        Examples
        --------
        >>> Plan(2, 4, 400_000_000, 100_000_000, 300_000_000, 8_000_000_000).told()
        '2 at once, 4 rounds, 1.20 of 8.0 GB'
        """
        rounds = "round" if self.rounds == 1 else "rounds"
        return f"{self.at_once} at once, {self.rounds} {rounds}, {self.needed / 1e9:.2f} of {self.available / 1e9:.1f} GB"


def plan(
    shape: tuple[int, int, int], starts: int, *, available: int, runner: str = "in_place", workers: int = 1, partial_coherence: bool = False
) -> Plan:
    """Return how many of `starts` may run at once in `available` bytes.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x) of the data.
    starts : int
        To be run in all. On the host their ends are kept until the last is done; a GPU hands them over.
    available : int
        Bytes; :func:`available_memory` says how many there are.
    runner : {"in_place", "fused", "plain", "batched", "gpu"}
        "batched" is one batch on the host, "gpu" the same on a device.
    workers : int
        Starts that run beside each other on the host, where there is room; a batch is not limited by it.
    partial_coherence : bool
        Whether the data have a degree of coherence.

    Raises
    ------
    XcdiError
        If not even one start fits.

    Examples
    --------
    >>> plan((256, 256, 256), 8, available=4 * 10**9, workers=8).at_once
    3
    """
    footprint, voxels, batch = _footprint(runner), math.prod(shape), runner in ("batched", "gpu")
    work = footprint.work * (_SMOOTH if all(_is_smooth(n) for n in shape) else _ROUGH)
    each = math.ceil(voxels * (footprint.start + work + (footprint.coherence if partial_coherence else 0.0)))
    shared = math.ceil(voxels * footprint.shared)
    kept = 0 if runner == "gpu" else voxels * _KEPT * starts
    room = min((available - shared - kept) // each, starts if batch else workers, starts)
    if runner == "gpu":
        room = min(room, _MOST_VOXELS // voxels)
    if room < 1:
        raise XcdiError(_refusal(shape, starts, runner, shared + kept + each, available))
    return Plan(room, -(-starts // room), each, shared, kept, available)


def available_memory(device: str = "cpu") -> int:
    """Return the bytes that this process may still take on ``"cpu"`` or ``"gpu"``.

    On the host that is what the system calls available, or what is left of the limit of the process's control group where that is less.
    """
    if device == "gpu":
        return gpu_memory()[0]
    if device != "cpu":
        raise XcdiError(f"device is 'cpu' or 'gpu', got {device!r}")
    return min(_system(Path("/proc/meminfo")), _left_of_limit(Path("/sys/fs/cgroup")))


def _footprint(runner: str) -> Footprint:
    if runner not in FOOTPRINTS:
        raise ValueError(f"no runner {runner!r}; there are {', '.join(FOOTPRINTS)}")
    return FOOTPRINTS[runner]


def _refusal(shape: tuple[int, ...], starts: int, runner: str, needed: int, available: int) -> str:
    size = " x ".join(map(str, shape))
    there = "the GPU" if runner == "gpu" else "this machine"
    kept = "" if runner == "gpu" else f", with the ends of {starts} starts,"
    return (
        f"phase retrieval of {size} voxels by runner {runner!r}{kept} needs {needed / 1e9:.2f} GB for one start at a time, "
        f"{available / 1e9:.2f} GB are free on {there}; crop or bin the data, ask for fewer starts, or close other programs"
    )


def _is_smooth(n: int) -> bool:
    for prime in (2, 3, 5, 7):
        while n > 1 and n % prime == 0:
            n //= prime
    return n <= 1


def _system(meminfo: Path) -> int:
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _left_of_limit(group: Path) -> int:
    """Return what is left of the memory limit of control group `group`; a very large number where there is none."""
    limit, used = group / "memory.max", group / "memory.current"
    if not (limit.is_file() and used.is_file()) or limit.read_text().strip() == "max":
        return 2**63 - 1
    return max(0, int(limit.read_text()) - int(used.read_text()))
