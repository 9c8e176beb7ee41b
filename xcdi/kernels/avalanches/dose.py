"""Whether events follow the time or the photons: the control for what the beam does to the sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize

from xcdi.backend import Array

__all__ = ["Dose", "dose"]

STEEPEST = 5.0


class Dose(NamedTuple):
    """Result of :func:`dose`.

    Attributes
    ----------
    log_ratio : float
        Log likelihood of "the rate follows the photons" less that of "the rate follows the time"; positive for damage by the beam.
    exponent, error : float
        The rate per second goes with flux to this power: 0 events of the sample, 1 events of the beam.
    """

    log_ratio: float
    exponent: float
    error: float


def dose(events: Array, seconds: Array, photons: Array) -> Dose:
    r"""Compare how events are shared between measurements of different flux with the shares of time and of photons.

    .. math:: \ln L_{ph} - \ln L_t = \sum_i n_i \ln \frac{P_i / \sum P}{T_i / \sum T}

    Parameters
    ----------
    events : int array, shape (group,)
        Events seen.
    seconds, photons : array, shape (group,)
        Time and photons of each.

    Returns
    -------
    Dose
        The total number of events says nothing and is taken as given. The error of the exponent is from the curvature of the
        likelihood; NaN where no flux differs or there is no event.

    Raises
    ------
    ValueError
        If a group has no time or no photons.

    Notes
    -----
    Repeating a measurement at another flux is the usual control for beam damage in XPCS: Ruta et al., Sci. Rep. 7, 3962 (2017).

    Examples
    --------
    >>> round(dose(np.array([10, 100]), np.array([50.0, 50.0]), np.array([1e6, 1e7])).exponent, 3)
    1.0
    """
    n, t, p = (np.asarray(values, np.float64) for values in (events, seconds, photons))
    if not (np.all(t > 0) and np.all(p > 0)):
        raise ValueError(f"times {t.tolist()} and photons {p.tolist()}; expected both above 0 in every group")
    flux = np.log(p / t)
    ratio = float((n * (np.log(p / p.sum()) - np.log(t / t.sum()))).sum())
    if n.sum() == 0 or np.ptp(flux) < 1e-9:
        return Dose(ratio, float("nan"), float("nan"))

    def shares(power: float) -> Array:
        expected = t * np.exp(power * (flux - flux.mean()))
        return expected / expected.sum()

    def against(power: float) -> float:
        return -float((n * np.log(shares(power))).sum())

    found = optimize.minimize_scalar(against, bounds=(-STEEPEST, STEEPEST), method="bounded")
    share = shares(float(found.x))
    spread = float(share @ flux**2 - (share @ flux) ** 2)
    return Dose(ratio, float(found.x), float(1 / np.sqrt(n.sum() * max(spread, 1e-12))))
