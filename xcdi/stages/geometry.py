"""Places for labelled data: q for frames and pixels, boxes around a peak, the laboratory for a phased object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import XcdiError
from xcdi.kernels import geometry, strain
from xcdi.schema import LAB, OBJECT, require
from xcdi.stages import instrument
from xcdi.stages.blocks import frame_blocks

__all__ = ["peak_q", "q_regions", "to_lab", "trusted", "with_q"]

AXES = ["x", "y", "z"]
INDEX = ["frame", "row", "column"]
TILE = 16  # pixels; tiles give the rocking curve before the place of the peak is known
WINDOW = 16  # pixels on either side of the peak that its centre of mass is taken from
MARGIN = 8  # voxels kept around the support before it is resampled
RIM = 2  # voxels around the support in the laboratory
LARGEST = 2**28  # voxels of a laboratory grid

Box = Mapping[str, slice]


class Brightest(NamedTuple):
    """Where a scan is brightest: the nearest (frame, row, column), and its centre of mass."""

    nearest: tuple[int, int, int]
    centre: tuple[float, float, float]


def with_q(scan: xr.Dataset, *, reference: tuple[int, int, int] | None = None, workers: int = 1) -> xr.Dataset:
    """Return the rocking scan with its sampling of reciprocal space at the peak.

    Parameters
    ----------
    scan : SCAN
        `counts`, `valid`, `rocking`, the motors, and the attributes geometry, energy_kev, distance_m,
        pixel_size_m, centre_px, rocking_motor. Raw or corrected.
    reference : (frame, row, column), optional
        Where q is taken; by default where the scan is brightest, which reads it once.

    Returns
    -------
    SCAN
        With `q_basis` (axis, index) and `q_peak` (axis) [1/nm] in laboratory axes at the reference
        frame, and attributes peak_index, peak_centre (frame, row, column), two_theta_deg and
        d_spacing_nm at that centre; with a detector arm also arm_two_theta_deg and arm_d_spacing_nm
        of the pixel on its axis. All from the motor positions: an offset of a motor is in them.

    Raises
    ------
    SchemaError
        Names what the scan lacks.
    """
    require(scan, "counts", "valid")
    instrument.rocking(scan, 0)  # before any frame is read
    instrument.camera(scan, 0)
    found = _brightest(scan, workers) if reference is None else _at(*reference)
    basis = instrument.q_basis(scan, found.nearest)
    notes = {"peak_index": list(found.nearest), "peak_centre": list(found.centre)} | _bragg_angles(scan, found)
    return scan.assign(_q_variables(basis)).assign_attrs(notes)


def peak_q(scan: xr.Dataset, box: Box) -> xr.Dataset:
    """Sampling of reciprocal space at the middle voxel n // 2 of a box.

    Parameters
    ----------
    scan : SCAN
    box : mapping of slices
        Of ``frame``, ``y`` and ``x``, each with a start and a stop.

    Returns
    -------
    Dataset
        `q_basis` and `q_peak`, with attributes two_theta_deg and d_spacing_nm there.
    """
    middle = _at(*((box[dim].start + box[dim].stop) // 2 for dim in ("frame", "y", "x")))
    both = _bragg_angles(scan, middle)
    return xr.Dataset(_q_variables(instrument.q_basis(scan, middle.nearest)), attrs={k: both[k] for k in ("two_theta_deg", "d_spacing_nm")})


def q_regions(scan: xr.Dataset, edges: Sequence[float], *, frame: int = 0) -> xr.Dataset:
    """Number the pixels by |q|, for correlation on rings.

    Parameters
    ----------
    scan : SCAN
        Still or rocking; needs the camera's attributes, no counts are read.
    edges : rising numbers
        n + 1 edges of n regions [1/nm].

    Returns
    -------
    Dataset
        `label` (y, x): 0 outside and where not valid, else 1 to n. `q` (region): mean |q| of its pixels
        [1/nm], `azimuth` (y, x) [deg], 0 along x and 90 up.
    """
    require(scan, "valid")
    q = geometry.q_map(instrument.camera(scan, frame), (scan.sizes["y"], scan.sizes["x"]), wavelength=instrument.wavelength(scan))
    length = np.linalg.norm(q, axis=-1)
    label = np.where(scan.valid.to_numpy(), geometry.q_regions(length, edges), 0).astype(np.int16)
    each = range(1, len(edges))
    empty = [n for n in each if not (label == n).any()]
    if empty:
        span = f"{length.min():.4g} to {length.max():.4g}"
        raise XcdiError(
            f"region {empty[0]} ({edges[empty[0] - 1]:g} to {edges[empty[0]]:g} 1/nm) has no valid pixel; the frames span {span}"
        )
    return xr.Dataset(
        {
            "label": (("y", "x"), label, {"units": ""}),
            "azimuth": (("y", "x"), np.degrees(geometry.azimuth(q)), {"units": "deg"}),
            "q": ("region", np.array([length[label == n].mean() for n in each]), {"units": "1/nm"}),
        }
    )


def to_lab(phased: xr.Dataset, *, voxel_nm: float | None = None) -> xr.Dataset:
    """Bring a phased object to an upright laboratory grid.

    The complex field is resampled, exactly for its band (:func:`xcdi.kernels.resampling.resample`),
    and its mean phase ramp is taken off and added to the attribute ``ramp``.

    Parameters
    ----------
    phased : OBJECT
        `rho`, `support`, `voxel_basis`, `q_peak`; `rho_error`, `phase_error` and `solutions` where there are any.
    voxel_nm : float, optional
        Edge of a voxel; by default the finest of the data frame.

    Returns
    -------
    CRYSTAL
        `rho`, `amplitude` (1 at its 90th percentile inside), `phase` [rad], `support`, and `rho_error`, `phase_error`,
        `solutions` as given; coordinates x, y, z [nm], 0 at the middle voxel of `phased`. Attributes voxel_basis_nm, of the data frame,
        q_peak and ramp (x, y, z) [1/nm]: locally the wave vector is q_peak + ramp + gradient of the phase.
    """
    require(phased, "rho", "support", "voxel_basis", "q_peak", schema=OBJECT)
    support = phased.support.to_numpy()
    if not support.any():
        raise XcdiError("the phased object has an empty support; nothing can be drawn in the laboratory")
    basis = phased.voxel_basis.to_numpy()
    grid = _lab_grid(support, basis, voxel_nm or float(geometry.voxel_lengths(basis).min()))
    lab = _on_grid(phased, basis, grid)
    ramp = _ramp(lab, grid.voxel)
    notes = {
        **phased.attrs,
        **lab.attrs,
        "q_peak": phased.q_peak.to_numpy().tolist(),
        "ramp": (np.asarray(phased.attrs.get("ramp", np.zeros(3)), dtype=float) + ramp).tolist(),
        "voxel_basis_nm": basis.tolist(),
        "axes": "z along the beam, y up, x = y cross z",
    }
    return _without_ramp(lab, ramp).assign_attrs(notes)


class Grid(NamedTuple):
    """Upright grid: voxel edge [nm], shape (z, y, x), and the number of its first voxel along z, y, x."""

    voxel: float
    shape: tuple[int, int, int]
    first: Array

    @property
    def coordinates(self) -> dict[str, tuple[str, Array, dict[str, str]]]:
        """Positions z, y, x [nm]."""
        lines = (self.voxel * (start + np.arange(n)) for start, n in zip(self.first, self.shape, strict=True))
        return {dim: (dim, line, {"units": "nm"}) for dim, line in zip(LAB, lines, strict=True)}


def _lab_grid(support: Array, basis: Array, voxel: float) -> Grid:
    """Cover the support and a rim; voxel 0 is the middle of the data frame."""
    place = (np.argwhere(support) - np.array(support.shape) // 2) @ basis.T / voxel
    first = np.floor(place.min(axis=0)).astype(int)[::-1] - RIM
    shape = np.ceil(place.max(axis=0)).astype(int)[::-1] + RIM + 1 - first
    if np.prod(shape, dtype=float) > LARGEST:
        raise XcdiError(f"voxel_nm = {voxel:g} makes a grid of {' x '.join(map(str, shape))} voxels; choose a larger voxel")
    return Grid(voxel, (int(shape[0]), int(shape[1]), int(shape[2])), first)


def _on_grid(phased: xr.Dataset, basis: Array, grid: Grid) -> xr.Dataset:
    """Resample everything in `phased` that lives on voxels."""
    inside, shift = _around(phased.support.to_numpy())
    middle = grid.voxel * (grid.first + np.array(grid.shape) // 2)[::-1] - basis @ shift
    onto: dict[str, Any] = {"voxel": grid.voxel, "shape": grid.shape, "centre": middle}

    def cut(name: str) -> Array:
        return phased[name].to_numpy()[..., inside[0], inside[1], inside[2]]

    support = geometry.resample_linear(cut("support").astype(np.float32), basis, **onto) > 0.5
    rho = geometry.resample(cut("rho"), basis, **onto)
    scale = float(np.percentile(np.abs(rho[support]), 90)) if support.any() else 0.0
    if not scale > 0:
        raise XcdiError(f"nothing of the support survives on a grid of {grid.voxel:g} nm; choose a smaller voxel_nm")
    fields: dict[str, Any] = {"rho": (LAB, rho / np.float32(scale), {"units": "1"}), "support": (LAB, support, {"units": ""})}
    if "rho_error" in phased:
        fields["rho_error"] = (LAB, geometry.resample_linear(cut("rho_error"), basis, **onto) / np.float32(scale), {"units": "1"})
    if "phase_error" in phased:
        fields["phase_error"] = (LAB, _between_known(cut("phase_error"), basis, onto), {"units": "rad"})
    if "solutions" in phased:
        fields["solutions"] = (
            phased.solutions.dims,
            geometry.resample(cut("solutions"), basis, **onto) / np.float32(scale),
            {"units": "1"},
        )
    return xr.Dataset(fields, grid.coordinates, attrs={"amplitude_scale": scale})


def _between_known(values: Array, basis: Array, onto: dict[str, Any]) -> Array:
    """Interpolate what is known of `values`; NaN where half or more of it is not."""
    known = np.isfinite(values)
    share = geometry.resample_linear(known.astype(np.float32), basis, **onto)
    total = geometry.resample_linear(np.where(known, values, 0).astype(np.float32), basis, **onto)
    return np.where(share > 0.5, total / np.maximum(share, 0.5), np.nan).astype(np.float32)


def _around(support: Array) -> tuple[tuple[slice, ...], Array]:
    """Slices around the support and a margin, and by how many voxels the middle n // 2 moves."""
    inside, shift = [], []
    for axis, n in enumerate(support.shape):
        used = np.flatnonzero(support.any(axis=tuple(a for a in range(3) if a != axis)))
        start, stop = max(int(used[0]) - MARGIN, 0), min(int(used[-1]) + 1 + MARGIN, n)
        inside.append(slice(start, stop))
        shift.append(start + (stop - start) // 2 - n // 2)
    return tuple(inside), np.array(shift)


def _ramp(lab: xr.Dataset, voxel: float) -> Array:
    """Mean phase gradient (x, y, z) [rad/nm] of the object inside its support."""
    inside = np.where(lab.support, lab.rho, 0)
    return strain.mean_gradient(inside)[::-1].astype(float) / voxel


def _without_ramp(lab: xr.Dataset, ramp: Array) -> xr.Dataset:
    """Take a phase ramp off the object and all its solutions; add amplitude and phase."""
    x, y, z = ramp
    flat = np.exp(-1j * (x * lab.x + y * lab.y + z * lab.z)).transpose(*LAB).astype(np.complex64)
    turned = {name: (lab[name] * flat).assign_attrs(units="1") for name in ("rho", "solutions") if name in lab}
    rho = turned["rho"].to_numpy()
    return lab.assign(turned).assign(
        amplitude=(LAB, np.where(lab.support, np.abs(rho), 0).astype(np.float32), {"units": "1"}),
        phase=(LAB, np.angle(rho).astype(np.float32), {"units": "rad"}),
    )


def _q_variables(basis: geometry.QBasis) -> dict[str, xr.DataArray]:
    units = {"units": "1/nm"}
    return {
        "q_basis": xr.DataArray(basis.steps, {"axis": AXES, "index": INDEX}, ("axis", "index"), attrs=units),
        "q_peak": xr.DataArray(basis.peak, {"axis": AXES}, ("axis",), attrs=units),
    }


def _at(frame: int, row: int, column: int) -> Brightest:
    return Brightest((int(frame), int(row), int(column)), (float(frame), float(row), float(column)))


def _bragg_angles(scan: xr.Dataset, found: Brightest) -> dict[str, Any]:
    """Scattering angle and spacing at the centre of mass, and on the axis of the arm if there is one."""
    wavelength, view = instrument.wavelength(scan, found.nearest[0]), instrument.camera(scan, found.nearest[0])
    places = {"": found.centre[1:]} | ({"arm_": view.centre_px} if view.circles else {})
    notes = {}
    for name, (row, column) in places.items():
        q = geometry.q_of_pixel(view, row, column, wavelength=wavelength)
        notes[f"{name}two_theta_deg"] = float(np.degrees(geometry.two_theta(q, wavelength=wavelength)))
        if np.any(q):
            notes[f"{name}d_spacing_nm"] = float(geometry.bragg_spacing(q))
    return notes


def _brightest(scan: xr.Dataset, workers: int) -> Brightest:
    """Peak of the smoothed sum and of the rocking curve around it, in one pass over the frames."""
    total, tiles = np.zeros((scan.sizes["y"], scan.sizes["x"])), []
    for counts in trusted(scan, workers=workers):
        total += counts.sum(axis=0)
        tiles.append(geometry.tile_sums(counts, TILE))
    if not total.any():
        raise XcdiError("no valid pixel of the scan has a count; there is no peak to find")
    row, column = geometry.find_peak(total, scan.valid.to_numpy())
    around = tuple(slice(max(i - WINDOW, 0), i + WINDOW + 1) for i in (row, column))
    y, x = np.add(geometry.centre_of_mass(total[around], scan.valid.to_numpy()[around]), [part.start for part in around])
    near = tuple(slice(max(i // TILE - 1, 0), i // TILE + 2) for i in (row, column))
    curve = np.concatenate(tiles)[(slice(None), *near)].sum(axis=(1, 2))
    frame = float(geometry.centre_of_mass(curve, np.ones(curve.shape, bool))[0])
    return Brightest((round(frame), round(y), round(x)), (frame, float(y), float(x)))


def trusted(scan: xr.Dataset, *, workers: int = 1) -> Iterator[Array]:
    """Counts of a scan, raw or corrected, block by block as floats, shape (frame, y, x): 0 where they cannot be trusted."""
    sentinel = scan.attrs.get("sentinel")
    for block in frame_blocks(scan[["counts", "valid", *(["frame_ok"] if "frame_ok" in scan else [])]], workers=workers):
        counts = block.counts.to_numpy()
        good = block.valid.to_numpy() & np.isfinite(counts)
        if sentinel is not None and np.issubdtype(counts.dtype, np.integer):
            good &= counts != sentinel
        if "frame_ok" in block:
            good &= block.frame_ok.to_numpy()[:, None, None]
        yield np.where(good, counts, 0).astype(np.float64)
