"""The moves of iterative phase retrieval. A name in ``__all__`` may be used in a schedule.

Most of them differ only outside the support, where the next object is
``a * rho + b * p`` with ``p`` the projection onto the data; inside it is ``p``.
:func:`outside` gives the pair, for the runner that works in place.
"""

from __future__ import annotations

from dataclasses import replace

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES
from xcdi.kernels.phasing.estimate import Estimate, Measured, onto_data

__all__ = [
    "asr",
    "detwin",
    "difference_map",
    "error_reduction",
    "grow",
    "hio",
    "hpr",
    "raar",
    "rrr",
    "shrink_wrap",
    "shrink_wrap_rms",
    "shrink_wrap_volume",
    "solvent_flip",
    "trim",
]


def outside(name: str, beta: float | None = None) -> tuple[float, float] | None:
    """Return the pair (a, b) of the move `name`, or None for a move that is not of that kind.

    Examples
    --------
    >>> outside("hio", 0.8)
    (1.0, -0.8)
    """
    match name:
        case "error_reduction":
            return 0.0, 0.0
        case "solvent_flip":
            return 0.0, -1.0
        case "hio" | "hpr":
            return 1.0, -(0.9 if beta is None else beta)
        case "asr":
            return 1.0, -1.0
        case "raar":
            beta = 0.85 if beta is None else beta
            return beta, 1.0 - 2.0 * beta
        case "difference_map" if beta in (None, 1.0):
            return 1.0, -1.0
        case "rrr" if beta == 1.0:
            return 1.0, -1.0
    return None


def error_reduction(estimate: Estimate, measured: Measured) -> Estimate:
    """Project onto the data, then onto the support.

    Source: Gerchberg and Saxton, Optik 35, 237 (1972); Fienup, Appl. Opt. 21, 2758 (1982).
    """
    return _relax(estimate, measured, 0.0, 0.0)


def solvent_flip(estimate: Estimate, measured: Measured) -> Estimate:
    """Project onto the data, then reverse the sign outside the support.

    Source: Abrahams and Leslie, Acta Cryst. D 52, 30 (1996).
    """
    return _relax(estimate, measured, 0.0, -1.0)


def hio(estimate: Estimate, measured: Measured, *, beta: float = 0.9) -> Estimate:
    """Hybrid input-output: negative feedback outside the support.

    Source: Fienup, Appl. Opt. 21, 2758 (1982), doi 10.1364/AO.21.002758.
    """
    return _relax(estimate, measured, 1.0, -beta)


def hpr(estimate: Estimate, measured: Measured, *, beta: float = 0.9) -> Estimate:
    r"""Hybrid projection-reflection.

    .. math:: \rho \leftarrow \tfrac12\left[R_S\left(R_M + (\beta - 1)P_M\right) + 1 + (1 - \beta)P_M\right]\rho

    Notes
    -----
    It was made for objects that must be positive as well, and there it differs from :func:`hio`. A crystal seen at
    a Bragg peak is complex: with its support as the only constraint the two are the same move, by either name.
    Source: Bauschke, Combettes and Luke, J. Opt. Soc. Am. A 20, 1025 (2003), doi 10.1364/JOSAA.20.001025.
    """
    return _relax(estimate, measured, 1.0, -beta)


def asr(estimate: Estimate, measured: Measured) -> Estimate:
    r"""Averaged successive reflections.

    .. math:: \rho \leftarrow \tfrac12\left(R_S R_M + 1\right)\rho

    Notes
    -----
    With a support and nothing else it is :func:`hio`, :func:`raar`, :func:`rrr` and :func:`difference_map`, all at feedback 1.
    Source: the Douglas-Rachford algorithm that Bauschke, Combettes and Luke found in HIO, J. Opt. Soc. Am. A 19, 1334 (2002),
    doi 10.1364/JOSAA.19.001334.
    """
    return _relax(estimate, measured, 1.0, -1.0)


def rrr(estimate: Estimate, measured: Measured, *, beta: float = 0.5) -> Estimate:
    r"""Relaxed-reflect-reflect: a step of length `beta` along the gap between the two projections.

    .. math:: \rho \leftarrow \rho + \beta\left[P_S\left(2P_M - 1\right) - P_M\right]\rho

    Parameters
    ----------
    beta : float
        Between 0 and 2. Unlike in :func:`hio` the object inside the support is relaxed too.

    Notes
    -----
    The iterate is no object yet: end with :func:`error_reduction`.
    Source: Elser, Lan and Bendory, SIAM J. Imaging Sci. 11, 2429 (2018), doi 10.1137/18M1170364.
    """
    xp, rho = namespace(estimate.rho), estimate.rho
    data, residual = onto_data(rho, measured)
    inside = (1 - beta) * rho + beta * data
    return replace(estimate, rho=xp.where(estimate.support, inside, rho - beta * data), residual=residual)


