"""Stages: a Bragg peak out of a rocking scan, and the object that made it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import fourier
from xcdi.kernels.phasing import background
from xcdi.kernels.phasing.box import friendly, reach
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.likelihood import held_out, without
from xcdi.schema import PEAK, require
from xcdi.stages import solutions
from xcdi.stages.geometry import peak_q
from xcdi.stages.recipe import Recipe
from xcdi.stages.searching import Machine, search

__all__ = ["Recipe", "crop_to_peak", "reconstruct"]

DIMS = ("frame", "y", "x")
LONGEST = 128  # edge of a box chosen automatically; a larger one has to be asked for
SIGNAL = 3.0  # counts per pixel, averaged over 3 x 3 x 3, where a box chosen automatically may end


def crop_to_peak(scan: xr.Dataset, box: Sequence[int] | None = None) -> xr.Dataset:
    """Cut a box around the Bragg peak out of a corrected rocking scan.

    Parameters
    ----------
    scan : SCAN
        After :func:`xcdi.stages.geometry.with_q`; counts float with NaN where missing.
    box : (frame, y, x), optional
        Voxels. By default as far as there is signal, at most 128, in lengths that transform fast.

    Returns
    -------
    PEAK
        In memory: `counts` (0 where missing), `valid` (frame, y, x), `q_basis` and `q_peak` at the
        middle voxel n // 2; attributes box, two_theta_deg and d_spacing_nm there.

    Raises
    ------
    XcdiError
        If the box leaves the data, or holds nothing that can be trusted.

    Notes
    -----
    A box that would leave the data is moved back into them, one that was asked for by an eighth of its
    length at most; the peak then lies off its middle, which only adds a phase ramp.
    """
    require(scan, "counts", "valid")
    if "q_basis" not in scan or "peak_index" not in scan.attrs:
        raise SchemaError("the scan has no 'q_basis' and 'peak_index'; run stages.geometry.with_q on it first")
    centre = tuple(int(i) for i in scan.attrs["peak_index"])
    cut = _cut(scan, centre, _box(scan, centre), most=1.0) if box is None else _cut(scan, centre, tuple(box), most=1 / 8)
    part = scan.isel(cut).drop_vars(["q_basis", "q_peak"]).drop_vars("stored", errors="ignore").load()
    valid = _trusted(part)
    if not (part.counts.to_numpy()[valid] > 0).any():
        raise XcdiError(f"no valid pixel in the box of {_shape(cut)} around the peak at {centre} has a count; check the mask")
    q = peak_q(scan, cut)
    counts = np.where(valid, part.counts.to_numpy(), 0).astype(np.float32)
    return part.assign(
        counts=(DIMS, counts, {"units": "1"}), valid=(DIMS, valid, {"units": ""}), q_basis=q.q_basis, q_peak=q.q_peak
    ).assign_attrs(q.attrs, box=json.dumps({dim: [edge.start, edge.stop] for dim, edge in cut.items()}))


def reconstruct(
    peak: xr.Dataset,
    recipe: Recipe = Recipe(),
    *,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Phase one Bragg peak from several random starts, and average those that fit and agree.

    Parameters
    ----------
    peak : PEAK
    recipe : Recipe
        What it leaves open is chosen from the data.
    seed : int
        Of the random starts and the pixels held out; the same seed gives the same bits for any number of workers.
    device : str
        ``"cpu"`` or ``"gpu"``.
    workers : int
        Threads; on the CPU only.
    progress : function (starts done, starts), optional
        Called after each start of a search, and after each that is carried on.

    Returns
    -------
    OBJECT
        `rho` (z, y, x) with its centre of mass at n // 2 and no mean phase gradient, `support`,
        `rho_error` (standard deviation over the solutions), `phase_error` [rad] and `amplitude_error` (standard errors of the
        mean, from the scatter of the solutions and from halves of the photons), `solutions` (solution, z, y, x),
        `residual`, `kept`, `cluster` (start), `overlap` (start, start2), `prtf` (q), `prtf_axis` (direction, q),
        `resolution_nm` (direction), `voxel_basis`, `q_basis`, `q_peak`. Attributes: grade and why, agreement, n_good,
        residual, residual_noise, free_deviance, overfit, coherence, background, memory, seed, twin, ramp (x, y, z) [1/nm].

    Raises
    ------
    XcdiError
        If no pixel can be trusted, or one start does not fit into memory.

    Notes
    -----
    Locally the wave vector is ``q_peak + ramp + gradient of the phase``. One reflection
    cannot tell the object from its inverted conjugate: the choice is a rule, and is in ``twin``.
    """
    require(peak, "counts", "valid", "q_basis", "q_peak", schema=PEAK)
    measured = _measured(peak)
    if not measured.amplitude.any():
        raise XcdiError("the peak has no valid pixel with a count; check the mask and the box")
    held = _unseen(measured, recipe.held_out, seed)
    level = background.constant(without(measured, held)) if recipe.background is None else recipe.background
    measured = replace(measured, background=level)
    machine = Machine(device, workers, progress)
    found = search(measured, held, recipe, seed=seed, machine=machine)
    choice = solutions.choose(found)
    return solutions.labelled(peak, measured, held, found, choice, seed=seed, machine=machine).assign_attrs(
        seed=seed, device=device, recipe=found.recipe.model_dump_json(), background=float(measured.background)
    )


