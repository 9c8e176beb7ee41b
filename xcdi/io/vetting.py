"""Files are opened here, read-only, and refused with one clear line where they cannot be trusted."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from xcdi.errors import XcdiError

__all__ = ["Place", "locate", "open_file", "opened", "vet"]

LARGEST_CHUNK = 1 << 31
MOST_LINKS = 16
FIRST_PAUSE_S = 0.05
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"swmr": True, "libver": "latest"},  # a live or a dead SWMR writer
    {"locking": False},  # no locks on this file system, or BLISS still writes
)
PACKAGES = {32008: "hdf5plugin (bitshuffle)", 32001: "hdf5plugin (blosc)", 32015: "hdf5plugin (zstd)", 32013: "hdf5plugin (zfp)"}


class Place(NamedTuple):
    """One dataset: the file it is in, and its path there."""

    file: Path
    path: str


def open_file(path: str | Path, *, patience_s: float = 0.0) -> h5py.File:
    """Open an HDF5 file for reading, also while somebody writes it.

    Parameters
    ----------
    path : path
        The file.
    patience_s : float
        How long to try again while it is absent, locked, or not yet whole [s].

    Raises
    ------
    XcdiError
        If it is absent, empty, no HDF5, cut short, or locked; says which.
    """
    path, until, pause = Path(path), time.monotonic() + patience_s, FIRST_PAUSE_S
    while True:
        try:
            return _open(path)
        except XcdiError:
            if time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _open(path: Path) -> h5py.File:
    reasons: list[OSError | RuntimeError] = []
    for way in WAYS:
        try:
            return h5py.File(path, "r", **way)
        except (OSError, RuntimeError) as error:  # the latter where the first bytes already make no sense
            reasons.append(error)
    raise XcdiError(f"{path}: {_reason(path, reasons)}") from None


def _reason(path: Path, errors: list[OSError | RuntimeError]) -> str:
    """Why no way of opening `path` worked, in words."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    text = " ".join(str(error) for error in errors)
    if path.is_dir():
        return "is a folder, expected an HDF5 file"
    if size == 0 or "file signature not found" in text:
        return f"not an HDF5 file ({size} bytes)"
    cut = re.search(r"eof = (\d+).*?stored_eof = (\d+)", text)
    if cut:
        missing = int(cut[2]) - int(cut[1])
        return f"cut short: {cut[1]} bytes of {cut[2]}, {missing} are missing; copy it again, or use the data files that are whole"
    if any(isinstance(error, PermissionError) for error in errors):
        return "no permission to read it"
    if any(isinstance(error, BlockingIOError) for error in errors):
        return "locked by the program that writes it; wait until that has closed it, or follow it with 'xcdi live'"
    return f"cannot be opened: {str(errors[0]).splitlines()[0]}"


def locate(file: h5py.File, name: str, *, root: Path) -> Place | None:
    """Follow all links to the object `name`; None if there is nothing of that name.

    Parameters
    ----------
    file : h5py.File
        Where to start.
    name : str
        Absolute path in it.
    root : Path
        External links may lead to files below this folder only.

    Raises
    ------
    XcdiError
        If an external link leads out of `root`, links go round in circles, or the file linked to is absent.
    """
    place = Place(Path(file.filename), name)
    for _ in range(MOST_LINKS):
        step = _next(file, place, root)
        if step is None or step == place:
            return step
        if step.file != place.file:
            with open_file(step.file) as other:
                return locate(other, step.path, root=root)
        place = step
    raise XcdiError(f"{place.file.name}: the links at {name!r} go round in circles")


def _next(file: h5py.File, place: Place, root: Path) -> Place | None:
    """`place` with its first soft or external link replaced by where that leads; `place` itself if there is none."""
    parts = [part for part in place.path.split("/") if part]
    here: h5py.Group = file
    for i, part in enumerate(parts):
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        rest = "/".join(parts[i + 1 :])
        if isinstance(link, h5py.ExternalLink):
            return Place(inside(place.file.parent / link.filename, root, place), f"{link.path.rstrip('/')}/{rest}".rstrip("/"))
        if isinstance(link, h5py.SoftLink):
            base = "" if link.path.startswith("/") else "/".join(parts[:i]) + "/"
            return Place(place.file, f"/{base}{link.path}/{rest}".replace("//", "/").rstrip("/"))
        if link is None:
            return None
        here = here[part]
    return Place(place.file, "/" + "/".join(parts))


