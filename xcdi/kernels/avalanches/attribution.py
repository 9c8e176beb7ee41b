"""Where an event happened: which part of which grain must slip to change the pattern as it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array
from xcdi.kernels.avalanches import patterns
from xcdi.kernels.avalanches.regions import Nest, Region, region_share

__all__ = ["Change", "Fit", "attribute", "change", "explained", "rigid", "search", "settle", "slip"]

PHASES = 36
SETTLED = 4  # nests of each boundary, side and shape whose regions are settled
NEAR = np.linspace(-0.9, 0.9, 7)  # rad about the first phase, when it is settled


class Change(NamedTuple):
    """A measured change of the mean pattern, one over its variance (0 where not valid), and the misfit that noise alone has."""

    counts: Array
    weight: Array
    noise: float


class Fit(NamedTuple):
    """How well each region explains a change: least misfit and its phase [rad], shape (region,); `unchanged` is the misfit of no event."""

    misfit: Array
    phase: Array
    unchanged: float


def change(before: Array, after: Array, valid: Array) -> Change:
    """Change between two groups of frames (time, row, column) and its photon noise, smoothed over the nearest pixels."""
    pre, post = before.mean(axis=0), after.mean(axis=0)
    floor = 0.02 * float(pre[valid].mean()) / len(before)
    smooth = patterns.smooth_valid(pre, valid, 1.0) / len(before) + patterns.smooth_valid(post, valid, 1.0) / len(after)
    weight = np.where(valid, 1 / (smooth + floor), 0.0)
    noise = float((weight * (pre / len(before) + post / len(after)))[valid].sum())
    return Change(np.where(valid, post - pre, 0.0), weight, noise)


def slip(rho: Array, label: Array, region: Region, basis: Array, phase: float, pairs: Sequence[tuple[int, int]]) -> Array:
    """Return the object after the region has slipped by `phase` [rad], which is -G.u."""
    return rho * np.exp(1j * phase * region_share(label, region, basis, pairs))


def explained(fit: Fit, seen: Change) -> float:
    """Part of the change above photon noise that the best region explains, 0 to 1; 0 where there is no such change."""
    total = fit.unchanged - seen.noise
    return float(np.clip((fit.unchanged - fit.misfit.min()) / total, 0.0, 1.0)) if total > 0 else 0.0


def rigid(seen: Change, before: Array, after: Array) -> Fit:
    """Return how well a motion of the whole explains a change, as one region; `before` and `after` are its counts (row, column)."""
    misfit = float((seen.weight * (seen.counts - (after - before)) ** 2).sum())
    return Fit(np.array([misfit]), np.zeros(1), float((seen.weight * seen.counts**2).sum()))


def search(seen: Change, whole: Array, found: Sequence[Nest], fields: Callable[[Sequence[Nest]], Iterable[Array]], scale: float) -> Fit:
    """Return how well each region explains a change: all by :func:`attribute`, the best of each kind by :func:`settle`.

    Parameters
    ----------
    seen, whole, found, scale
        As of :func:`attribute`.
    fields : function (nests)
        Gives the fields of their shells, as :func:`xcdi.kernels.avalanches.views.nest_waves` does; all at once would fill the memory.
    """
    fit = attribute(seen, whole, found, fields(found), scale)
    misfit, phase = fit.misfit.copy(), fit.phase.copy()
    ends = np.concatenate([[0], np.cumsum([len(nest.radii) for nest in found])])
    parts = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    best = _best(found, [float(misfit[part].min()) for part in parts])
    for k, wave in zip(best, fields([found[k] for k in best]), strict=True):
        misfit[parts[k]], phase[parts[k]] = settle(seen, whole, found[k], wave, scale, fit.phase[parts[k]])
    return Fit(misfit, phase, fit.unchanged)


def _best(found: Sequence[Nest], misfit: Sequence[float]) -> list[int]:
    """Numbers of the best few nests of every boundary, side and shape."""
    kinds: dict[tuple[int, int, str], list[int]] = {}
    for k in np.argsort(misfit, kind="stable"):
        kinds.setdefault((found[k].boundary, found[k].grain, found[k].shape), []).append(int(k))
    return [k for members in kinds.values() for k in members[:SETTLED]]


def attribute(seen: Change, whole: Array, found: Sequence[Nest], waves: Iterable[Array], scale: float) -> Fit:
    r"""Compare a measured change of the pattern with the slip of each region by each phase.

    .. math:: \Delta I = |E + (e^{i\varphi} - 1) E_\chi|^2 - |E|^2
                = 2 (\cos\varphi - 1) (\mathrm{Re}\, E^* E_\chi - |E_\chi|^2) - 2 \sin\varphi\, \mathrm{Im}\, E^* E_\chi

    so two products per region serve all phases. A ball whose slip fades takes part in :math:`E_\chi` as its share says,
    which is exact for small phases; :func:`settle` is exact for all.

    Parameters
    ----------
    seen : Change
        From :func:`change`.
    whole : complex array, shape (row, column)
        Field of the object.
    found : sequence of Nest
    waves : iterable of complex arrays, shape (shell, row, column)
        Fields of their shells, from :func:`xcdi.kernels.avalanches.views.nest_waves`.
    scale : float
        Counts per model intensity.

    Returns
    -------
    Fit
        Of all regions, nest by nest.
    """
    phi = -np.pi + 2 * np.pi * np.arange(1, PHASES + 1) / PHASES
    phi = phi[np.abs(phi) > 1e-9]
    root = np.sqrt(seen.weight)
    data, unchanged = _flat(root * seen.counts, np.float32), float((seen.weight * seen.counts**2).sum())
    turned, root = _flat(np.conj(whole * root), np.complex64), _flat(root, np.float32)
    each = [
        _least(nest.share.astype(np.float32) @ wave.reshape(len(wave), -1), turned, root, data, scale, phi)
        for nest, wave in zip(found, waves, strict=True)
    ]
    misfit, phase = (np.concatenate(columns) for columns in zip(*each, strict=True))
    return Fit(unchanged + misfit, phase, unchanged)


def _flat(values: Array, dtype: type) -> Array:
    return values.astype(dtype).ravel()


def _least(part: Array, turned: Array, root: Array, data: Array, scale: float, phi: Array) -> tuple[Array, Array]:
    """Least of the misfit less that of no event, and its phase, shape (region,) each."""
    cross = turned * part
    u, v = cross.real - root * (part.real**2 + part.imag**2), cross.imag
    c, s = 2 * scale * (np.cos(phi) - 1), -2 * scale * np.sin(phi)
    uu, uv, vv = (np.einsum("rp,rp->r", one, other).astype(float)[:, None] for one, other in ((u, u), (u, v), (v, v)))
    gain = 2 * (c * (u @ data)[:, None] + s * (v @ data)[:, None])
    cost = c**2 * uu + 2 * c * s * uv + s**2 * vv
    chosen = np.argmin(cost - gain, axis=1)
    every = np.arange(len(part))
    return (cost - gain)[every, chosen], phi[chosen]


def settle(seen: Change, whole: Array, nest: Nest, wave: Array, scale: float, phase: Array) -> tuple[Array, Array]:
    """Misfit and phase of the regions of one nest, exact for slips that fade; phases are sought near those of :func:`attribute`.

    Parameters
    ----------
    seen, whole, scale
        As of :func:`attribute`.
    nest : Nest
    wave : complex array, shape (shell, row, column)
        Fields of its shells.
    phase : array, shape (region,)
        Phases [rad] found first.

    Returns
    -------
    misfit, phase : arrays, shape (region,)
    """
    tried = phase[:, None] + NEAR * np.where(np.abs(phase) < 1.2, 0.7, 1.0)[:, None]
    turns = (np.exp(1j * tried[:, :, None] * nest.share[:, None, :]) - 1).reshape(-1, nest.share.shape[1])
    moved = turns.astype(np.complex64) @ wave.reshape(len(wave), -1)
    root = np.sqrt(seen.weight)
    doubled = _flat(2 * scale * root * np.conj(whole), np.complex64)
    root, data = _flat(root, np.float32), _flat(root * seen.counts, np.float32)
    model = moved.real * doubled.real - moved.imag * doubled.imag + np.float32(scale) * root * (moved.real**2 + moved.imag**2)
    model -= data
    misfit = np.einsum("rp,rp->r", model, model).astype(float).reshape(tried.shape)
    chosen = np.argmin(misfit, axis=1)
    every = np.arange(len(phase))
    best = np.angle(np.exp(1j * tried[every, chosen]))
    return misfit[every, chosen], best
