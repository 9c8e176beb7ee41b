"""Partial coherence: the blur it makes of a far field, how wide it is, and whether the data ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES, forward
from xcdi.kernels.phasing.engine import Runner
from xcdi.kernels.phasing.estimate import Measured, expected
from xcdi.kernels.phasing.likelihood import misfit, without

__all__ = ["Decision", "Model", "decide", "degree", "fit", "refine", "richardson_lucy"]

Model = Literal["gaussian", "lorentzian", "pseudo_voigt"]
NARROW, WIDE = 0.05, 3.0  # bounds of a width [pixel]: below, nothing is blurred; above, nothing is left to phase
STEP = 0.02  # relative change of a width that its derivative is taken with
SURE = 3.0  # standard errors by which the held-out deviance must fall
HALVED = 0.5
GAIN = 0.05  # part by which it must fall: what is wrong with an object of coherent light looks like 0.1 pixel of blur, and gains less


class Decision(NamedTuple):
    """Whether partial coherence explains pixels that were not fitted.

    Attributes
    ----------
    on : bool
        It lowers their deviance by more than 3 standard errors or to less than half, and by more than 5 %.
    width : tuple of 3 float
        Fitted widths along z, y, x [pixel].
    deviance, coherent, error : float
        Per held-out pixel: with the model, without, and the standard error of the difference.
    """

    on: bool
    width: tuple[float, float, float]
    deviance: float
    coherent: float
    error: float


def degree(
    shape: Sequence[int], model: Model, width: float | Sequence[float], *, share: float = 0.5, library: ModuleType | Any = np
) -> Array:
    r"""Return the degree of mutual coherence at every lag, for a far field blurred by `model`.

    .. math:: \gamma = \prod_a e^{-2 \pi^2 w_a^2 f_a^2} \quad\text{or}\quad \prod_a e^{-2 \pi w_a |f_a|},
              \qquad f_a = \text{lag}_a / n_a

    Parameters
    ----------
    shape : (z, y, x)
    model : str
        ``"gaussian"``, ``"lorentzian"``, or ``"pseudo_voigt"``: `share` of the second and the rest of the first.
    width : float, or one per axis
        w in pixels: standard deviation of the Gaussian, half width at half maximum of the Lorentzian;
        the pseudo-Voigt has both equally wide at half maximum, and w is the Gaussian's.
    library : module
        That makes the array.

    Returns
    -------
    float32 array, shape (z, y, x // 2 + 1)
        For :class:`Measured`; 1 at no lag, so that counts are kept. A beam of coherence length
        :math:`\xi` (Gaussian, standard deviation) has w = n / (2 pi xi in voxels).

    Notes
    -----
    Source: Vartanyants and Robinson, J. Phys. Condens. Matter 13, 10593 (2001), doi 10.1088/0953-8984/13/47/305.

    Examples
    --------
    >>> degree((1, 1, 4), "gaussian", 0.5).round(3)
    array([[[1.   , 0.735, 0.291]]], dtype=float32)
    """
    widths = [float(w) for w in np.broadcast_to(width, 3)]
    match model:
        case "gaussian":
            gamma = _product(shape, [lambda f, w=w: np.exp(-2 * (np.pi * w * f) ** 2) for w in widths])
        case "lorentzian":
            gamma = _product(shape, [lambda f, w=w: np.exp(-2 * np.pi * w * np.abs(f)) for w in widths])
        case "pseudo_voigt":
            half = np.sqrt(2 * np.log(2)) * np.asarray(widths)
            gamma = (1 - share) * degree(shape, "gaussian", widths) + share * degree(shape, "lorentzian", half)
        case _:
            raise ValueError(f"model is {model!r}, expected 'gaussian', 'lorentzian' or 'pseudo_voigt'")
    return library.asarray(gamma.astype(np.float32))


def fit(
    psi: Array, measured: Measured, where: Array, *, model: Model = "gaussian", start: float | Sequence[float] = 0.5, steps: int = 8
) -> tuple[float, ...]:
    """Return the widths of the blur that bring the far field `psi` nearest to the counts.

    Parameters
    ----------
    psi : complex array, shape (z, y, x)
        Far-field wave of the present object.
    measured : Measured
        Its own coherence is not used.
    where : bool array, shape (z, y, x)
        Pixels to fit: valid and not held out.
    start : float, or one per axis
        Width to begin with [pixel]. One number fits one width for all axes, three fit three.
    steps : int
        Most Gauss-Newton steps; each costs a transform for every width, and is halved until the deviance falls.

    Returns
    -------
    tuple of 1 or 3 float
        Between 0.05 and 3 pixels. The scale of `psi` is free.
    """
    widths = np.atleast_1d(np.asarray(start, float))
    cost, mean = _tried(psi, measured, where, model, widths.tolist())
    for _ in range(steps):
        move = _gauss_newton(psi, measured, where, model, widths, mean)
        for shorten in (1.0, 0.5, 0.25, 0.125):
            there = np.sqrt(np.clip(widths**2 + shorten * move, NARROW**2, WIDE**2))
            lower, found = _tried(psi, measured, where, model, there.tolist())
            if lower < cost:
                break
        else:
            break
        done = cost - lower < 1e-6 * cost
        widths, cost, mean = there, lower, found
        if done:
            break
    return tuple(float(w) for w in widths)


def richardson_lucy(
    psi: Array, measured: Measured, where: Array, *, window: Sequence[int] = (7, 7, 7), steps: int = 100, start: Array | None = None
) -> Array:
    r"""Return the blur of the far field `psi` found blindly from the counts: any shape within a small window.

    .. math:: k \leftarrow k \cdot \frac{|\psi|^2 \star (n / m)}{|\psi|^2 \star 1}, \qquad m = |\psi|^2 * k + b

    with sums over the pixels of `where` alone.

    Parameters
    ----------
    psi : complex array, shape (z, y, x)
    measured : Measured
        Its own coherence is not used.
    where : bool array, shape (z, y, x)
        Pixels to fit; the others are left out, not taken as dark.
    window : (z, y, x)
        Odd number of pixels that the blur may reach over, centred.
    steps : int
    start : array, shape (z, y, x), optional
        Blur to begin with, origin at index 0; by default flat over the window.

    Returns
    -------
    float array, shape (z, y, x)
        Positive, of sum 1, origin at index 0; ``real(rfftn)`` of its even part is the degree of coherence.

    Notes
    -----
    Source: Clark, Huang, Harder and Robinson, Nat. Commun. 3, 993 (2012), doi 10.1038/ncomms1994;
    Richardson, J. Opt. Soc. Am. 62, 55 (1972), doi 10.1364/JOSA.62.000055.
    """
    xp = namespace(psi)
    intensity, n, used = _counts(psi, measured, where)
    spectrum = xp.fft.rfftn(intensity, axes=AXES)
    inside = _window(intensity.shape, window, xp)
    kernel = inside / xp.sum(inside) if start is None else xp.where(inside > 0, start, 0.0)
    norm = xp.clip(_correlated(spectrum, used), min=float(xp.finfo(used.dtype).smallest_normal))
    share = xp.sum(used * intensity) / xp.sum(n)
    for _ in range(steps):
        mean = xp.fft.irfftn(spectrum * xp.fft.rfftn(kernel, axes=AXES), s=intensity.shape, axes=AXES) / share + measured.background
        ratio = xp.where(used > 0, n / xp.clip(mean, min=1e-6), 0.0)
        kernel = inside * kernel * xp.clip(_correlated(spectrum, ratio) / norm, min=0.0)
        kernel = kernel / xp.sum(kernel)
    return kernel


def decide(psi: Array, measured: Measured, held: Array, *, model: Model = "gaussian", start: float | Sequence[float] = 0.5) -> Decision:
    """Return whether partial coherence lowers the deviance of the pixels that were held out, and the figures.

    Parameters
    ----------
    psi : complex array, shape (z, y, x)
        Far-field wave of an object that was not fitted to `held`.
    measured : Measured
        With `held` still valid.
    held : bool array, shape (z, y, x)
        From :func:`xcdi.kernels.phasing.likelihood.held_out`.
    """
    used = measured.valid & ~held
    widths = fit(psi, measured, used, model=model, start=start)
    means = [_tried(psi, measured, used, model, one)[1] for one in (widths, ())]
    judged = held & measured.valid
    blurred, coherent = (float(misfit(mean, measured, judged)) for mean in means)
    error = _error_of_difference((means[0], means[1]), measured, judged)
    z, y, x = (float(w) for w in np.broadcast_to(widths, 3))
    gain = coherent - blurred
    sure = gain > SURE * error or blurred < HALVED * coherent  # a few bright pixels make the error large where a blur explains them all
    return Decision(sure and gain > GAIN * coherent, (z, y, x), blurred, coherent, error)


def refine(runner: Runner, measured: Measured, held: Array, *, model: Model = "gaussian") -> tuple[Measured, Decision]:
    """Fit the blur to the object a run has now, and let the run go on with it where the held-out pixels ask for it.

    Parameters
    ----------
    runner : Runner
        Of one start. Its data become the ones returned.
    measured : Measured
        With `held` still valid. Its coherence is not used: the widths are fitted anew from half a pixel.
    held : bool array, shape (z, y, x)

    Returns
    -------
    fitted : Measured
        Without the held-out pixels, with or without coherence, as decided.
    decision : Decision

    Notes
    -----
    For an object that is nearly right: phased from data that :mod:`xcdi.kernels.phasing.sharpening` made coherent.
    From a random start, hio with a blur in the model diverges or ends far from the truth even with the true width.
    """
    estimate = runner.estimate()
    xp = namespace(estimate.rho)
    psi = forward(xp.where(estimate.support, estimate.rho, 0.0))
    decision = decide(psi, measured, held, model=model, start=(0.5, 0.5, 0.5))
    gamma = degree(psi.shape, model, decision.width, library=xp) if decision.on else None
    fitted = replace(without(measured, held), coherence=gamma)
    runner.measure(fitted)
    return fitted, decision


def _product(shape: Sequence[int], factors: Sequence[Any]) -> np.ndarray:
    """Multiply one factor per axis, a function of the lag over the length, in the half layout of rfftn."""
    lags = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    z, y, x = (factor(f) for factor, f in zip(factors, lags, strict=True))
    return z[:, None, None] * y[None, :, None] * x[None, None, :]


def _counts(psi: Array, measured: Measured, where: Array) -> tuple[Array, Array, Array]:
    """Return intensity, counts (0 where not used), and where they are used as 0 and 1, in one precision."""
    xp = namespace(psi)
    intensity = xp.real(psi) ** 2 + xp.imag(psi) ** 2
    used = where & measured.valid
    n = xp.astype(xp.where(used, measured.amplitude, 0.0), intensity.dtype) ** 2
    return intensity, n, xp.astype(used, intensity.dtype)


def _tried(psi: Array, measured: Measured, where: Array, model: Model, widths: Sequence[float]) -> tuple[float, Array]:
    """Return the deviance with these widths (none: coherent) and the counts expected, on the scale of the data."""
    xp = namespace(psi)
    gamma = degree(psi.shape, model, widths, library=xp) if len(widths) else None
    mean = expected(psi, replace(measured, coherence=gamma, background=0.0))
    _, n, used = _counts(psi, measured, where)
    stray = xp.sum(used * measured.background)
    mean = mean * xp.clip((xp.sum(n) - stray) / xp.sum(used * mean), min=0.0) + measured.background
    return float(misfit(mean, measured, where)), mean


def _gauss_newton(psi: Array, measured: Measured, where: Array, model: Model, widths: np.ndarray, mean: Array) -> np.ndarray:
    """Return the step of the squared widths that Fisher's scoring takes."""
    xp = namespace(psi)
    _, n, used = _counts(psi, measured, where)
    weight = used / xp.clip(mean, min=1e-3)
    slopes = []
    for i, w in enumerate(widths):
        other = widths.copy()
        other[i] = w * (1 + STEP)
        slopes.append((_tried(psi, measured, where, model, other.tolist())[1] - mean) / float(other[i] ** 2 - w**2))
    curvature = np.array([[float(xp.sum(weight * a * b)) for b in slopes] for a in slopes])
    pull = np.array([float(xp.sum(weight * a * (n - mean))) for a in slopes])
    return np.asarray(np.linalg.lstsq(curvature, pull, rcond=1e-6)[0])


def _window(shape: Sequence[int], window: Sequence[int], xp: ModuleType | Any) -> Array:
    """Return 1 within the window around index 0, 0 elsewhere."""
    inside = np.ones(tuple(shape), np.float32)
    for axis, (n, reach) in enumerate(zip(shape, window, strict=True)):
        near = np.abs(np.fft.fftfreq(n) * n) <= reach // 2
        inside *= np.expand_dims(near, tuple(other for other in range(3) if other != axis))
    return xp.asarray(inside)


def _correlated(spectrum: Array, a: Array) -> Array:
    """Correlate `a` with the intensity of that spectrum."""
    xp = namespace(a)
    return xp.fft.irfftn(xp.conj(spectrum) * xp.fft.rfftn(a, axes=AXES), s=a.shape, axes=AXES)


def _error_of_difference(means: tuple[Array, Array], measured: Measured, judged: Array) -> float:
    """Return the standard error of the mean difference of two deviances, pixel by pixel."""
    xp = namespace(means[0])
    count = int(xp.sum(xp.astype(judged, xp.int64)))
    if count < 2:
        return float("inf")
    n = xp.astype(xp.where(judged, measured.amplitude, 0.0), xp.float64) ** 2
    a, b = (xp.clip(xp.astype(m, xp.float64), min=1e-12) for m in means)
    each = xp.where(judged, a - b - n * xp.log(a / b), 0.0)
    middle = xp.sum(each) / count
    spread = xp.sum(xp.where(judged, (each - middle) ** 2, 0.0)) / (count - 1)
    return float(xp.sqrt(spread / count))
