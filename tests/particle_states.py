"""States of a lopsided body of two grains, as results of bcdi_strain have them, with known changes."""

import numpy as np
import xarray as xr

from xcdi.kernels import registration
from xcdi.stages import strain

SHAPE, VOXEL = (27, 31, 33), 20.0  # nm
G = np.array([1.37, 0.0, 0.0])  # 1/nm
DIMS = ("z", "y", "x")
BENT = 0.25  # nm, of a known change of the displacement
FREE = {"shift": (1.37, -2.61, 0.48), "ramp": (0.03, -0.02, 0.05), "phase": 1.1, "twin": True}  # what phasing may leave different


def places():
    return np.meshgrid(*(VOXEL * (np.arange(n) - n // 2) for n in SHAPE), indexing="ij")


def bent_strain():
    """Derivative along G of the known change of displacement."""
    _, y, x = places()
    return BENT / 90 * np.cos(x / 90 + y / 140)


def rho_of(*, cut=0.0, slip=0.0, bent=0.0, strained=0.0, rough=0.0):
    """A lopsided body of two grains, 1 the larger, that meet at an oblique plane moved by `cut` nm; 2 slipped by `slip` rad."""
    z, y, x = places()
    away = (x + 0.5 * y + 0.3 * z) / np.sqrt(1.34) - 40 - cut
    body = 1 / (1 + np.exp((np.sqrt(z**2 + 1.3 * y**2 + x**2 + 0.05 * x * y * (x > 0)) - 180) / 14))
    phase = 1e-5 * x * y - 0.0025 * z + np.where(away > 0, 0.006 * y + 1.2 - slip, -0.0025 * y)
    phase -= G[0] * (bent * BENT * np.sin(x / 90 + y / 140) + strained * x)
    rng = np.random.default_rng(3)
    dip = 1 - 0.5 * np.exp(-((away / 20) ** 2))
    return body * dip * np.exp(1j * (phase + rough * rng.normal(size=SHAPE))), np.where(body > 0.4, np.where(away > 0, 2, 1), 0)


def displaced_by_phasing(rho, label, *, shift, ramp, phase, twin):
    """The same state as another run of phasing might give it."""
    z, y, x = (p / VOXEL for p in places())
    there = registration.moved(rho, shift) * np.exp(1j * (ramp[0] * z + ramp[1] * y + ramp[2] * x + phase))
    label = np.rint(registration.moved(np.stack([label == n for n in (1, 2)]).astype(float), shift).real)
    label = np.where(label[1] > label[0], 2, np.where(label[0] > 0, 1, 0))
    turned = np.roll(label[::-1, ::-1, ::-1], [2 * (n // 2) + 1 for n in SHAPE], (0, 1, 2))
    return (registration.turned(there), turned) if twin else (there, label)


def state(k=0, *, free=None, grade="good", q=G, bright=1.0, error=0.02, **what):
    """CRYSTAL with grains, as a result of bcdi_strain has it."""
    rho, label = rho_of(**what)
    if free is not None:
        rho, label = displaced_by_phasing(rho, label, **free)
        q = q - np.array(free["ramp"][::-1]) / VOXEL  # the wave vector is that of the sample, whatever the ramp of the object
    lines = {d: (d, VOXEL * (np.arange(n) - n // 2), {"units": "nm"}) for d, n in zip(DIMS, SHAPE, strict=True)}
    bright *= 1 + 1e-9 * k  # no two scans agree to the last bit
    maps = {"rho": (DIMS, bright * rho, {"units": "1"}), "support": (DIMS, label > 0, {"units": ""})}
    maps["rho_error"] = (DIMS, np.full(SHAPE, bright * error), {"units": "1"})
    notes = {"scan": f"S{k}", "grade": grade, "q_peak": list(q), "start_time": f"2024-01-01T00:{10 * k:02d}:00"}
    made = strain.field(xr.Dataset(maps, lines, attrs=notes))
    return made.assign(grain=(DIMS, label.astype(np.int16), {"units": ""}))


def again(crystal):
    """The same crystal, scanned an hour later."""
    later = crystal.assign(rho=(DIMS, (1 + 1e-9) * crystal.rho.to_numpy(), {"units": "1"}))
    return later.assign_attrs(start_time="2024-01-01T01:00:00")


def inside(ds, k=1):
    """Voxels of the series with all their neighbours in the grain, as a map of the body's own grid."""
    grain = ds.grain.isel(state=k).to_numpy()
    same = grain > 0
    for axis in range(3):
        for step in (-2, -1, 1, 2):
            same &= np.roll(grain, step, axis) == grain
    return same


def on_body(ds, name, k=1):
    """Values where the body's own grid lies in that of the series, and which of them are inside."""
    box = {dim: slice(-VOXEL * (n // 2) - 1, VOXEL * (n - 1 - n // 2) + 1) for dim, n in zip(DIMS, SHAPE, strict=True)}
    around = xr.DataArray(inside(ds, k), {dim: ds[dim] for dim in DIMS}, DIMS).sel(box).to_numpy()
    values = ds[name].isel(state=k).sel(box).to_numpy()
    return values, around & np.isfinite(values)
