"""A phased object beside its data: its slices, the counts it predicts against those measured, and how sure it is."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xcdi.plot import phasing, reading, style
from xcdi.plot.particle import from_mean, grade_text, hatched
from xcdi.plot.style import LOOKS, Look

__all__ = ["errors", "intensity", "predicted", "slices"]

PLANES = (("y", "x", "z"), ("z", "x", "y"), ("z", "y", "x"))  # (up, right, across), indices of the data
NOTHING = "0.5"  # colour of what hides a pixel without a value
RIM = 3  # voxels shown around the support


@style.paper()
def slices(phased: xr.Dataset) -> Figure:
    """Three planes through the middle of the object, on the grid of the data: modulus above, phase below.

    Parameters
    ----------
    phased : Dataset
        OBJECT: `rho` (z, y, x) and `support`; `voxel_basis` for lengths. z, y, x are frame, row and column: no right angles.

    Returns
    -------
    Figure
        Each row has one scale; the phase, less its mean, runs over one turn and is grey outside the support. An unreliable
        object is hatched.

    Examples
    --------
    >>> rho = np.ones((4, 4, 4), complex)
    >>> made = slices(xr.Dataset({"rho": (("z", "y", "x"), rho), "support": (("z", "y", "x"), rho.real > 0)}))
    >>> len(made.axes)  # six planes and two colour bars
    8
    """
    rho = _placed(phased, reading.shown(phased, "rho"))
    inside = _placed(phased, phased["support"].astype(bool)) if "support" in phased else rho != 0
    around = _around(inside)
    modulus = rho.copy(data=np.abs(rho.values))
    phase = rho.copy(data=from_mean(np.angle(rho.values), (modulus * inside).values))
    modulus, phase = modulus.isel(around), phase.where(inside).isel(around)
    rows = [
        (modulus, LOOKS["amplitude"]._replace(label=r"$|\rho|$ (arb. units)"), style.limits(modulus.values, "positive")),
        (phase, LOOKS["phase"], style.limits(phase.values, "cyclic")),
    ]
    return _rows(phased, rows, title=_words(phased))


@style.paper()
def errors(phased: xr.Dataset) -> Figure:
    """Three planes of the standard error of the phase and, where known, of the modulus, inside the support.

    Parameters
    ----------
    phased : Dataset
        OBJECT with `phase_error` (z, y, x) [rad]; `amplitude_error` (z, y, x) and `q_peak` where known, which turns phase into
        displacement: the error in nm is that in rad over the length of `q_peak`.
    """
    inside = _placed(phased, phased["support"].astype(bool)) if "support" in phased else None
    rows = []
    for name, label in (("phase_error", "phase error (rad)"), ("amplitude_error", r"error of $|\rho|$")):
        if name in phased:
            volume = _placed(phased, phased[name])
            volume = volume if inside is None else volume.where(inside).isel(_around(inside))
            rows.append((volume, Look(label, "viridis"), style.limits(volume.values, "positive")))
    if "phase_error" not in phased:
        reading.shown(phased, "phase_error")
    return _rows(phased, rows, title="\n".join(filter(None, [grade_text(phased), _in_nm(phased)])))


@style.paper()
def intensity(phased: xr.Dataset, peak: xr.Dataset) -> Figure:
    """Measured counts above, those that the object predicts below, plane by plane on one logarithmic scale; hatched is not measured.

    Parameters
    ----------
    phased : Dataset
        OBJECT: `rho` (z, y, x), attribute ramp [1/nm], the mean phase gradient that was taken off.
    peak : Dataset
        PEAK of the same box.

    Returns
    -------
    Figure
        Under the hatching, the lower row shows what the object says is there.
    """
    measured = phasing.trusted(peak)
    counts = measured.copy(data=predicted(phased))
    top = max(2.0, float(np.nanmax(measured.values, initial=1.0)))
    made = style.figure(style.DOUBLE, 4.9)
    grid = made.subplots(2, 3)
    for row, volume in zip(grid, (measured, counts), strict=True):
        for ax, (up, right, across) in zip(row, phasing.CUTS, strict=True):
            middle = {across: volume.sizes[across] // 2}
            phasing.log_image(ax, volume.isel(middle).transpose(up, right), top)
            _hatch(ax, measured.isel(middle).transpose(up, right).isnull().values)
            phasing.name_axes(ax, peak, up, right)
            if volume is measured:
                ax.set(title="across detector" if across == "frame" else f"across ${across}$", xlabel="")
    for ax, word in zip(grid[:, 0], ("measured", "reconstructed"), strict=True):
        style.note(ax, word, where="upper left")
    made.colorbar(grid[0, 0].images[0], ax=grid, pad=0.015, aspect=30, label="counts")
    return made


def predicted(phased: xr.Dataset) -> np.ndarray:
    r"""Return the counts (frame, y, x) that the object predicts, the peak where the data have it: :math:`|F\rho|^2`.

    Notes
    -----
    The mean phase gradient (attribute ``ramp`` [1/nm], along the steps `q_basis`) is put back, or the peak would lie
    in the middle of the box. A twin scatters the same. Background and partial coherence are not in it.
    """
    rho = reading.shown(phased, "rho").values
    slope = np.zeros(3)
    if "q_basis" in phased and "ramp" in phased.attrs:
        slope = np.linalg.solve(phased["q_basis"].values, np.asarray(phased.attrs["ramp"], float)) / rho.shape
    for axis, n in enumerate(rho.shape):
        turn = np.exp(2j * np.pi * slope[axis] * (np.arange(n) - n // 2)).astype(rho.dtype)
        rho = rho * np.expand_dims(turn, tuple(other for other in range(3) if other != axis))
    wave = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))
    return np.abs(wave) ** 2


def _hatch(ax: Axes, missing: np.ndarray) -> None:
    """Hatch the pixels that were not measured."""
    if not missing.any():
        return
    left, right, bottom, top = ax.images[0].get_extent()
    rows, columns = missing.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = bottom + (np.arange(rows) + 0.5) * (top - bottom) / rows
    here = ax.axis()
    drawn = ax.contourf(x, y, missing.astype(float), levels=[0.5, 1.5], colors="none", hatches=["/////"])
    drawn.set_edgecolor(NOTHING)
    drawn.set_linewidth(0.0)
    ax.axis(here)


def _rows(phased: xr.Dataset, rows: list[tuple[xr.DataArray, Look, tuple[float, float]]], *, title: str) -> Figure:
    """Three planes of each volume, a volume to a row, with one colour bar for each."""
    first = rows[0][0]
    wide = [_length(first, right) for _, right, _ in PLANES]
    tall = max(_length(first, up) for up, _, _ in PLANES) * 4.9 / sum(wide)
    made = style.figure(style.DOUBLE, len(rows) * (tall + 0.1) + 0.75 + 0.2 * len(title.splitlines()))
    made.set_layout_engine("compressed", w_pad=0.05, h_pad=0.03, hspace=0.0, wspace=0.0)
    grid = made.subplots(len(rows), 3, squeeze=False, width_ratios=wide)
    unit = "nm" if "voxel_basis" in phased else "voxel"
    for row, (volume, look, between) in zip(grid, rows, strict=True):
        for ax, (up, right, across) in zip(row, PLANES, strict=True):
            plane = volume.isel({across: int(np.argmin(np.abs(volume[across].values)))}).transpose(up, right)
            style.image(ax, plane, look, between)
            hatched(ax, phased)
            ax.set_ylabel(f"${up}$ ({unit})")
            ax.locator_params(nbins=4)
        style.level(row)
        bar = made.colorbar(row[0].images[0], ax=list(row), label=look.label, pad=0.01, aspect=18)
        if look.kind == "cyclic":
            style.turn_ticks(bar)
    for above, below, (_, right, across) in zip(grid[0], grid[-1], PLANES, strict=True):
        above.set_title(f"across ${across}$")
        below.set_xlabel(f"${right}$ ({unit})")
    if title:
        made.suptitle(title, fontsize=10, color=style.EVENT if grade_text(phased) else "black")
    return made


def _length(volume: xr.DataArray, dim: str) -> float:
    left, right = style.edges(volume[dim].values)
    return right - left


def _placed(phased: xr.Dataset, volume: xr.DataArray) -> xr.DataArray:
    """The volume with the distance of each plane from the middle, in nm along that index, or in voxels."""
    steps = np.linalg.norm(phased["voxel_basis"].values, axis=0) if "voxel_basis" in phased else np.ones(3)
    bare = volume.drop_vars([name for name in volume.coords if name in volume.dims]).transpose("z", "y", "x")
    return bare.assign_coords({d: (np.arange(n) - n // 2) * step for d, n, step in zip("zyx", bare.shape, steps, strict=True)})


def _around(inside: xr.DataArray) -> dict[str, slice]:
    """Slices that hold the support and a rim."""
    cut = {}
    for dim in ("z", "y", "x"):
        seen = np.flatnonzero(inside.any([other for other in inside.dims if other != dim]).values)
        cut[dim] = slice(max(int(seen[0]) - RIM, 0), int(seen[-1]) + RIM + 1) if len(seen) else slice(None)
    return cut


def _words(phased: xr.Dataset) -> str:
    """Grade, and coherence where it is modelled."""
    known = [grade_text(phased) or f"grade: {phased.attrs['grade']}"] if "grade" in phased.attrs else []
    coherence = str(phased.attrs.get("coherence", "not modelled"))
    return "\n".join(known + ([] if coherence.startswith("not modelled") else [f"coherence: {coherence}"]))


def _in_nm(phased: xr.Dataset) -> str:
    """How much displacement a radian is, and the error in the middle of the distribution."""
    if "q_peak" not in phased:
        return ""
    length = 1 / float(np.linalg.norm(phased["q_peak"].values))
    inside = phased["phase_error"].where(phased["support"].astype(bool)) if "support" in phased else phased["phase_error"]
    middle = float(inside.median())
    return f"half of the voxels are known to {middle:.2g} rad, {middle * length:.2g} nm of displacement along G; 1 rad is {length:.3g} nm"