def raar(estimate: Estimate, measured: Measured, *, beta: float = 0.85) -> Estimate:
    r"""Relaxed averaged alternating reflections.

    .. math:: \rho \leftarrow \tfrac{\beta}{2}(R_S R_M + 1)\rho + (1 - \beta) P_M \rho

    Source: Luke, Inverse Problems 21, 37 (2005), doi 10.1088/0266-5611/21/1/004.
    """
    return _relax(estimate, measured, beta, 1.0 - 2.0 * beta)


def difference_map(estimate: Estimate, measured: Measured, *, beta: float = 1.0) -> Estimate:
    r"""Difference map with Elser's choice of the relaxation of the two estimates.

    .. math:: \rho \leftarrow \rho + \beta\left[P_S\left((1+\tfrac1\beta)P_M - \tfrac1\beta\right)
              - P_M\left((1-\tfrac1\beta)P_S + \tfrac1\beta\right)\right]\rho

    Source: Elser, J. Opt. Soc. Am. A 20, 40 (2003), doi 10.1364/JOSAA.20.000040. At ``beta=1`` it is HIO with feedback 1.
    """
    if beta == 1.0:
        return _relax(estimate, measured, 1.0, -1.0)
    xp, rho = namespace(estimate.rho), estimate.rho
    data, residual = onto_data(rho, measured)
    inside = xp.where(estimate.support, (1 + 1 / beta) * data - (1 / beta) * rho, 0.0)
    relaxed = xp.where(estimate.support, rho, (1 / beta) * rho)
    return replace(estimate, rho=rho + beta * (inside - onto_data(relaxed, measured)[0]), residual=residual)


def shrink_wrap(estimate: Estimate, measured: Measured, *, sigma: float = 1.5, threshold: float = 0.10, floor: int = 0) -> Estimate:
    """Redraw the support where the blurred modulus exceeds `threshold` of its maximum.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian blur, voxels.
    threshold : float
        Fraction of the largest blurred modulus.
    floor : int
        With fewer voxels than this the old support stays.

    Notes
    -----
    Source: Marchesini et al., Phys. Rev. B 68, 140101 (2003), doi 10.1103/PhysRevB.68.140101.
    """
    xp = namespace(estimate.rho)
    blurred = blur(xp.abs(estimate.rho), sigma)
    return _redrawn(estimate, blurred > threshold * xp.max(blurred, axis=AXES, keepdims=True), floor)


def shrink_wrap_rms(estimate: Estimate, measured: Measured, *, sigma: float = 1.5, threshold: float = 0.25, floor: int = 0) -> Estimate:
    """Redraw the support where the blurred modulus exceeds `threshold` of its rms inside the present support.

    Steadier than :func:`shrink_wrap` against a single bright voxel; above about
    0.35 it eats strained crystals.
    """
    xp = namespace(estimate.rho)
    blurred = blur(xp.abs(estimate.rho), sigma)
    inside = xp.sum(xp.where(estimate.support, blurred, 0.0) ** 2, axis=AXES, keepdims=True)
    size = xp.sum(xp.astype(estimate.support, blurred.dtype), axis=AXES, keepdims=True)
    return _redrawn(estimate, blurred > threshold * xp.sqrt(inside / size), floor)


def shrink_wrap_volume(estimate: Estimate, measured: Measured, *, sigma: float = 1.5, threshold: float = 0.08, floor: int = 0) -> Estimate:
    """Redraw the support around the voxels with the largest blurred modulus, so many that they fill `threshold`.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian blur, voxels.
    threshold : float
        Below 1, the part of all voxels that the support fills; from 1 on, how many voxels.
    floor : int
        With fewer voxels than this the old support stays.

    Notes
    -----
    It cannot collapse, but keeps a wrong volume for ever. Where the modulus is equal, voxels stay together.
    """
    xp = namespace(estimate.rho)
    blurred = blur(xp.abs(estimate.rho), sigma)
    flat = xp.reshape(blurred, (*blurred.shape[:-3], -1))
    size = flat.shape[-1]
    kept = min(max(round(threshold * size if threshold < 1 else threshold), 1), size)
    level = xp.sort(flat, axis=-1)[..., size - kept]
    return _redrawn(estimate, blurred >= xp.reshape(level, (*level.shape, 1, 1, 1)), floor)


