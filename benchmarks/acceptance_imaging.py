"""Measures of imaging: the phased object, its strain, its grains, and the twin that one reflection cannot tell from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from scipy import ndimage

from xcdi import io
from xcdi.artificial import particle, profiles, scattering, score_dislocations, score_phasing, score_strain
from xcdi.artificial.align import align
from xcdi.artificial.compared import Compared
from xcdi.artificial.instrument import sampling
from xcdi.artificial.score import evidence
from xcdi.artificial.streams import streams
from xcdi.artificial.verdict import Truth
from xcdi.stages import phasing
from xcdi.stages.imaging import Imaging, image

__all__ = ["atomic", "imaging", "ramp", "screw", "symmetry"]

UNIFORM = 2e-3  # strain of the ramp object


@contextmanager
def compared(result: Path, truth: Path) -> Iterator[Compared]:
    """Open a result beside the truth."""
    with h5py.File(result, "r") as file, h5py.File(truth, "r") as true:
        yield Compared([file], Truth(true))


def imaging(bench: Any) -> dict[str, Any]:
    """Phase the rocking scan of one particle; what the judge pools, and what it has no list for."""
    path = bench.analyse("bcdi_strain", "particle_rocking")
    made = io.load(path)
    with compared(path, bench.truth) as seen:
        extra = {"statistics": _drawn(made), "bias": _bias(seen), **_resolution(seen, made["object"])}
    return {name: value for name, value in evidence(path, bench.truth).items() if name != "config"} | extra


def atomic(bench: Any) -> dict[str, Any]:
    """Phase the rocking scan of one gold crystal, whose measured grid is sheared by 16 degrees; as `imaging`, and its absolute spacing."""
    path = bench.analyse("bcdi_strain", "crystal")
    with compared(path, bench.truth) as seen:
        spacing = seen.note("entry_1/crystal", "mean_d_spacing_nm") or np.nan  # an unreliable crystal has none
        error = float(spacing / seen.truth["geometry/mean_spacing"] - 1)
        extra = {"bias": _bias(seen), "spacing": error, **_resolution(seen, io.load(path)["object"])}
    return {name: value for name, value in evidence(path, bench.truth).items() if name != "config"} | extra


def screw(bench: Any) -> dict[str, Any]:
    """Phase a particle with one dislocation line, and look how much of it is found."""
    path = bench.analyse("bcdi_strain", "particle_rocking")
    with compared(path, bench.truth) as seen:
        lines = score_dislocations.held(seen)
        told = {"grade": str(io.load(path)["object"].attrs["grade"]), "false": score_dislocations.false_vortices(seen)}
    return told | ({} if not lines else {"share": lines[0].share, "distance": lines[0].distance, "charge": lines[0].charge})


def _drawn(made: dict[str, xr.Dataset]) -> bool:
    """Whether the result holds statistics of strain: those of its grains."""
    return "grains" in made and bool(np.isfinite(made["grains"].strain).any())


def _bias(seen: Compared) -> float:
    """Mean error of the strain against G, from the spacing with the ramp restored.

    What the tilts add to |q| in second order is taken off.
    """
    inside = score_strain.held(seen)
    if inside is None:
        return float("nan")
    known = (name for _, name in score_strain.TILTS)
    up, third = (seen.truth.sample(seen.truth[name], inside.positions) if name in seen.truth else 0.0 for name in known)
    relative = 2 * np.pi / np.linalg.norm(seen.truth["geometry/G"]) / seen["entry_1/d_spacing"][inside.where]
    return float(np.nanmean(1 - np.sqrt(np.maximum(relative**2 - up**2 - third**2, 0)) - inside.true))


def _resolution(seen: Compared, phased: xr.Dataset) -> dict[str, Any]:
    """Where the transfer function crosses 1/e [1/nm], and where it would with the true phases in place of the other starts'."""
    q = phased.q.to_numpy()
    true = score_phasing.true_transfer(seen.image, q, phased.q_basis.to_numpy())
    return {"q_prtf": score_phasing.crossing(q, phased.prtf.to_numpy()), "q_true": score_phasing.crossing(q, true)}


def symmetry(bench: Any) -> dict[str, Any]:
    """Phase a peak and the same peak with q turned round: the objects must be twins."""
    first = io.load(bench.analyse("bcdi_strain", "particle_rocking"))
    peak, one = first["peak"], first["object"]
    turned = peak.assign({name: peak[name].copy(data=_inverted(peak[name].to_numpy())) for name in ("counts", "valid")})
    other = phasing.reconstruct(turned, phasing.Recipe(), seed=0, workers=1)
    back = other.rho.to_numpy().conj()
    found = align(back, one.rho.to_numpy())
    return {"cc": found.overlap, "agreement": float(one.attrs["agreement"])}


def _inverted(values: np.ndarray) -> np.ndarray:
    """Turn a volume round its middle voxel n // 2; where n is even, the first plane has no partner and stays."""
    turned = np.flip(values, axis=(0, 1, 2))
    return np.roll(turned, [1 - n % 2 for n in values.shape], axis=(0, 1, 2))


def ramp(bench: Any) -> dict[str, Any]:
    """Image a particle whose only strain is uniform, with photons counted, and without noise."""
    p = profiles.Profile(**{name: value for name, value in bench.config.items() if name in profiles.Profile.model_fields})
    grown, s = particle.build(p, streams(bench.seed)), sampling(p)
    along = grown.axes.dot(s.directions[0])
    field = scattering.rocking_amplitude(grown.amplitude * np.exp(-1j * p.q_peak * UNIFORM * along), grown.axes, s, p.window)
    mean = scattering.blur(np.abs(field) ** 2, p.blur_px)
    mean *= p.photons / mean.sum()
    scan = io.open_scan(bench.raw, "particle_rocking", bench.beamline)
    rng = np.random.default_rng(bench.seed)
    noisy, clean = (_imaged(scan, counts, bench.seed) for counts in (rng.poisson(mean), mean))
    spacing = 2 * np.pi / (p.q_peak * (1 - UNIFORM))
    least = score_strain.DEEP * abs(np.linalg.det(s.voxels)) ** (1 / 3)
    return {
        name: {
            "spacing": float(made.attrs.get("mean_d_spacing_nm", np.nan) / spacing - 1),
            "largest": float(np.abs(_deep(made, least)).max()),
            "rms": float(np.sqrt((_deep(made, least) ** 2).mean())),
        }
        for name, made in (("noisy", noisy), ("clean", clean))
    }


def _imaged(scan: xr.Dataset, counts: np.ndarray, seed: int) -> xr.Dataset:
    measured = scan.drop_vars("monitor", errors="ignore").assign(counts=(("frame", "y", "x"), counts.astype(np.float32), {"units": "1"}))
    return image(measured, Imaging(corrections=("to_float",)), seed=seed)["crystal"]


def _deep(crystal: xr.Dataset, least: float) -> np.ndarray:
    """Strain beyond its mean, `least` [nm] and more from the surface."""
    edges = [float(np.diff(crystal[dim].to_numpy()[:2])[0]) for dim in "zyx"]
    depth = ndimage.distance_transform_edt(crystal.support.to_numpy(), edges)
    return crystal.strain.to_numpy()[depth > least]
