"""The counts that coherent light would have given: a blurred far field sharpened before it is phased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES
from xcdi.kernels.phasing.coherence import Model, degree
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.likelihood import misfit, without
from xcdi.kernels.phasing.starts import autocorrelation_box

__all__ = ["Sharpened", "lags_of", "narrowest", "sharpen"]

LEAST = 0.02  # counts per pixel below which an intensity cannot be told from darkness
MOST = 4.0  # factor that one step may change a pixel by, up or down
SEEN = 0.1  # share of a pixel's blurred light that must fall on valid pixels for it to be changed
WIDER = 1.3  # than the box of the autocorrelation, when data are sharpened to be phased
WIDTHS = (0.2, 0.5, 0.8, 1.1)  # tried first [pixel]
HALVINGS = 2  # then between the best and its neighbours, so often


class Sharpened(NamedTuple):
    """Sharpened data and how well they explain the pixels that were not used.

    Attributes
    ----------
    measured : Measured
        To phase as coherent: amplitude of the sharp intensity, no background; valid where the data were used.
    width : float
        Width of the blur that was taken off [pixel].
    deviance : float
        Of the held-out counts from the sharp intensity blurred again, per pixel.
    steps : int
        Steps taken.
    """

    measured: Measured
    width: float
    deviance: float
    steps: int


def lags_of(box: Array, *, wider: float = WIDER) -> Array:
    """Return 1 at the lags within an object that fits in the same box, 0 at the others: (z, y, x // 2 + 1).

    Parameters
    ----------
    box : bool array, shape (z, y, x)
        As of :func:`xcdi.kernels.phasing.starts.autocorrelation_box`.
    wider : float
        Factor on the lengths of the box, to which one voxel is added: blur makes the box too small, and what is cut off
        here is lost to every start (0.8 pixel: 4 of 6 starts succeed in place of 2).
    """
    xp = namespace(box)
    shape = box.shape
    inside = np.ones((*shape[:2], shape[2] // 2 + 1), np.float32)
    for axis, n in enumerate(shape):
        long = int(xp.sum(xp.astype(xp.any(box, axis=tuple(other for other in range(3) if other != axis)), xp.int64)))
        near = np.abs(np.fft.fftfreq(n) * n)[: inside.shape[axis]] <= wider * long + 1
        inside *= np.expand_dims(near, tuple(other for other in range(3) if other != axis))
    return xp.asarray(inside)


def sharpen(measured: Measured, gamma: Array, lags: Array, held: Array, *, steps: int = 60, every: int = 5) -> Sharpened:
    r"""Take the blur off the counts, before anything is known of the object but the box that it fits in.

    .. math:: I \leftarrow P\left[I \cdot \frac{k \star (v\,n / m)}{k \star v}\right], \qquad m = k * I + b

    with v the pixels that are used and P the removal of all lags that an object in its box does not have.

    Parameters
    ----------
    measured : Measured
        Background and validity are used, its coherence is not.
    gamma : array, shape (z, y, x // 2 + 1)
        Degree of coherence, the transform of k.
    lags : array, shape (z, y, x // 2 + 1)
        From :func:`lags_of`. Without this bound the noise is sharpened too: 0.13 in place of 0.07 of residual.
    held : bool array, shape (z, y, x)
        Pixels not used. Of every `every` steps, the intensity that explains them best is kept.

    Returns
    -------
    Sharpened
        Its width is NaN: only the caller knows it.

    Notes
    -----
    The steps are those of Richardson, J. Opt. Soc. Am. 62, 55 (1972), doi 10.1364/JOSA.62.000055, and Lucy,
    Astron. J. 79, 745 (1974), doi 10.1086/111605. The problem has no phases and no local minima to be caught in, unlike
    phasing with a blur from the start, which hio leaves at once where the blurred intensity is dark.
    """
    xp = namespace(measured.amplitude)
    fitted = without(measured, held)
    dtype = measured.amplitude.dtype
    used = xp.astype(fitted.valid, dtype)
    counts = xp.where(fitted.valid, measured.amplitude, 0.0) ** 2
    norm = xp.clip(_filtered(used, gamma), min=SEEN / 2)
    sharp = xp.clip(_filtered(_filtered(counts, gamma) / norm, lags), min=LEAST)
    best = (float("inf"), 0, sharp)
    for step in range(1, steps + 1):
        mean = xp.clip(_filtered(sharp, gamma), min=LEAST) + measured.background
        ratio = xp.clip(_filtered(used * counts / mean, gamma) / norm, min=1 / MOST, max=MOST)
        if step % every == 0:
            best = min(best, (float(misfit(mean, measured, held)), step - 1, sharp), key=lambda one: one[0])
        sharp = xp.clip(_filtered(sharp * xp.where(norm > SEEN, ratio, 1.0), lags), min=LEAST)
    cost, taken, sharp = best
    made = replace(fitted, amplitude=xp.astype(xp.sqrt(sharp), dtype), background=0.0, coherence=None)
    return Sharpened(made, float("nan"), cost, taken)


def narrowest(
    measured: Measured,
    held: Array,
    *,
    model: Model = "gaussian",
    widths: Sequence[float] = WIDTHS,
    box: Array | None = None,
    steps: int = 60,
) -> Sharpened:
    """Return the data sharpened by the width that explains the held-out pixels best.

    Parameters
    ----------
    measured : Measured
        With `held` still valid.
    held : bool array, shape (z, y, x)
    widths : sequence of float
        Tried [pixel]; then halfway between the best and its neighbours, twice.
    box : bool array, shape (z, y, x), optional
        The box that the object fits in; by default that of the autocorrelation.

    Notes
    -----
    Widths are compared within the box itself, which tells them apart best; the winner is then taken off within
    a wider one. It is a first guess, good to 0.1 or 0.15 pixel, and too large for light that is nearly coherent
    (0.35 for none at all), where neighbours explain held-out pixels only if something is blurred. Sharpened by so
    little an object is phased as well as before; :func:`xcdi.kernels.phasing.coherence.refine` then finds its width.
    """
    xp = namespace(measured.amplitude)
    box = autocorrelation_box(measured) if box is None else box

    def one(width: float, wider: float = 1.0) -> Sharpened:
        gamma = degree(measured.amplitude.shape, model, width, library=xp)
        return sharpen(measured, gamma, lags_of(box, wider=wider), held, steps=steps)._replace(width=width)

    tried = {width: one(width) for width in sorted(widths)}
    for _ in range(HALVINGS):
        order = sorted(tried)
        at = order.index(min(tried, key=lambda width: tried[width].deviance))
        for other in order[max(at - 1, 0) : at] + order[at + 1 : at + 2]:
            middle = (order[at] + other) / 2
            tried[middle] = one(middle)
    return one(min(tried.values(), key=lambda made: made.deviance).width, WIDER)


def _filtered(a: Array, factor: Array) -> Array:
    """Multiply the transform of a real array by a real factor."""
    xp: ModuleType | Any = namespace(a)
    return xp.fft.irfftn(xp.fft.rfftn(a, axes=AXES) * factor, s=a.shape, axes=AXES)
