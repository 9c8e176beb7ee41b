"""How near an object is to the truth, and how well it fits: the same few lines for every engine."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from xcdi.kernels.fourier import uncentre
from xcdi.kernels.phasing import likelihood
from xcdi.kernels.phasing.alignment import align, overlap
from xcdi.kernels.phasing.estimate import Measured
from xcdi.kernels.phasing.quality import chi

__all__ = ["SOLVED", "against", "agreement", "measured_of", "misfits", "scaled"]

SOLVED = 0.95


def measured_of(problem: dict[str, np.ndarray]) -> Measured:
    """Return the data of a problem with the origin at index 0."""
    valid = uncentre(problem["valid"])
    return Measured(uncentre(np.sqrt(np.where(problem["valid"], problem["counts"], 0)).astype(np.float32)), valid)


def against(rho: np.ndarray, truth: np.ndarray) -> float:
    """Return the overlap with the truth once twin, shift and phase are undone; 0 for a run that was lost."""
    good = np.isfinite(rho).all() and rho.any()
    return overlap(align(rho, truth), truth) if good else 0.0


def agreement(rhos: list[np.ndarray]) -> list[float]:
    """Return the overlap of every pair."""
    return [overlap(align(a, b), b) for a, b in combinations(rhos, 2)]


def scaled(rho: np.ndarray, measured: Measured) -> np.ndarray:
    """Return `rho`, uncentred, at the scale that fits the amplitudes best: every engine has its own."""
    rho = uncentre(rho)
    modulus = np.abs(np.fft.fftn(rho))[measured.valid].astype(np.float64)
    return rho * np.float32(np.vdot(modulus, measured.amplitude[measured.valid]) / np.vdot(modulus, modulus))


def misfits(rho: np.ndarray, measured: Measured, held: np.ndarray) -> tuple[float, float, float]:
    """Return chi over the pixels fitted, and the half deviance per pixel there and over those held out."""
    fitted = likelihood.without(measured, held)
    rho = scaled(rho, fitted)
    inside = likelihood.deviance(rho, measured, fitted.valid)
    return chi(rho, fitted), float(inside), float(likelihood.deviance(rho, measured, held))
