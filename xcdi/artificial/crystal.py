"""Crystal: a rocking scan of one faceted gold nanocrystal at atomic scattering angles, where the measured grid is strongly sheared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from xcdi.artificial import goniometer, oblique
from xcdi.artificial.choices import chosen, configured
from xcdi.artificial.dislocations import BURGERS
from xcdi.artificial.goniometer import Camera, Pose
from xcdi.artificial.instrument import HC_KEV_NM, Sampling
from xcdi.artificial.particle import Axes
from xcdi.artificial.scattering import blur, far_field
from xcdi.artificial.shapes import shape_function
from xcdi.artificial.streams import streams
from xcdi.artificial.telling import Tell, silent
from xcdi.artificial.writing import put, write_field, write_sampling
from xcdi.errors import XcdiError
from xcdi.settings import Model

__all__ = ["SIZES", "VARIANTS", "Crystal", "Grown", "Setting", "crystal", "far_fields", "grow", "setting", "simulate_crystal"]

Grid = NDArray[Any]

BEAM_COUNTS = 1e6  # of the monitor in a frame
FAINT = 1e-3  # amplitude that counts as nothing
CORNER = 0.625  # distance of the outermost corner of the truncated octahedron, per size


class Crystal(Model):
    """What the scan of a crystal is made of; the defaults are the profile `nano`."""

    # instrument
    energy_kev: float = Field(9.65, gt=0)
    distance_m: float = Field(0.75, gt=0)
    pixel_m: float = Field(75e-6, gt=0)
    detector: tuple[int, int] = Field((64, 64), description="rows, columns; G falls on n // 2 of both")
    peak_px: tuple[float, float] = Field((0.0, 0.0), description="row, column of G as seen from the axis of the arm")
    rocking: Literal["theta", "chi", "phi"] = Field("theta", description="circle that is rocked")
    chi_deg: float = Field(0.0, description="circle chi in the middle of the scan; theta is found")
    phi_deg: float = 0.0
    angles: int = Field(64, gt=7)
    angle_step_deg: float = Field(0.0105, gt=0)
    curved: bool = Field(False, description="pixels and angles at their exact q, not on the tangents")
    frame_time_s: float = Field(1.0, gt=0)
    photons: float = Field(1e7, gt=0, description="on the detector, over the whole scan")
    blur_px: float = Field(0.2, ge=0, description="partial coherence as a Gaussian blur of the intensity")
    background: float = Field(0.002, ge=0, description="stray counts per pixel and frame")
    monitor_noise: float = Field(0.02, ge=0, description="relative sd of the beam intensity from frame to frame")

    # crystal
    lattice_nm: float = Field(0.40782, gt=0, description="edge of the cubic cell: gold at 293 K")
    hkl: tuple[int, int, int] = (1, 1, 1)
    mounting_deg: tuple[float, float, float] = Field((20.0, 0.0, 0.0), description="turns about x, y, z of a crystal whose hkl lay along x")
    size_nm: float = Field(400.0, gt=0, description="between opposite {100} facets of the truncated octahedron")
    foot: float = Field(0.3, gt=0, description="distance of the middle from the substrate, which lies across G, per size")
    voxel_nm: float = Field(10.0, gt=0, description="grid that the crystal is drawn on")
    edge_nm: float = Field(20.0, gt=0, description="width of its soft surface")
    strain: float = Field(3e-4, ge=0, description="sd of the smooth strain along G; its mean and the mean tilts are 0")
    correlation_nm: float = Field(100.0, gt=0, description="sd of the Gaussian that smooths the displacement")
    tension: float = Field(0.0, description="uniform strain along G, relative to the lattice of lattice_nm")
    screws: int = Field(0, ge=0, description="screw dislocations with G.b = 2 pi")


SIZES: dict[str, dict[str, Any]] = {
    "pico": {"detector": (48, 48), "distance_m": 0.5, "angles": 48, "angle_step_deg": 0.016, "size_nm": 280.0, "correlation_nm": 70.0},
    "nano": {},
    "std": {
        "detector": (128, 128),
        "distance_m": 1.5,
        "angles": 128,
        "angle_step_deg": 0.0053,
        "size_nm": 700.0,
        "voxel_nm": 12.5,
        "correlation_nm": 170.0,
    },
    "full": {
        "detector": (160, 160),
        "distance_m": 1.5,
        "angles": 160,
        "angle_step_deg": 0.0053,
        "size_nm": 700.0,
        "edge_nm": 16.0,
        "correlation_nm": 170.0,
        "photons": 1e8,
    },
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "screw": {"screws": 1},
    "tension": {"tension": 1e-3},
    "inclined": {"mounting_deg": (20.0, 12.0, 35.0), "chi_deg": -20.0, "phi_deg": 12.0, "rocking": "phi", "peak_px": (5.0, -7.0)},
    "curved": {"curved": True},
}


class Setting(NamedTuple):
    """The crystal on the diffractometer, and the grid in q that its scan measures."""

    camera: Camera
    lattice: NDArray[np.float64]  # rotation from the cubic axes into the laboratory, in the middle of the scan
    pose: Pose
    sampling: Sampling


class Grown(NamedTuple):
    """The crystal in laboratory axes as it stands in the middle of the scan; arrays are (z, y, x), lengths nm."""

    axes: Axes
    amplitude: Grid
    displacement: Grid  # along G
    strain: Grid  # its derivative along G; 0 outside
    label: Grid  # 1 inside
    q_peak: float

    @property
    def rho(self) -> NDArray[np.complex128]:
        """The complex object ``A exp(-i G u)`` (Robinson and Harder, Nature Materials 8, 291 (2009))."""
        return self.amplitude * np.exp(-1j * self.q_peak * self.displacement)


def crystal(profile: str, variant: str = "", **options: Any) -> Crystal:
    """Return the profile with the variants, separated by commas, and single values replaced by `options`.

    Raises
    ------
    XcdiError
        If there is no such profile, variant or option, or a value does not fit.

    Examples
    --------
    >>> crystal("nano", "tension,screw").screws
    1
    """
    return configured(Crystal, SIZES, profile, chosen(VARIANTS, variant) | options)


def setting(c: Crystal) -> Setting:
    """Find the angles at which the crystal diffracts, and the grid in q that the scan measures there.

    Raises
    ------
    XcdiError
        If it diffracts at no angle, or the grid that it is drawn on is too coarse for that of q.
    """
    camera = Camera(2 * np.pi * c.energy_kev / HC_KEV_NM, c.distance_m, c.pixel_m, c.peak_px)
    x, y, z = (goniometer.turn(f"{axis}+", angle) for axis, angle in zip("xyz", c.mounting_deg, strict=True))
    resting = z @ y @ x @ _upright(c)
    at = goniometer.pose(camera, resting @ np.array(c.hkl) * (2 * np.pi / c.lattice_nm), {"chi": c.chi_deg, "phi": c.phi_deg})
    s = goniometer.sampling(camera, at, c.rocking, c.angle_step_deg, (c.angles, *c.detector))
    span = (np.abs(s.steps) @ s.shape).max()
    if span * c.voxel_nm > 2 * np.pi:
        raise XcdiError(f"this scan needs voxels below {2 * np.pi / span:.1f} nm, and voxel_nm is {c.voxel_nm:g}; choose smaller ones")
    return Setting(camera, at.sample @ resting, at, s)


def _upright(c: Crystal) -> NDArray[np.float64]:
    """Rotation from the cubic axes that brings hkl along x."""
    along = np.array(c.hkl, float) / np.linalg.norm(c.hkl)
    across = np.cross(along, np.eye(3)[abs(along).argmin()])
    across /= np.linalg.norm(across)
    return np.array([along, across, np.cross(along, across)])


def grow(c: Crystal, where: Setting, rng: np.random.Generator) -> Grown:
    """Draw the crystal: facets, a foot on the substrate, smooth strain without mean, uniform tension, dislocations."""
    half = int(np.ceil((CORNER * c.size_nm + 2 * c.edge_nm) / c.voxel_nm))
    line = np.arange(-half, half + 1, dtype=np.float64) * c.voxel_nm
    axes = Axes(line, line, line)
    points, along = axes.points(), where.pose.peak / np.linalg.norm(where.pose.peak)
    height = axes.dot(along)
    surface = np.maximum(shape_function(points @ where.lattice, (c.size_nm,) * 3), -height / (c.foot * c.size_nm))
    amplitude = 1 / (1 + np.exp((surface - 1) * c.size_nm / (0.7 * c.edge_nm)))
    amplitude[amplitude < FAINT] = 0
    inside = amplitude > 0.5
    u, strain = _smooth(c, axes, along, inside, rng)
    u, strain = u + c.tension * height, strain + c.tension
    for _ in range(c.screws):
        turned, slope, core = _screw(c, where, points, rng)
        u, strain, amplitude = u + turned, strain + slope, amplitude * core
    q_peak = float(np.linalg.norm(where.pose.peak))
    return Grown(axes, amplitude, u, np.where(inside, strain, 0.0), inside.astype(np.int16), q_peak)


def _smooth(c: Crystal, axes: Axes, along: Grid, inside: Grid, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Return a random displacement along G [nm] and its slope along G, both without their mean slopes."""
    sigma = c.correlation_nm / c.voxel_nm
    u = ndimage.gaussian_filter(rng.standard_normal(inside.shape), sigma, mode="wrap")
    slopes = np.gradient(u, c.voxel_nm)[::-1]
    mean = np.array([slope[inside].mean() for slope in slopes])
    strain = sum(part * (slope - m) for part, slope, m in zip(along, slopes, mean, strict=True))
    scale = c.strain / strain[inside].std()
    return scale * (u - axes.dot(mean)), scale * strain


