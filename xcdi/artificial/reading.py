"""Reader of simulated experiments: truth and raw frames as labelled data, for the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the detector's compression)
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from xcdi.artificial.catalogues import Catalogue, size_law
from xcdi.artificial.drops import ENVELOPE_PX, smooth_envelope
from xcdi.artificial.instrument import masked_pixels
from xcdi.artificial.laws import borel
from xcdi.artificial.profiles import Profile
from xcdi.errors import XcdiError

__all__ = ["find_truth", "read_experiment"]

MOST_FRAMES = 1500  # rows of a two-time map that a page can show
Parts = dict[str, xr.Dataset]
LAB = ("z", "y", "x")
EVENTS = {"time": "time", "frame": "frame", "fraction": "fraction", "drop_N3": "drop"}
NAMES = {"amplitude": "amplitude", "u": "displacement", "strain": "strain", "label": "grain"}


def find_truth(path: str | Path) -> Path | None:
    """Return the truth of a simulated experiment: of a folder its ``truth.h5``, of a truth file the file itself.

    Returns
    -------
    Path or None
        None for a file that is no truth: it may be a result.

    Raises
    ------
    XcdiError
        If `path` is a folder without a truth.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / "truth.h5").is_file():
            raise XcdiError(f"{path}: holds no truth.h5; expected the folder of a simulated experiment, or a result file")
        return path / "truth.h5"
    return path if path.is_file() and h5py.is_hdf5(path) and _is_truth(path) else None


def read_experiment(truth: str | Path) -> tuple[str, Parts]:
    """Read a truth, and what its picture needs of the raw files beside it.

    Parameters
    ----------
    truth : path
        ``truth.h5`` of any suite.

    Returns
    -------
    str, dict of str to Dataset
        Name of the suite, and the parts of its picture (:mod:`xcdi.plot.simulation`). Raw files that are
        gone leave out the parts that they would have filled.

    Raises
    ------
    XcdiError
        If the file is the truth of no suite.
    """
    truth = Path(truth)
    if not (truth.is_file() and h5py.is_hdf5(truth) and _is_truth(truth)):
        raise XcdiError(f"{truth}: holds no /config and /seed; expected the truth.h5 that 'xcdi simulate' wrote")
    with h5py.File(truth, "r") as file:
        suite = str(_about(file)["suite"])
        if suite not in SUITES:
            raise XcdiError(f"{truth}: is of the suite {suite!r}, which has no picture; expected one of {', '.join(SUITES)}")
        return suite, SUITES[suite](file, truth.parent)


