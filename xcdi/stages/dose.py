"""Do events follow the time or the photons? Results at different flux compared: the control for damage by the beam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.avalanches import dose as kernel
from xcdi.schema import is_avalanche
from xcdi.stages.pooling import exposure

__all__ = ["control", "dose"]

NEEDED = ("mean_count", "photons", "duration_s", "good_frames")
APART = 1.5  # times the flux, from which on results are compared unasked
TOGETHER = 0.2  # in ln of the flux, within which results are one group
SURE = 2.0  # log likelihood ratio from which one of the two is preferred


def dose(catalogues: Sequence[xr.Dataset], *, smallest: float | None = None) -> xr.Dataset:
    """Rate of events per second and per photon at every flux, and which of the two stays the same.

    Parameters
    ----------
    catalogues : sequence of EVENTS
        With the attributes `mean_count`, `photons`, `duration_s` and `good_frames`; `completeness` where it is known.
    smallest : float, optional
        Drop from which events count, the same for all: faint ones are only seen where the flux is high. By default the largest
        completeness of all results.

    Returns
    -------
    Dataset
        By group of equal flux (within 20 %): `flux` [photons per pixel and s], `events`, `seconds` (of good frames), `photons`, `rate`
        [1/s], `rate_error`, `per_photon` [per 1e6 photons], `per_photon_error` (Poisson). `log_ratio`: log likelihood of "the rate
        follows the photons" less that of "it follows the time"; `exponent` with `exponent_error`: rate ~ flux^exponent, 0 for events of the
        sample, 1 for events of the beam. Attributes `smallest` and `verdict`, in words.

    Raises
    ------
    XcdiError
        If a result lacks what is needed, all have the same flux, or nobody says from which drop on events are seen.
    """
    level = _smallest(catalogues, smallest)
    table = np.array([_counted(one, level, number) for number, one in enumerate(catalogues)])
    flux = table[:, 3] / table[:, 1]
    groups = _groups(flux)
    if len(groups) < 2:
        raise XcdiError(
            f"all {len(catalogues)} results have a flux near {flux.mean():.3g} photons per pixel and s; add one at another flux"
        )
    events, seconds, photons, counts = np.stack([table[group].sum(axis=0) for group in groups], axis=1)
    found = kernel.dose(events, seconds, photons)
    columns = {
        "flux": (counts / seconds, "1/s"),
        "events": (events, "1"),
        "seconds": (seconds, "s"),
        "photons": (photons, "1"),
        "rate": (events / seconds, "1/s"),
        "rate_error": (np.sqrt(np.maximum(events, 1)) / seconds, "1/s"),
        "per_photon": (1e6 * events / photons, "1"),
        "per_photon_error": (1e6 * np.sqrt(np.maximum(events, 1)) / photons, "1"),
    }
    ds = xr.Dataset({name: ("group", values, {"units": units}) for name, (values, units) in columns.items()})
    single = {"log_ratio": found.log_ratio, "exponent": found.exponent, "exponent_error": found.error}
    one = {name: ((), value, {"units": "1"}) for name, value in single.items()}
    return ds.assign(one).assign_attrs(smallest=level, verdict=_verdict(found, int(events.sum())))


def control(catalogues: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return what :func:`dose` says of results that were taken at fluxes 1.5 times apart or more, or else nothing.

    Results that do not say how many photons they took, or from which drop on their events are seen, are left out.

    Returns
    -------
    Dataset
        The columns of :func:`dose` as `dose_...` (flux_group), its attributes likewise.
    """
    used = [one for one in catalogues if _told(one)]
    if len(used) < 2:
        return xr.Dataset()
    flux = np.array([_flux(one) for one in used])
    if not flux.min() > 0 or flux.max() < APART * flux.min():
        return xr.Dataset()
    ds = dose(used)
    names = {name: f"dose_{name}" for name in ds.data_vars}
    return ds.rename({**names, "group": "flux_group"}).drop_attrs().assign_attrs({f"dose_{k}": v for k, v in ds.attrs.items()})


def _told(events: xr.Dataset) -> bool:
    known = np.isfinite([float(events.attrs.get(name, np.nan)) for name in (*NEEDED, "completeness")])
    return bool(np.all(known)) and {"drop", "flags"} <= set(events) and exposure(events) > 0


def _flux(events: xr.Dataset) -> float:
    """Photons per pixel and second."""
    return float(events.attrs["mean_count"]) * float(events.attrs["good_frames"]) / exposure(events)


def _groups(flux: np.ndarray) -> list[np.ndarray]:
    """Numbers of the results of equal flux, in rising order: each group ends 20 % above its first."""
    groups: list[list[int]] = []
    for k in np.argsort(flux, kind="stable"):
        if groups and np.log(flux[k] / flux[groups[-1][0]]) <= TOGETHER:
            groups[-1].append(int(k))
        else:
            groups.append([int(k)])
    return [np.array(group) for group in groups]


def _smallest(catalogues: Sequence[xr.Dataset], smallest: float | None) -> float:
    if not catalogues:
        raise XcdiError("no result to compare; give EVENTS of two or more series at different flux")
    if smallest is not None:
        return smallest
    known = [float(one.attrs.get("completeness", np.nan)) for one in catalogues]
    if not np.all(np.isfinite(known)):
        number = int(np.flatnonzero(~np.isfinite(known))[0])
        raise XcdiError(f"result {number} has no completeness, so nobody says from which drop on its events are seen; pass smallest=")
    return max(known)


def _counted(events: xr.Dataset, level: float, number: int) -> tuple[float, float, float, float]:
    """Events from `level` on, seconds, photons, and photons per pixel."""
    missing = [name for name in NEEDED if name not in events.attrs]
    if missing:
        raise XcdiError(f"result {number} has no attribute {missing[0]!r}; find its events again with this version")
    large = is_avalanche(events["flags"].values) & (events["drop"].values >= level)
    seconds = exposure(events)
    per_pixel = float(events.attrs["mean_count"]) * float(events.attrs["good_frames"])
    if not (seconds > 0 and per_pixel > 0):
        raise XcdiError(f"result {number} lasts {seconds:g} s and holds {per_pixel:g} photons per pixel; expected both above 0")
    return float(large.sum()), seconds, float(events.attrs["photons"]), per_pixel


def _verdict(found: kernel.Dose, events: int) -> str:
    """In words what the likelihood ratio says."""
    if abs(found.log_ratio) < SURE:
        return f"{events} events do not tell whether their rate follows the photons or the time"
    cause = "the photons: the beam makes them" if found.log_ratio > 0 else "the time: the beam does not make them"
    return f"the rate of {events} events follows {cause}"