def _screw(c: Crystal, where: Setting, points: Grid, rng: np.random.Generator) -> tuple[Grid, Grid, Grid]:
    """Return the displacement along G [nm] around a screw line, its slope along G, and the factor of its core on the amplitude.

    The line lies along its Burgers vector a/2 <110>; u is the angle about it times ``b / 2 pi`` (Hirth and
    Lothe, Theory of Dislocations, 1982, chapter 3).
    """
    whole = [b for b in BURGERS if np.dot(b, c.hkl) == 2]
    if not whole:
        raise XcdiError(f"no Burgers vector a/2 <110> has G.b = 2 pi for hkl {c.hkl}; leave screws at 0")
    line = where.lattice @ whole[rng.integers(len(whole))] / np.sqrt(2)
    away = points - rng.uniform(-0.15, 0.15, 3) * c.size_nm
    along = where.pose.peak / np.linalg.norm(where.pose.peak)
    one = np.cross(line, np.eye(3)[abs(line).argmin()])
    one /= np.linalg.norm(one)
    x, y = away @ one, away @ np.cross(line, one)
    square = np.maximum(x**2 + y**2, (c.voxel_nm / 2) ** 2)
    each = 1 / np.linalg.norm(where.pose.peak)  # G.b / 2 pi / G
    swirl = np.cross(line, away) @ along / square
    return each * np.arctan2(y, x), each * swirl, 1 - np.exp(-square / (0.6 * c.edge_nm) ** 2)


