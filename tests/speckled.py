"""Photons of statistical speckle whose correlation is known, for the tests of correlations."""

import itertools

import numpy as np

from xcdi.kernels.correlation import normalise

TIMES, PIXELS, MODES, TAU, EXPONENT, MEAN = 200, 2000, 4, 20.0, 1.5, 0.3


def speckle(seed, *, times=TIMES, pixels=PIXELS, tau=TAU, mean=MEAN, frozen=0.0):
    """Photons of statistical speckle and the exact two-time correlation behind them."""
    rng = np.random.default_rng(seed)
    t = np.arange(times)
    field = frozen + (1 - frozen) * np.exp(-((np.abs(t[:, None] - t) / tau) ** EXPONENT))
    root = np.linalg.cholesky(field + 1e-9 * np.eye(times))
    intensity = np.zeros((times, pixels))
    for _ in range(MODES):
        wave = rng.standard_normal((times, pixels)) + 1j * rng.standard_normal((times, pixels))
        intensity += np.abs(root @ wave) ** 2 / (2 * MODES)
    return rng.poisson(mean * intensity).astype(np.uint16), 1 + field**2 / MODES


def even(pixels):
    """Weights of the plain mean of each frame."""
    return normalise.Weights(np.ones(pixels), np.ones(pixels), float(pixels), float(pixels))


def flat(counts, crossover=2.0):
    """Weights of pixels that all expect the same."""
    return normalise.noise_weights(np.full(counts.shape[1], counts.mean()), crossover=crossover)


def binned(a, edges):
    """Means over bins of the last axis."""
    return np.stack([a[..., i:j].mean(axis=-1) for i, j in itertools.pairwise(edges)], axis=-1)
