"""Models of the relaxation that a one-time correlation shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from xcdi.backend import Array

__all__ = ["BOUNDS", "MODELS", "PER_TIME", "Model", "heterodyne", "stretched", "two_exponentials", "unconstrained"]

BOUNDS = {
    "rate": (1e-9, 1e9),
    "slow": (1e-9, 1e9),
    "exponent": (0.1, 4.0),
    "contrast": (0.0, 10.0),
    "baseline": (0.0, 3.0),
    "frozen": (0.0, 0.999),
    "share": (0.0, 1.0),
    "frequency": (0.0, 1e9),
}
PER_TIME = ("rate", "slow", "frequency")
UNKNOWN_AT_END = ("rate", "slow", "exponent")  # a fit that ends at their bounds would have gone on
NOTHING = 1e-7  # of the largest effect, about what finite differences resolve


def stretched(delay: Array, rate: float, exponent: float, contrast: float, baseline: float, frozen: float = 0.0) -> Array:
    r"""A stretched exponential, ``baseline + contrast ((1 - f) exp(-(rate t)**exponent) + f)**2`` with f for `frozen`.

    With ``frozen=0`` it is ``baseline + contrast exp(-2 (rate t)**exponent)``: the factor 2 belongs to intensity.
    Source: Siegert relation with a stretched exponential (Kohlrausch, Williams and Watts).

    Examples
    --------
    >>> stretched(np.array([0.0]), 1.0, 1.5, 0.25, 1.0).item()
    1.25
    """
    decay = np.exp(-((rate * delay) ** exponent))
    return baseline + contrast * ((1 - frozen) * decay + frozen) ** 2


def two_exponentials(delay: Array, rate: float, slow: float, share: float, contrast: float, baseline: float) -> Array:
    r"""Two relaxations of the field, :math:`b + \beta [(1 - s) e^{-\Gamma t} + s\, e^{-\Gamma_s t}]^2`.

    Examples
    --------
    >>> two_exponentials(np.array([0.0]), 1.0, 0.1, 0.3, 0.25, 1.0).item()
    1.25
    """
    return baseline + contrast * ((1 - share) * np.exp(-rate * delay) + share * np.exp(-slow * delay)) ** 2


def heterodyne(delay: Array, rate: float, exponent: float, share: float, frequency: float, contrast: float, baseline: float) -> Array:
    r"""Scattering that relaxes mixed with one that stands still.

    .. math:: b + \beta \left[(1 - s)^2 + s^2 g^2 + 2 s (1 - s)\, g \cos(\omega t)\right], \quad g = e^{-(\Gamma t)^\gamma}

    with the share s of the intensity that moves, and the frequency :math:`\omega` [rad / unit of the delays] of its drift along q.
    Source: Livet et al., J. Synchrotron Rad. 13, 453 (2006), doi:10.1107/S0909049506030044. The Siegert relation is the case s = 1.

    Examples
    --------
    >>> heterodyne(np.array([0.0]), 1.0, 1.0, 0.4, 0.0, 0.25, 1.0).item()
    1.25
    """
    g = np.exp(-((rate * delay) ** exponent))
    return baseline + contrast * ((1 - share) ** 2 + (share * g) ** 2 + 2 * share * (1 - share) * g * np.cos(frequency * delay))


class Model(NamedTuple):
    """A curve of (delay, parameters), what is held unless asked otherwise, and where to start beside the common guess."""

    curve: Callable[..., Array]
    names: tuple[str, ...]
    held: dict[str, float | None]
    starts: tuple[dict[str, float], ...]  # factors on the guessed rate for what is per time, else values


MODELS = {
    "stretched": Model(stretched, ("rate", "exponent", "contrast", "baseline", "frozen"), {"frozen": 0.0}, ({},)),
    "two exponentials": Model(
        two_exponentials,
        ("rate", "slow", "share", "contrast", "baseline"),
        {},
        ({"rate": 2.0, "slow": 0.3, "share": 0.5}, {"rate": 8.0, "slow": 0.5, "share": 0.7}, {"rate": 1.2, "slow": 0.05, "share": 0.2}),
    ),
    "heterodyne": Model(
        heterodyne,
        ("rate", "exponent", "share", "frequency", "contrast", "baseline"),
        {"baseline": 1.0},
        tuple({"share": share, "frequency": f} for share in (0.3, 0.7) for f in (0.3, 3.0, 10.0)),
    ),
}


def unconstrained(jacobian: Array, names: Sequence[str], values: Array) -> Array:
    """Which parameters of a fit its data do not tell.

    Parameters
    ----------
    jacobian : array, shape (point, parameter)
        Change of the curve, over its noise, with each parameter, where the fit ended.
    names : sequence of str
        Of the parameters, in ``BOUNDS``.
    values : array, shape (parameter,)

    Returns
    -------
    bool array, shape (parameter,)
        True where the curve does not change with the parameter, or others undo any change of it, or it ended at its
        upper bound, a rate or exponent at either.

    Notes
    -----
    A decay that is over before the first delay leaves the curve flat: rate, exponent and contrast may then be anything, and their
    columns of zeros would be taken for errors of zero.

    Examples
    --------
    >>> flat = np.array([[1e-30, 1.0], [0.0, 1.0], [0.0, 1.0]])
    >>> unconstrained(flat, ["rate", "baseline"], np.array([70.0, 1.0]))
    array([ True, False])
    """
    relative = jacobian * [value if name in PER_TIME and value > 0 else 1.0 for name, value in zip(names, values, strict=True)]
    size = np.linalg.norm(relative, axis=0)
    loose = size <= NOTHING * size.max(initial=0.0)
    seen = np.flatnonzero(~loose)
    if seen.size:
        _, strength, way = np.linalg.svd(relative[:, seen] / size[seen], full_matrices=False)
        undone = np.abs(way[strength < NOTHING * strength[0]])
        loose[seen] |= np.any(undone > NOTHING**0.5, axis=0)
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        low, high = BOUNDS[name]
        loose[at] |= name in UNKNOWN_AT_END and not low * 1.001 < value < high * 0.999
        loose[at] |= value >= high * 0.999
    return loose