def far_fields(c: Crystal, where: Setting, axes: Axes, rho: Grid) -> Iterator[NDArray[np.complexfloating[Any, Any]]]:
    """Yield the far field (row, column) of each frame of the scan, on the sheared grid or, for a `curved` one, at the exact q."""
    rows, columns = (np.arange(n) - n // 2 for n in c.detector)
    for number in range(c.angles):
        beyond = number - c.angles // 2
        if c.curved:
            q = goniometer.exact_q(where.camera, where.pose, c.rocking, beyond * c.angle_step_deg, rows[:, None], columns)
            yield oblique.far_field(rho, axes, q)
        else:
            yield far_field(rho, axes, where.sampling, beyond * where.sampling.steps[:, 0], rows, columns)


def simulate_crystal(folder: Path, profile: str, seed: int, options: dict[str, Any], variant: str, *, tell: Tell = silent) -> None:
    """Write ``crystal.h5``, a plain stack of frames with its motors, and ``truth.h5`` into `folder`."""
    c = crystal(profile, variant, **options)
    where = setting(c)
    shaping, beaming, counting = streams(seed)["crystal"].spawn(3)
    grown = grow(c, where, shaping)
    fields = []
    for number, one in enumerate(far_fields(c, where, grown.axes, grown.rho.astype(np.complex64)), 1):
        fields.append(one)
        tell("angles of crystal", number, c.angles)
    field = np.stack(fields)
    intensity = blur(np.abs(field) ** 2, c.blur_px)
    scale = c.photons / intensity.sum()
    beam = 1 + c.monitor_noise * beaming.standard_normal(c.angles)
    counts = counting.poisson(intensity * scale * beam[:, None, None] + c.background).astype(np.uint32)
    _write_scan(folder / "crystal.h5", c, where, counts, beaming.poisson(BEAM_COUNTS * beam).astype(float))
    _write_truth(folder / "truth.h5", c, where, grown, field * np.sqrt(scale), seed)


def _write_scan(path: Path, c: Crystal, where: Setting, counts: NDArray[np.uint32], monitor: NDArray[np.float64]) -> None:
    centre = [n // 2 - offset for n, offset in zip(c.detector, c.peak_px, strict=True)]
    travel = (np.arange(c.angles) - c.angles // 2) * c.angle_step_deg
    with h5py.File(path, "w") as file:
        put(file, "entry/data/counts", counts, "1", chunks=(1, *c.detector), compression="gzip", compression_opts=1, shuffle=True)
        put(file, "entry/monitor/data", monitor, "counts")
        for name, value, units in (
            ("energy", c.energy_kev, "keV"),
            ("distance", c.distance_m, "m"),
            ("pixel_size", c.pixel_m, "m"),
            ("frame_time", c.frame_time_s, "s"),
            ("centre_row", centre[0], "px"),
            ("centre_column", centre[1], "px"),
        ):
            put(file, f"entry/instrument/{name}", value, units)
        for motor, angle in where.pose.angles.items():
            put(file, f"entry/motors/{motor}", angle + travel if motor == c.rocking else angle, "deg")


def _write_truth(path: Path, c: Crystal, where: Setting, grown: Grown, field: NDArray[np.complexfloating[Any, Any]], seed: int) -> None:
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    with h5py.File(path, "w") as file:
        file["seed"], file["config"] = seed, json.dumps({"suite": "crystal"} | c.model_dump(mode="json"))
        for name, values, units in (
            ("object", grown.rho.astype(np.complex64), "1"),
            ("amplitude", grown.amplitude.astype(np.float32), "1"),
            ("u", grown.displacement.astype(np.float32), "nm"),
            ("strain", grown.strain.astype(np.float32), "1"),
            ("label", grown.label, ""),
        ):
            put(file, name, values, units, **packed)
        for name, positions in grown.axes._asdict().items():
            put(file, f"axes/{name}", positions, "nm")
        write_field(file, field, (0, c.detector[0], 0, c.detector[1]), **packed)
        _write_geometry(file.create_group("geometry"), c, where)


def _write_geometry(group: h5py.Group, c: Crystal, where: Setting) -> None:
    write_sampling(group, where.sampling)
    spacing = c.lattice_nm / float(np.linalg.norm(c.hkl))
    for name, values, units in (
        ("lattice", where.lattice, "1"),
        ("reference_spacing", spacing, "nm"),
        ("mean_spacing", spacing / (1 - c.tension), "nm"),
        *((f"angles/{motor}", angle, "deg") for motor, angle in where.pose.angles.items()),
    ):
        put(group, name, values, units)
