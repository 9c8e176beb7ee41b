"""Stages: what to know of a peak before it is phased, in plain words, each with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from xcdi.backend import Array
from xcdi.kernels.phasing import preflight as kernel
from xcdi.schema import PEAK, require
from xcdi.stages import arc

__all__ = ["VERDICTS", "Finding", "diagnose", "noted", "recalled", "told"]

DIMS = ("frame", "y", "x")
VERDICTS = ("ok", "notice", "warning", "stop")
NAN = float("nan")
REMEDY = {"frame": "finer rocking steps"} | dict.fromkeys(("y", "x"), "a longer distance, or no binning")
FLAT = 0.7  # of the largest count: where the background is that high, there is no peak, only the unevenness of the flat field
USUAL = 2.5  # pixels per fringe, assumed where gaps hide how many there are


class Finding(NamedTuple):
    """One thing found out about a peak.

    Attributes
    ----------
    name : str
    figure : tuple of float
        One number, one per end of the rocking curve, or one per axis (frame, y, x); NaN where it cannot be told.
    unit : str
    verdict : str
        ``"ok"``; ``"notice"``, worth knowing; ``"warning"``, expect a worse result; ``"stop"``, cannot be phased.
    sentence : str
        What it means and what to do.
    """

    name: str
    figure: tuple[float, ...]
    unit: str
    verdict: str
    sentence: str


class Look(NamedTuple):
    """A peak as its findings need it: arrays (frame, y, x) but for three pixels per fringe and the numbers of dark frames."""

    peak: xr.Dataset
    counts: Array  # 0 where missing
    valid: Array
    filled: Array  # estimated where missing
    ratio: Array  # pixels per fringe; NaN where gaps hide it
    speckle: Array  # the same with 2.5 there
    background: float  # counts per voxel
    lost: float  # percent of the light that is not measured
    dark: Array
    alone: Array


def diagnose(scan: xr.Dataset | None, peak: xr.Dataset) -> list[Finding]:
    """Find out what stands in the way of phasing a peak.

    Parameters
    ----------
    scan : SCAN or None
        The rocking scan the peak was cut from, as opened: its raw counts in the box are read, for saturation.
    peak : PEAK
        From :func:`xcdi.stages.phasing.crop_to_peak`.

    Returns
    -------
    list of Finding
        In the order one would ask: light, place, sampling, rocking curve, saturation, gaps, background, coherence, distortion.

    Notes
    -----
    The limits come from simulated crystals of known shape, strain, blur and counts, and one measured crystal.
    """
    require(peak, "counts", "valid", schema=PEAK)
    look = _look(peak)
    if look is None:
        return [Finding("counts", (0.0,), "counts", "stop", "no trusted pixel of the box has a count; check the mask and the box")]
    if look.background >= FLAT * float(look.filled.max()):
        said = f"about {look.background:.3g} counts in every voxel and no peak; check the shutter and the scan's name"
        return [Finding("counts", (float(look.counts.max()),), "counts at most", "stop", said)]
    asked: Sequence[Callable[[Look], Finding]] = (
        *(_counts, _resolution, _centring, _oversampling, _steps),
        lambda look: Finding("rocking arc", *arc.judge(look.peak, look.speckle)),
        lambda look: _ends(look, scan),
        _dark_frames,
        lambda look: _saturation(look, scan),
        *(_gaps, _widest_gap, _isolated, _background, _coherence, _spread, _symmetry),
    )
    return [ask(look) for ask in asked]


def told(findings: Iterable[Finding], *, least: str = "ok") -> list[str]:
    """Return a line for every finding of verdict `least` or worse, in columns.

    Examples
    --------
    >>> told([Finding("gaps", (3.5,), "%", "notice", "little is lost; go on")])
    ['notice   gaps  3.5 %  little is lost; go on']
    """
    shown = [f for f in findings if VERDICTS.index(f.verdict) >= VERDICTS.index(least)]
    name = max((len(f.name) for f in shown), default=0)
    figures = [f"{' '.join(map(_number, f.figure))} {f.unit}".strip() for f in shown]
    width = max(map(len, figures), default=0)
    return [f"{f.verdict:<7}  {f.name:<{name}}  {text:<{width}}  {f.sentence}" for f, text in zip(shown, figures, strict=True)]


def noted(peak: xr.Dataset, findings: Iterable[Finding]) -> xr.Dataset:
    """Return the peak with its findings in the attribute ``preflight``, as JSON, so that they are saved with the result."""
    rows = [f._asdict() | {"figure": [value if np.isfinite(value) else None for value in f.figure]} for f in findings]
    return peak.assign_attrs(preflight=json.dumps(rows, ensure_ascii=False))


def recalled(peak: xr.Dataset) -> list[Finding]:
    """Return the findings that :func:`noted` wrote; none for an older result.

    Examples
    --------
    >>> one = Finding("gaps", (3.5, float("nan")), "%", "notice", "little is lost; go on")
    >>> recalled(noted(xr.Dataset(), [one]))[0].sentence
    'little is lost; go on'
    """
    rows = json.loads(peak.attrs.get("preflight", "[]"))
    return [Finding(**row | {"figure": tuple(float("nan") if v is None else float(v) for v in row["figure"])}) for row in rows]


def _look(peak: xr.Dataset) -> Look | None:
    valid = peak.valid.to_numpy() & np.isfinite(peak.counts.to_numpy())
    counts = np.where(valid, np.maximum(peak.counts.to_numpy(), 0), 0).astype(np.float32)
    if not counts.any():
        return None
    dark = kernel.dark_frames(counts.sum(axis=(1, 2)))
    dark = dark[valid[dark].any(axis=(1, 2))]  # one that is masked already is a gap
    alone = kernel.isolated(counts)
    valid[dark] = False
    valid &= ~alone
    ratio = kernel.oversampling(counts, valid)
    filled = kernel.completed(counts, valid)
    lost = 100 * float(filled[~valid].sum()) / float(filled.sum())
    return Look(
        peak, counts, valid, filled, ratio, np.where(np.isfinite(ratio), ratio, USUAL), kernel.background(counts, valid), lost, dark, alone
    )


def _counts(look: Look) -> Finding:
    """Photons for every voxel that the crystal fills: as many speckles as that, whatever the box."""
    total = float(look.counts.sum())
    crystal = float(np.prod(np.shape(look.counts) / look.speckle))
    each = total / crystal
    said = f"{total:.3g} counts, at most {float(look.counts.max()):.3g} in a pixel, for a crystal in {crystal:.0f} voxels"
    say = partial(Finding, "counts per speckle", (each,), "photons")
    if each < 50:
        return say("warning", f"{said}: too few for a reliable phase; count longer")
    if each < 400:
        return say("notice", f"{said}: expect a limited grade; count longer if you can")
    return say("ok", f"{said}: enough")


def _resolution(look: Look) -> Finding:
    """Full period to which there is light, along each axis of the data."""
    if "q_basis" not in look.peak:
        return Finding("expected resolution", (NAN,), "nm", "notice", "no q is known of these data; nothing can be said in nm")
    basis = look.peak.q_basis.to_numpy()
    index = np.stack(np.meshgrid(*(np.arange(n) - c for n, c in zip(look.counts.shape, _middle(look), strict=True)), indexing="ij"))
    q = np.tensordot(basis, index, axes=1)
    length, speckle = np.linalg.norm(q, axis=0), float(np.prod(look.speckle))
    found, full = [], []
    for step, n in zip(basis.T, look.counts.shape, strict=True):
        size = float(np.linalg.norm(step))
        inside = look.valid & (np.abs(np.tensordot(step / size, q, axes=1)) >= 0.8 * length) & (length <= size * n / 2)
        reach = kernel.photon_reach(look.counts, np.where(inside, length, -1.0), speckle=speckle, background=look.background)
        found.append(float(2 * np.pi / np.maximum(reach, size)))  # NaN stays
        full.append(not reach < 0.95 * size * n / 2)
    hides = not np.isfinite(found).all()
    say = partial(Finding, "expected resolution", tuple(found), "nm", "notice" if hides else "ok")
    if hides:
        hidden = " and ".join(dim for dim, period in zip(DIMS, found, strict=True) if not np.isfinite(period))
        return say(f"full periods; gaps leave no trusted pixel along {hidden}, where nothing can be said")
    if all(full):
        return say("full periods; the box ends before the light does: a larger one may resolve more")
    short = ", ".join(dim for dim, enough in zip(DIMS, full, strict=True) if not enough)
    return say(f"full periods; along {short} the light ends within the box: only more counts help")


def _middle(look: Look) -> Array:
    """Where the peak is, in pixels."""
    return kernel.centre_of_mass(look.filled, floor=look.background + 0.01 * float(look.filled.max()))


def _centring(look: Look) -> Finding:
    """Distance of the centre of mass from the middle of the box; a peak on its face is cut through."""
    size = np.array(look.counts.shape)
    offset = _middle(look) - size // 2
    bright = np.array(kernel.brightest(look.filled))
    cut = (bright == 0) | (bright == size - 1)
    say = partial(Finding, "centring", tuple(offset.round(2).tolist()), "px")
    if cut.any():
        where = " and ".join(dim for dim, at in zip(DIMS, cut, strict=True) if at)
        todo = "scan past the peak" if cut[0] else "move the detector or the box"
        return say("stop", f"brightest on the face of the box along {where}: half of the peak is missing; {todo}")
    if (np.abs(offset) > size / 4).any():
        return say("warning", "the peak lies near a face of the box, and fringes there are lost; centre it")
    if (np.abs(offset) > size / 8).any():
        return say("notice", "off the middle, which only adds a phase ramp; the fringes end sooner on one side")
    return say("ok", "the peak is in the middle of the box")


def _oversampling(look: Look) -> Finding:
    """Pixels per fringe; two are needed."""
    say = partial(Finding, "oversampling", tuple(look.ratio.tolist()), "px/fringe")
    known = np.isfinite(look.ratio)
    lowest = float(np.min(look.ratio, initial=np.inf, where=known))
    for limit, verdict, sentence in (
        (1.5, "stop", "at most 1.5 pixels per fringe along {}, where 2 are needed; take {}"),
        (2.0, "warning", "the fringes along {} are finer than 2 pixels; take {}"),
        (2.5, "notice", "little more than the 2 pixels per fringe that are needed along {}; take {}"),
    ):
        if lowest < limit:
            low = [dim for dim, ratio in zip(DIMS, look.ratio, strict=True) if ratio < limit]
            return say(verdict, sentence.format(" and ".join(low), " and ".join(dict.fromkeys(REMEDY[dim] for dim in low))))
    if not known.all():
        hidden = " and ".join(dim for dim, seen in zip(DIMS, known, strict=True) if not seen)
        return say("notice", f"gaps leave no line along {hidden} that is long enough to tell")
    return say("ok", "every fringe is sampled by more than the two pixels that are needed")


def _steps(look: Look) -> Finding:
    """How even the rocking steps are: the transform takes them as equal."""
    if "rocking" not in look.peak.variables or look.peak.sizes["frame"] < 3:
        return Finding("rocking steps", (NAN,), "%", "notice", "no angles are known; the steps are taken as equal")
    step = np.diff(look.peak.rocking.to_numpy())
    usual = abs(float(np.median(step)))
    uneven = round(100 * float(np.abs(step - np.median(step)).max()) / max(usual, 1e-12), 2)
    verdict = "warning" if uneven > 30 else "notice" if uneven > 10 else "ok"
    smeared = "" if verdict == "ok" else "; they are taken as equal, which smears the object along frame"
    return Finding("rocking steps", (uneven,), "%", verdict, f"largest deviation of a step from {usual:.4g} deg{smeared}")


def _ends(look: Look, scan: xr.Dataset | None) -> Finding:
    """Level of the rocking curve where it begins and ends, in the box."""
    levels = kernel.ends(look.filled.sum(axis=(1, 2)), look.background * look.counts[0].size)
    say = partial(Finding, "rocking ends", tuple(round(100 * level, 3) for level in levels), "% of top")
    first = levels[0] >= levels[1]
    start = _begin(look.peak)[0]
    left = 0 if scan is None else start if first else scan.sizes["frame"] - start - len(look.counts)
    where = f"its {'beginning' if first else 'end'}; {'take a longer box' if left > 0 else 'scan further there'}"
    if max(levels) > 0.1:
        return say("warning", f"the rocking curve is cut off at {where}")
    if max(levels) > 0.02:
        return say("notice", f"the rocking curve has not come down to the background at {where}")
    return say("ok", "the rocking curve falls to the background on both sides")


def _dark_frames(look: Look) -> Finding:
    say = partial(Finding, "dark frames", (float(len(look.dark)),), "frames")
    if len(look.dark):
        which = ", ".join(str(int(frame) + _begin(look.peak)[0]) for frame in look.dark[:5])
        return say("warning", f"frame {which} is dark between bright ones, and taken as true; mark it as bad")
    return say("ok", "no frame is dark between bright ones")


def _saturation(look: Look, scan: xr.Dataset | None) -> Finding:
    """Counts beyond what the detector can count, a plateau at the largest count, losses by dead time."""
    raw, over = _over(look.peak, scan)
    attrs = {} if scan is None else scan.attrs
    say = partial(Finding, "saturation", (float(over.sum() or kernel.plateau(raw)),), "voxels")
    if over.any():
        free = not look.valid[over].any()
        said = f"saturated, the first at {_place(look.peak, over)}, {'left free' if free else 'and taken as true counts'}"
        return say("notice" if free and over.sum() <= 10 else "warning", f"{said}; attenuate the beam or count shorter")
    if kernel.plateau(raw):
        return say("warning", f"all hold the largest count, {raw.max():g}: the counter has stopped there; attenuate the beam")
    if "dead_time_s" in attrs and "count_time_s" in attrs:
        loss = 100 * float(raw.max()) * attrs["dead_time_s"] / attrs["count_time_s"]
        if loss > 10:
            return say("warning", f"none, but the brightest pixel loses {loss:.0f} % to dead time; attenuate the beam")
    return say("ok", "none above the detector's limit" if "saturation" in attrs else "no plateau at the largest count; no limit is known")


def _over(peak: xr.Dataset, scan: xr.Dataset | None) -> tuple[Array, Array]:
    """Counts of the box as stored, 0 where unknown, and where they are more than the detector can count."""
    if scan is None or "box" not in peak.attrs:
        return np.where(peak.valid.to_numpy(), peak.counts.to_numpy(), 0), np.zeros(peak.counts.shape, bool)
    part = scan[["counts", "valid"]].isel({dim: slice(*edges) for dim, edges in json.loads(peak.attrs["box"]).items()}).load()
    raw = part.counts.to_numpy()
    known = np.broadcast_to(part.valid.to_numpy(), raw.shape) & (raw != scan.attrs.get("sentinel", -1)) & np.isfinite(raw)
    return np.where(known, raw, 0), known & (raw > scan.attrs.get("saturation", np.inf))


def _begin(peak: xr.Dataset) -> tuple[int, ...]:
    """First frame, row and column of the box in the scan."""
    box = json.loads(peak.attrs.get("box", "{}"))
    return tuple(int(box[dim][0]) if dim in box else 0 for dim in DIMS)


def _place(peak: xr.Dataset, marked: Array) -> str:
    """Where in the scan the first marked voxel is."""
    first = np.argwhere(marked)[0]
    return ", ".join(f"{dim} {int(i) + begin}" for dim, i, begin in zip(DIMS, first, _begin(peak), strict=True))


def _gaps(look: Look) -> Finding:
    """Share of the light that falls where nothing is measured, judged by its surroundings: a hidden core is brighter still."""
    say = partial(Finding, "gaps", (round(look.lost, 3),), "% of light")
    if look.lost > 95:
        return say("stop", "hardly any light falls on trusted pixels; move the peak off the gap")
    if look.lost > 10:
        return say("warning", "much of the light is not measured and left free; move the peak off the gap, attenuate what saturates")
    if look.lost > 0.5:
        return say("notice", "some light is not measured; it is left free, not set to zero")
    return say("ok", "hardly any light falls where nothing is measured")


def _widest_gap(look: Look) -> Finding:
    """Of the gaps that light falls on, the widest."""
    lit = (look.filled > max(1.0, 10 * look.background)) & ~look.valid
    widest = float(kernel.gap_width(~look.valid, look.speckle)[lit].max()) if lit.any() else 0.0
    say = partial(Finding, "widest gap", (round(widest, 3),), "speckles")
    if look.lost <= 0.5:
        return say("ok", "it hides next to no light" if widest else "no gap in the lit part")
    if widest > 2:
        return say("warning", "the fringes within it are lost, and phasing has to invent them; move the peak off it")
    if widest > 1:
        return say("notice", "wider than a fringe; more starts help to bridge it")
    return say("ok", "phasing bridges gaps narrower than a fringe")


def _isolated(look: Look) -> Finding:
    say = partial(Finding, "lone bright voxels", (float(look.alone.sum()),), "voxels")
    if look.alone.any():
        return say("notice", f"hot pixels or cosmic rays, no fringes, the first at {_place(look.peak, look.alone)}; mask them")
    return say("ok", "none is brighter than its surroundings allow")


def _background(look: Look) -> Finding:
    share = 100 * look.background * float(look.valid.sum()) / float(look.counts.sum())
    verdict = "warning" if share > 20 else "notice" if share > 5 else "ok"
    todo = "" if verdict == "ok" else "; measure a dark or empty scan, or fit the background"
    said = f"counts per voxel that are not of the crystal, {share:.2g} % of all{todo}"
    return Finding("background", (look.background,), "counts", verdict, said)


def _coherence(look: Look) -> Finding:
    seen = kernel.visibility(look.filled, look.valid, look.speckle, look.background)
    say = partial(Finding, "fringe visibility", (seen,), "")
    if not np.isfinite(seen):
        return say("notice", "too few bright fringes to tell how coherent the light was")
    if seen < 0.8:
        return say("warning", "the dips between the fringes are filled: phase with a coherence model, close the slits")
    if seen < 0.9:
        return say("notice", "the dips between the fringes are partly filled; a coherence model may help")
    return say("ok", "the dips between the fringes are dark: the light was coherent across the crystal")


def _spread(look: Look) -> Finding:
    wide = kernel.spread(look.filled, look.speckle) if look.lost <= 10 else NAN
    say = partial(Finding, "peak width", (wide,), "speckles")
    if not np.isfinite(wide):
        return say("notice", "too much of the light is missing to tell whether the crystal is strained")
    if wide > 30:
        return say("warning", "strongly strained, or several grains: take more starts, believe only what they agree on")
    if wide > 4:
        return say("notice", "wider than a shape explains: strained, of several grains, or blurred; more starts are safer")
    return say("ok", "as narrow as the shape of the crystal allows: hardly strained")


def _symmetry(look: Look) -> Finding:
    like = kernel.symmetry(look.filled)
    say = partial(Finding, "peak symmetry", (like,), "")
    if like < 0.5:
        return say("warning", "very lopsided, which strain does: several radians across the crystal; take more starts")
    if like < 0.9:
        return say("notice", "lopsided, which strain does; expect phases of a radian and more")
    return say("ok", "nearly its own inversion, as of a crystal with little strain, or an even one")


def _number(value: float) -> str:
    """A figure in few digits.

    Examples
    --------
    >>> _number(1234567.0), _number(2.4837), _number(float("nan")), _number(0.0)
    ('1.23e+06', '2.48', '–', '0')
    """
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e5 else f"{value:.3g}"