def _is_truth(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return "config" in file and "seed" in file
    except OSError as error:
        raise XcdiError(f"{path}: cannot be opened as HDF5 ({error}); expected the truth.h5 that 'xcdi simulate' wrote") from None


def _about(file: h5py.File) -> dict[str, Any]:
    """Suite, seed and configuration, single values of which are written into the pictures."""
    guess = "particle" if "events" in file else "speckle"  # truths of xcdi 0.1 do not name their suite
    return {"suite": guess, "seed": int(file["seed"][()])} | json.loads(file["config"].asstr()[()])


def _read_particle(file: h5py.File, folder: Path) -> Parts:
    about = _about(file)
    parts = {"about": xr.Dataset(attrs=about), "crystal": _crystal(file), "events": _events(file)}
    if "clean" in file:
        parts["correlation"] = _true_correlation(file["clean"], about["frame_time_s"])
    masked = _masked(about)
    parts |= _rocking(file, folder, about, "rocking", masked)
    first = next(_frames(folder, "series"), None)
    if first is not None:
        parts["series_frame"] = _labelled_frame(first, 0, masked).isel(_box(file, "clean" if "clean" in file else "amplitude_data_frame"))
    return parts


def _crystal(file: h5py.File) -> xr.Dataset:
    """The object before the first event, named as the pictures of a reconstructed crystal name it."""
    found = {new: (LAB, file[old][()]) for old, new in NAMES.items() if old in file}
    found["phase"] = (LAB, np.angle(file["object"][()]))
    found["support"] = (LAB, file["label"][()] > 0)
    axes = {name: (name, file[f"axes/{name}"][()]) for name in LAB}
    return xr.Dataset(found, axes, attrs={"q_peak": file["geometry/G"][()].tolist()})


def _events(file: h5py.File) -> xr.Dataset:
    """What is drawn of the events; `drop` is that of the normalisation N3, like the two-time map."""
    group = file["events"]
    return xr.Dataset({new: ("event", group[old][()]) for old, new in EVENTS.items()})


def _true_correlation(clean: h5py.Dataset, frame_time_s: float) -> xr.Dataset:
    r"""Two-time correlation of the frames without noise in units of its contrast, as the drop of an event is measured.

    .. math:: \langle z_1 z_2 \rangle / \sqrt{\langle z_1^2 \rangle \langle z_2^2 \rangle} = (C - 1) / \beta

    with the frames z normalised by their smooth time average (N3); of long series every n-th frame is taken.
    """
    step = -(-len(clean) // MOST_FRAMES)
    frames = clean[::step].astype(np.float32)
    envelope = np.maximum(ndimage.gaussian_filter(frames.mean(axis=0), ENVELOPE_PX), 1e-12)
    scaled = smooth_envelope(frames, envelope).reshape(len(frames), -1)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    return _two_time(scaled @ scaled.T, step * frame_time_s).assign_attrs(label=r"$(C(t_1, t_2) - 1) / \beta$")


def _two_time(plane: NDArray[Any], frame_time_s: float) -> xr.Dataset:
    """The map as a correlation of one region, with its means along lines of constant delay."""
    time = frame_time_s * np.arange(len(plane))
    delays = np.arange(1, max(2, 9 * len(plane) // 10))
    one_time = np.array([[np.mean(np.diagonal(plane, lag)) for lag in delays]])
    axes = {"time": ("time", time, {"units": "s"}), "time2": ("time2", time), "delay": ("delay", frame_time_s * delays, {"units": "s"})}
    return xr.Dataset({"two_time": (("region", "time", "time2"), plane[None]), "g2": (("region", "delay"), one_time)}, axes)


def _rocking(file: h5py.File, folder: Path, about: dict[str, Any], scan: str, masked: NDArray[np.bool_]) -> Parts:
    """Counts in the trusted pixels of the box by angle, with and without noise, and the brightest frame of all."""
    box, counts, brightest = _box(file), [], None
    valid = (~masked & _not_lying(file, masked.shape))[box["row"], box["column"]]
    for number, frame in enumerate(_frames(folder, scan)):
        counts.append(float(frame[box["row"], box["column"]][valid].sum()))
        if counts[-1] == max(counts):
            brightest = _labelled_frame(frame, number, masked)
    clean = np.array([np.sum(np.abs(field) ** 2, where=valid) for field in file["amplitude_data_frame"]])
    angle = (np.arange(len(clean)) - len(clean) // 2) * about["angle_step_deg"]
    curve = xr.Dataset({"clean": ("angle", clean)}, {"angle": ("angle", angle, {"units": "deg"})})
    if brightest is None:
        return {"rocking": curve.assign_attrs(motor=about.get("rocking", "omega"))}
    edges = [box["row"].start, box["row"].stop, box["column"].start, box["column"].stop]
    brightest.attrs |= {"box": edges, "peak_px": about["peak_px"]}
    if "geometry/beam_centre" in file:
        brightest.attrs["beam_centre"] = file["geometry/beam_centre"][()].tolist()
    return {"rocking": curve.assign(counts=("angle", counts)).assign_attrs(motor=about.get("rocking", "omega")), "frame": brightest}


def _box(file: h5py.File, name: str = "amplitude_data_frame") -> dict[str, slice]:
    """Rows and columns of the detector that the data set `name` of the truth is kept for."""
    edges = file[name].attrs.get("box", file["amplitude_data_frame"].attrs["box"])
    top, bottom, left, right = (int(edge) for edge in edges)
    return {"row": slice(top, bottom), "column": slice(left, right)}


def _labelled_frame(counts: NDArray[Any], number: int, masked: NDArray[np.bool_] | None = None) -> xr.Dataset:
    """A frame with its pixel numbers; counts of pixels in gaps and behind the beamstop are NaN, whatever number they hold."""
    shown = counts.astype(float) if masked is None else np.where(masked, np.nan, counts)
    rows, columns = (np.arange(n) for n in counts.shape)
    return xr.Dataset({"counts": (("row", "column"), shown)}, {"row": rows, "column": columns}, attrs={"number": number})


def _masked(about: dict[str, Any]) -> NDArray[np.bool_]:
    """Gaps and beamstop of a particle's detector."""
    return masked_pixels(Profile.model_validate({name: value for name, value in about.items() if name in Profile.model_fields}))


def _not_lying(file: h5py.File, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where no pixel is dead, hot or flickering."""
    honest = np.ones(shape, bool)
    for name in ("dead", "hot", "flickering"):
        if f"artifacts/{name}" in file:
            honest[tuple(file[f"artifacts/{name}"][()].reshape(-1, 2).T)] = False
    return honest


def _frames(folder: Path, scan: str) -> Iterator[NDArray[Any]]:
    """Yield the frames of the scan in `folder` with the shortest name that contains `scan`: that of the first reflection.

    The master of an Eiger, whose data files are linked, and a file of any other layout look alike: stacks of three
    dimensions and whole numbers, all in one group, in the order of their names.
    """
    names = [path for path in folder.glob("*.h5") if scan in path.name]
    for path in sorted(names, key=lambda path: (not path.stem.endswith("_master"), len(path.name), path.name)):
        with h5py.File(path, "r") as file:
            stacks = _stacks(file)
            for stack in stacks:
                yield from stack
        if stacks:
            return


def _stacks(group: h5py.Group) -> list[h5py.Dataset]:
    """Stacks of frames of the first group that has any; a link to a file that is not there is none."""
    inside = [item for item in (group.get(name) for name in sorted(group)) if item is not None]
    stacks = [item for item in inside if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in "iu"]
    deeper = (_stacks(item) for item in inside if isinstance(item, h5py.Group))
    return stacks or next(filter(None, deeper), [])


def _read_speckle(file: h5py.File, folder: Path) -> Parts:
    about = _about(file)
    parts = {"about": xr.Dataset(attrs=about), "correlation": _two_time(file["two_time"][()], about["frame_time_s"])}
    frames = np.array(list(_frames(folder, "speckle")))
    if frames.size:
        parts["frame"] = _labelled_frame(frames[0], 0)
        parts["measured"] = _two_time(_correlated(frames), about["frame_time_s"])
    jumps = np.array(about["events"], float).reshape(-1, 2)
    parts["events"] = xr.Dataset({"time": ("event", jumps[:, 0] * about["frame_time_s"]), "drop": ("event", 1 - jumps[:, 1])})
    return parts


def _correlated(counts: NDArray[Any]) -> NDArray[np.float32]:
    """Two-time correlation of the counts; frames without a photon give NaN."""
    flat = counts.reshape(len(counts), -1).astype(np.float32)
    mean = flat.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (flat @ flat.T / flat.shape[1] / np.outer(mean, mean)).astype(np.float32)


def _read_crystal(file: h5py.File, folder: Path) -> Parts:
    about = _about(file)
    parts = {
        "about": xr.Dataset(attrs=about),
        "crystal": _crystal(file),
        **_rocking(file, folder, about, "crystal", np.zeros(about["detector"], bool)),
    }
    counts = np.array(list(_frames(folder, "crystal")), float)
    if counts.size:
        axes = {"angle": parts["rocking"]["angle"].values, "row": np.arange(counts.shape[1]), "column": np.arange(counts.shape[2])}
        steps = file["geometry/q_basis"][()]
        parts["peak"] = xr.Dataset({"counts": (tuple(axes), counts)}, axes, attrs={"q_basis": steps.tolist()})
    return parts


def _read_catalogue(file: h5py.File, folder: Path) -> Parts:
    about = _about(file)
    c = Catalogue.model_validate({name: value for name, value in about.items() if name in Catalogue.model_fields})
    groups = [file[name] for name in sorted((name for name in file if name.startswith("series_")), key=lambda name: int(name[7:]))]
    columns = {name: ("event", np.concatenate([group[name][()] for group in groups])) for name in ("time", "size", "detected")}
    columns["series"] = ("event", np.repeat(np.arange(len(groups)), [len(group["time"]) for group in groups]))
    events = xr.Dataset(columns, attrs={"completeness": float(file["completeness"][()]), "fitted": file["range"][()].tolist()})
    time = np.linspace(0, c.duration_s, 200)
    parts = {"about": xr.Dataset(attrs=about), "catalogue": events, "law": _size_law(c, float(events["size"].max()))}
    if c.times != "etas":
        share = time / c.duration_s if c.times == "poisson" else np.log1p(time / c.age_s) / np.log1p(c.duration_s / c.age_s)
        parts["rate"] = xr.Dataset({"count": ("time", c.events * share)}, {"time": ("time", time, {"units": "s"})})
    return parts


def _size_law(c: Catalogue, largest: float) -> xr.Dataset:
    """Share of all events that the law says are at least as large as `size`."""
    if c.law == "branching":
        size = np.arange(1.0, c.largest_tree + 1)
        at_least = np.cumsum(borel(size, c.offspring)[::-1])[::-1]
        few = np.unique(np.geomspace(1, largest, 300).astype(int)) - 1
        return xr.Dataset({"ccdf": ("size", (at_least / at_least[0])[few])}, {"size": size[few]})
    law = size_law(c)
    size = law.quantile(np.concatenate([np.geomspace(1e-6, 0.5, 150), 1 - np.geomspace(0.5, 1e-6, 150)]))
    return xr.Dataset({"ccdf": ("size", 1 - law.share(size))}, {"size": size})


SUITES: dict[str, Callable[[h5py.File, Path], Parts]] = {
    "particle": _read_particle,
    "speckle": _read_speckle,
    "catalogue": _read_catalogue,
    "crystal": _read_crystal,
}
