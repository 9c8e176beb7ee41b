"""Measures that need no files: reciprocal space, the transform to the laboratory, and the far field summed scatterer by scatterer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xcdi.artificial import distorted_peaks, particle, profiles, scattering
from xcdi.artificial.instrument import Sampling, sampling
from xcdi.kernels import geometry as kernel
from xcdi.kernels import kinematics as measured
from xcdi.kernels.resampling import resample

__all__ = ["forward", "geometry", "kinematics", "round_trip"]

GOLD = 2 * np.pi / 0.2355
ROUNDED = 0.005  # nm
EXTENT = 7.0  # widths of the Gaussian that the sheared grid holds on either side
FRAMES = 12  # before the distortion, and again after it
REGISTERED_PX = 0.02
SUPERLATTICE = 2 * np.pi * np.sqrt(3) / (np.sqrt(2) * 5.6)


class Setup(NamedTuple):
    """A line of the table of reference values: what is set up, and what must come out."""

    name: str
    q: float  # 1/nm
    distance_m: float
    step_deg: float
    shape: tuple[int, int, int]  # columns, rows, angles, as the table has them
    arm: bool  # whether the detector stands perpendicular to the exit beam
    steps: tuple[float, float, float]  # of a column, a row, an angle [1/nm]
    angles: tuple[float, float, float]  # between 1 and 2, 1 and 3, 2 and 3 [deg]
    voxels: tuple[float, float, float]  # nm


TABLE = (
    Setup(
        "superlattice, 2.5 m",
        SUPERLATTICE,
        2.5,
        0.04,
        (128, 128, 96),
        False,
        (1.4659e-3, 1.4665e-3, 9.5937e-4),
        (90.0, 90.825, 90.0),
        (33.49, 33.47, 68.23),
    ),
    Setup(
        "superlattice, 5 m",
        SUPERLATTICE,
        5.0,
        0.03,
        (256, 256, 128),
        False,
        (7.3297e-4, 7.3326e-4, 7.1953e-4),
        (90.0, 90.820, 90.0),
        (33.49, 33.47, 68.23),
    ),
    Setup(
        "atomic gold",
        GOLD,
        1.5,
        0.01,
        (128, 128, 96),
        True,
        (2.4452e-3, 2.4452e-3, 4.6566e-3),
        (90.0, 105.835, 90.0),
        (20.87, 20.08, 14.61),
    ),
)


def basis(setup: Setup) -> kernel.QBasis:
    """Return the steps of frame, row and column of a line of the table, by the kernels of xcdi."""
    wavelength = kernel.wavelength(9.65)
    two_theta = 2 * np.arcsin(setup.q * wavelength / (4 * np.pi))
    away = setup.distance_m / 75e-6 * np.tan(two_theta)
    camera = kernel.Camera(
        centre_px=(0.0, 0.0 if setup.arm else -away),
        distance=setup.distance_m,
        pixel=(75e-6, 75e-6),
        rows="y+",
        circles=(("y+", two_theta),) if setup.arm else (),
    )
    return kernel.q_basis(camera, (0.0, 0.0), kernel.Rocking("y+", np.deg2rad(setup.step_deg)), wavelength=wavelength)


def geometry(bench: Any) -> dict[str, Any]:
    """Compare lengths, angles and voxels with the reference values; the voxels' are rounded to 0.01 nm, which is taken off."""
    lengths, angles, voxels = [], [], []
    for setup in TABLE:
        steps = basis(setup).steps[:, ::-1]  # column, row, angle
        lengths.append([np.linalg.norm(step) / wanted - 1 for step, wanted in zip(steps.T, setup.steps, strict=True)])
        unit = steps / np.linalg.norm(steps, axis=0)
        between = [np.degrees(np.arccos(unit[:, a] @ unit[:, b])) for a, b in ((0, 1), (0, 2), (1, 2))]
        angles.append([abs(found - wanted) for found, wanted in zip(between, setup.angles, strict=True)])
        sizes = kernel.voxel_lengths(kernel.voxel_basis(steps, setup.shape))
        voxels.append([max(abs(size - wanted) - ROUNDED, 0) / wanted for size, wanted in zip(sizes, setup.voxels, strict=True)])
    return {"lengths": np.array(lengths), "angles_deg": np.array(angles), "voxels": np.array(voxels)}