def grow(estimate: Estimate, measured: Measured, *, voxels: int = 1) -> Estimate:
    """Add to the support what lies within `voxels` steps along the axes; periodic edges.

    After a shrink-wrap it gives back what the blur took; followed by :func:`trim` it closes holes, as at a dislocation.
    """
    support = estimate.support
    for _ in range(voxels):
        support = _spread(support)
    return replace(estimate, support=support)


def trim(estimate: Estimate, measured: Measured, *, voxels: int = 1) -> Estimate:
    """Take from the support what lies within `voxels` steps of its outside; before :func:`grow` it removes specks."""
    xp = namespace(estimate.support)
    empty = xp.logical_not(estimate.support)
    for _ in range(voxels):
        empty = _spread(empty)
    return replace(estimate, support=xp.logical_not(empty))


def detwin(estimate: Estimate, measured: Measured) -> Estimate:
    """Keep the half of the object that lies before its centre along the last two axes.

    Once, early, in a run it decides between the object and its inverted
    conjugate, which a support that is symmetric leaves open.
    """
    xp = namespace(estimate.rho)
    weight = xp.abs(estimate.rho) ** 2
    keep = xp.ones(weight.shape, dtype=xp.bool)
    for axis in AXES[1:]:
        n = weight.shape[axis]
        index = xp.reshape(xp.arange(n, dtype=weight.dtype), _along(axis, n))
        phase = xp.exp(2j * xp.pi / n * index)
        turn = xp.sum(weight * phase, axis=AXES, keepdims=True)
        keep = keep & (xp.imag(xp.conj(turn) * phase) <= 0)
    return replace(estimate, rho=xp.where(keep, estimate.rho, 0.0))


def blur(a: Array, sigma: float) -> Array:
    """Gaussian blur of real `a` with standard deviation `sigma` voxels, cut at 4 sigma; periodic edges."""
    xp = namespace(a)
    spectrum = xp.fft.rfftn(a, axes=AXES)
    for axis in AXES:
        n = a.shape[axis]
        window = xp.fft.fft(xp.asarray(gaussian_weights(n, sigma), dtype=spectrum.dtype))
        kept = window[: n // 2 + 1] if axis == -1 else window
        spectrum = spectrum * xp.reshape(kept, _along(axis, kept.shape[0]))
    return xp.fft.irfftn(spectrum, s=a.shape[-3:], axes=AXES)


def gaussian_weights(n: int, sigma: float) -> list[float]:
    """Return a normalised Gaussian over `n` periodic positions, its centre at index 0, cut at 4 sigma.

    Examples
    --------
    >>> [round(w, 3) for w in gaussian_weights(5, 0.5)]
    [0.787, 0.106, 0.0, 0.0, 0.106]
    """
    offsets = [min(i, n - i) for i in range(n)]
    weights = [2.718281828459045 ** (-0.5 * (x / sigma) ** 2) if x <= 4 * sigma else 0.0 for x in offsets]
    return [w / sum(weights) for w in weights]


def _along(axis: int, n: int) -> tuple[int, ...]:
    """Return the shape that broadcasts `n` values along one of the last three axes."""
    return tuple(n if other == axis else 1 for other in AXES)


def _spread(inside: Array) -> Array:
    """Add the six neighbours of every True voxel."""
    xp = namespace(inside)
    spread = inside
    for axis in AXES:
        spread = spread | xp.roll(inside, 1, axis=axis) | xp.roll(inside, -1, axis=axis)
    return spread


def _redrawn(estimate: Estimate, support: Array, floor: int) -> Estimate:
    """Take `support`, start by start, where it has `floor` voxels or more."""
    xp = namespace(support)
    size = xp.sum(xp.astype(support, xp.int64), axis=AXES, keepdims=True)
    return replace(estimate, support=xp.where(size >= floor, support, estimate.support))


def _relax(estimate: Estimate, measured: Measured, a: float, b: float) -> Estimate:
    """Inside the support the projection p onto the data; outside a * rho + b * p."""
    xp = namespace(estimate.rho)
    data, residual = onto_data(estimate.rho, measured)
    other = a * estimate.rho + b * data if (a or b) else 0.0
    return replace(estimate, rho=xp.where(estimate.support, data, other), residual=residual)