def inside(path: Path, root: Path, place: Place) -> Path:
    """Return `path` if it stays below `root`.

    Raises
    ------
    XcdiError
        If it does not; a file could otherwise make xcdi read anything.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise XcdiError(f"{place.file.name}: {place.path!r} leads to {str(path)!r}, outside {str(root)!r}; move the data below that folder")
    return path


@contextmanager
def opened(place: Place, *, root: Path) -> Iterator[h5py.Dataset]:
    """The dataset at `place`, vetted, while the context lasts.

    Raises
    ------
    XcdiError
        If the file cannot be opened, there is no dataset, or it is not to be trusted.
    """
    with open_file(place.file) as file:
        found = file.get(place.path)
        if not isinstance(found, h5py.Dataset):
            raise XcdiError(f"{place.file.name}: {place.path!r} is no dataset")
        yield vet(found, root)


def vet(dataset: h5py.Dataset, root: Path) -> h5py.Dataset:
    """Return `dataset` if reading it can neither crash HDF5 nor reach outside `root`.

    Raises
    ------
    XcdiError
        Names the dataset and what is wrong with it.
    """
    where = f"{Path(dataset.file.filename).name}: {dataset.name!r}"
    for check in (_no_raw_storage, _honest_chunks, _known_filters, _present_sources):
        trouble = check(dataset, root)
        if trouble:
            raise XcdiError(f"{where} {trouble}")
    return dataset


def _no_raw_storage(dataset: h5py.Dataset, root: Path) -> str:
    for name, *_ in dataset.external or ():
        if not (Path(dataset.file.filename).parent / name).resolve().is_relative_to(root.resolve()):
            return f"keeps its bytes in {name!r}, outside {str(root)!r}; such files are not read"
    return ""


def _honest_chunks(dataset: h5py.Dataset, root: Path) -> str:
    chunks = dataset.chunks
    if chunks is None:
        return ""
    if len(chunks) != dataset.ndim:
        return f"has chunks of rank {len(chunks)} and data of rank {dataset.ndim}; the file is damaged or hostile"
    size = dataset.dtype.itemsize
    for n in chunks:
        size *= n
    return f"has chunks of {size} bytes, expected at most {LARGEST_CHUNK}; store fewer frames in one chunk" if size > LARGEST_CHUNK else ""


def _known_filters(dataset: h5py.Dataset, root: Path) -> str:
    plist = dataset.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            package = PACKAGES.get(code, f"the package that has filter {code}")
            return f"is compressed by HDF5 filter {code} ({name.decode(errors='replace')}), which is not here; install {package}"
    return ""


def _present_sources(dataset: h5py.Dataset, root: Path) -> str:
    """HDF5 itself reads zeros where a virtual source is absent."""
    if not dataset.is_virtual:
        return ""
    home = Path(dataset.file.filename)
    missing = []
    for name in dict.fromkeys(source.file_name for source in dataset.virtual_sources()):
        path = home if name == "." else home.parent / name
        if not path.resolve().is_relative_to(root.resolve()):
            return f"is virtual and leads to {name!r}, outside {str(root)!r}; move the data below that folder"
        if not path.is_file():
            missing.append(name)
    if missing:
        return f"is virtual, and {len(missing)} of its files are missing: {', '.join(missing[:5])}; copy them beside it"
    return _absent(dataset, home)


def _absent(dataset: h5py.Dataset, home: Path) -> str:
    for source in dataset.virtual_sources():
        if source.file_name == ".":
            if source.dset_name not in dataset.file:
                return f"is virtual, and its source {source.dset_name!r} is not in the file"
            continue
        with open_file(home.parent / source.file_name) as file:
            if source.dset_name not in file:
                return f"is virtual, and {source.file_name!r} has no {source.dset_name!r}"
    return ""