def round_trip(bench: Any) -> dict[str, Any]:
    """Draw a smooth object on the sheared grid of each line, bring it to the laboratory, and bring that back."""
    there, back = zip(*(_trip(setup) for setup in TABLE), strict=True)
    return {"lab": there, "back": back}


def _trip(setup: Setup) -> tuple[float, float]:
    """Largest error over the largest value, of the object in the laboratory and back in the frame of the data."""
    sheared = kernel.voxel_basis(basis(setup).steps, setup.shape[::-1])[:, ::-1]  # angle, row, column
    lengths = kernel.voxel_lengths(sheared)
    width, edge = 2.5 * float(lengths.max()), float(lengths.min())  # no frequency near the edge of the band

    def field(place: np.ndarray) -> np.ndarray:
        return np.exp(-(place**2).sum(axis=-1) / (2 * width**2) + 0.7j * place @ np.array([1.0, -0.6, 0.8]) / width)

    def half(steps: np.ndarray, widths: float) -> tuple[int, ...]:
        return tuple(2 * int(np.ceil(widths * width / step)) for step in kernel.voxel_lengths(steps))

    upright = kernel.lab_basis(edge)
    inner = half(upright, 2.0)
    there = resample(field(_places(half(sheared, EXTENT), sheared)), sheared, voxel=edge, shape=inner)
    back_shape = half(sheared, 1.5)
    back = resample(field(_places(half(upright, EXTENT), upright)), upright, voxel=sheared, shape=back_shape)
    return (
        float(np.abs(there - field(_places(inner, upright))).max()),
        float(np.abs(back - field(_places(back_shape, sheared))).max()),
    )


def _places(shape: tuple[int, ...], steps: np.ndarray) -> np.ndarray:
    return (np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) // 2) @ steps.T


def forward(bench: Any) -> dict[str, Any]:
    """Sum 500 scatterers of a lattice, each displaced along G, one by one, and compare intensities with the simulation's."""
    p = profiles.profile("nano")
    s = Sampling(np.array([p.q_peak, 0.0, 0.0]), sampling(p).steps, (7, 11, 11), step=np.deg2rad(p.angle_step_deg))
    rng = np.random.default_rng(bench.seed)
    spacing = 2 * np.pi / p.q_peak
    moved = 0.9 * np.sin(np.arange(10.0) + bench.seed)  # nm, a fifth of the spacing: not small
    axes = particle.Axes(np.arange(10) * 5 * spacing + moved, np.arange(5) * 31.0, np.arange(10) * 37.0)
    weight = rng.random((10, 5, 10))
    field = scattering.rocking_amplitude(weight * np.exp(-1j * p.q_peak * moved), axes, s, 11)
    index = np.stack(np.meshgrid(np.arange(7) - 3, np.arange(11) - 5, np.arange(11) - 5, indexing="ij"), axis=-1)
    direct = np.exp(-1j * (s.peak + index @ s.steps.T) @ axes.points().reshape(-1, 3).T) @ weight.ravel()
    there, wanted = np.abs(field) ** 2, np.abs(direct) ** 2
    return {"error": float(np.abs(there - wanted).max() / wanted.max()), "scatterers": int(weight.size)}


def kinematics(bench: Any) -> dict[str, Any]:
    """Distort a particle evenly, and compare the displacement gradient that the shifts of two peaks tell with the known one."""
    p = profiles.profile("nano", reflections=((1, 1, 1), (1, 1, -1)), events=False)
    found = measured.distortion_of_patterns(distorted_peaks.pairs(p, bench.seed, FRAMES), error_px=REGISTERED_PX)
    return {"error": np.abs(found.matrix - distorted_peaks.KNOWN).ravel(), "stated": found.error.ravel()}
