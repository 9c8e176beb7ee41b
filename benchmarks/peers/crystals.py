"""Two crystals with a known answer, and the counts they give: an easy one, and one with a dislocation and a boundary."""

from __future__ import annotations

import numpy as np

__all__ = ["crossed", "crystal", "problem"]

FACETS = ((1, 0, 0, 1.0), (-1, 0, 0, 0.9), (0, 1, 0, 0.85), (0, -1, 0, 1.0), (0, 0, 1, 0.95), (0, 0, -1, 1.0))
CORNERS = ((1, 1, 1, 0.95), (1, -1, 1, 1.15), (-1, 1, 1, 1.05), (1, 1, -1, 1.2), (-1, -1, -1, 1.0), (-1, 1, -1, 1.25))


def crystal(edge: int, *, hard: bool) -> np.ndarray:
    """Return a facetted crystal of about a third of the array, complex64, its middle at n // 2.

    Its phase is smooth, 3.4 rad from lowest to highest; `hard` adds a screw dislocation along z
    and a step of 2 rad across a plane.
    """
    z, y, x = np.meshgrid(*[(np.arange(edge) - edge // 2) / (edge / 6)] * 3, indexing="ij")
    inside = np.ones((edge,) * 3, bool)
    for a, b, c, distance in (*FACETS, *CORNERS):
        inside &= a * z + b * y + c * x < distance * np.sqrt(a * a + b * b + c * c)
    phase = 0.9 * z * y + 0.7 * np.sin(1.5 * x + 0.4) - 0.5 * y**2 + 0.4 * z
    phase *= 3.4 / np.ptp(phase[inside])
    if hard:
        phase = phase + np.arctan2(y - 0.13, x + 0.21) + 2.0 * (0.6 * z + 0.8 * y > 0.31)
    return np.where(inside, np.exp(1j * phase), 0).astype(np.complex64)


def problem(truth: np.ndarray, photons: float, seed: int) -> dict[str, np.ndarray]:
    """Return counts of so many photons, all valid; the true support grown by a voxel, and a random start in it."""
    rng = np.random.default_rng(seed)
    mean = np.abs(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(truth)))) ** 2
    counts = rng.poisson(mean * (photons / mean.sum())).astype(np.float32)
    support = _grown(truth != 0)
    start = np.where(support, np.exp(2j * np.pi * rng.random(truth.shape)), 0) * np.sqrt(counts.sum() / counts.size / support.sum())
    return {"counts": counts, "valid": np.ones(truth.shape, bool), "support": support, "start": start.astype(np.complex64)}


def crossed(problem: dict[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
    """Return the same data behind a cross of missing rows and columns through the peak, in every frame."""
    n = problem["counts"].shape[1]
    bar = slice(n // 2 - width // 2, n // 2 - width // 2 + width)
    valid = problem["valid"].copy()
    valid[:, bar, :] = valid[:, :, bar] = False
    return {**problem, "valid": valid, "counts": np.where(valid, problem["counts"], 0)}


def _grown(inside: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce([inside, *(np.roll(inside, step, axis) for axis in range(3) for step in (-1, 1))])