def _box(scan: xr.Dataset, centre: Sequence[int]) -> tuple[int, ...]:
    """Box that holds the signal, no longer than LONGEST or the data."""
    window = {dim: slice(max(c - LONGEST // 2, 0), c + LONGEST // 2) for dim, c in zip(DIMS, centre, strict=True)}
    near = scan[["counts", "valid"]].isel(window).load()
    counts = near.counts.where(near.valid).to_numpy()
    far = reach(counts, [c - part.start for c, part in zip(centre, window.values(), strict=True)], floor=SIGNAL)
    return tuple(friendly(min(2 * (f + 1), LONGEST, scan.sizes[dim])) for f, dim in zip(far, DIMS, strict=True))


def _cut(scan: xr.Dataset, centre: Sequence[int], box: tuple[int, ...], *, most: float) -> dict[str, slice]:
    """Slices of a box around `centre`, moved into the data by no more than the part `most` of its length."""
    if len(box) != 3 or min(box) < 2:
        raise XcdiError(f"box is {box}, expected three lengths along frame, y, x of at least 2")
    cut = {}
    for dim, middle, n in zip(DIMS, centre, box, strict=True):
        start, size = middle - n // 2, scan.sizes[dim]
        inside = min(max(start, 0), size - n)
        if n > size or abs(inside - start) > most * n:
            raise XcdiError(
                f"a box of {box} around the peak at {tuple(centre)} leaves the data along {dim!r} "
                f"({start}:{start + n} of {size}); choose a smaller box"
            )
        cut[dim] = slice(inside, inside + n)
    return cut


def _shape(cut: dict[str, slice]) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in cut.values())


def _trusted(part: xr.Dataset) -> Array:
    """Where a pixel of a frame can be trusted, (frame, y, x)."""
    valid = np.isfinite(part.counts.to_numpy()) & part.valid.to_numpy()
    return valid & part.frame_ok.to_numpy()[:, None, None] if "frame_ok" in part else valid


def _measured(peak: xr.Dataset) -> Measured:
    """Amplitude and validity with the origin at index 0."""
    valid = peak.valid.to_numpy()
    counts = np.where(valid, np.maximum(peak.counts.to_numpy(), 0), 0)
    return Measured(fourier.uncentre(np.sqrt(counts, dtype=np.float32)), fourier.uncentre(valid))


def _unseen(measured: Measured, share: float, seed: int) -> Array:
    """Pixels that nothing is fitted to."""
    if share == 0:
        return np.zeros(measured.valid.shape, bool)
    return held_out(measured, np.random.default_rng([seed, 1]), share=share)
