"""Counts that do not come from the crystal, as a term of the model; they are never subtracted from the data."""

from __future__ import annotations

import numpy as np

from xcdi.backend import to_device
from xcdi.kernels.fourier import centre
from xcdi.kernels.phasing.estimate import Measured

__all__ = ["constant", "dim"]

FAR = 0.6  # of the half length of the box: nearer to the peak no block is asked
SURE = 3.0  # standard errors that a background must stand above 0
BLOCK = 4  # pixels along each edge of the blocks that are compared
FEWEST = 20  # blocks that a shell needs
TAIL = 4.0  # power of the distance that scattering falls off with


def constant(measured: Measured, *, number: int = 8) -> float:
    r"""Estimate a constant background [counts per pixel], for `Measured.background`; 0 where the data support none.

    Parameters
    ----------
    measured : Measured
        Shape (z, y, x), origin at index 0, the peak somewhere in the middle.
    number : int
        Shells far from the peak that are compared; each counts by its dim blocks, see :func:`dim`.

    Returns
    -------
    float
        b of :math:`b + c\,r^{-4}`, :math:`c \ge 0`, fitted to the shells: light of the crystal between its
        streaks dies off with the distance (Porod's law), a background does not.

    Notes
    -----
    What the crystal scatters evenly and without falling off cannot be told from a background.
    Source: Porod, Kolloid-Z. 124, 83 (1951), doi 10.1007/BF01512792.
    """
    radius, mean, error = dim(measured, number=number)
    if radius.size < 3:
        return 0.0
    design = np.stack([np.ones_like(radius), radius**-TAIL], axis=1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    level, falling = covariance @ design.T @ (mean / error)
    spread = np.sqrt(covariance[0, 0])
    if falling < 0:  # nothing of the crystal is left so far out
        level, falling, spread = np.average(mean, weights=error**-2), 0.0, np.sum(error**-2) ** -0.5
    scatter = np.sqrt(np.mean(((mean - level - falling * radius**-TAIL) / error) ** 2))
    return float(level) if level > SURE * spread * max(scatter, 1.0) else 0.0


def dim(measured: Measured, *, number: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distance, mean count and its standard error of the dim blocks of shells far from the peak.

    Blocks of 4 x 4 x 4 pixels are left out, again and again, while they are above the mean of their shell by
    more than 3 standard deviations of photons: streaks and speckle are few and bright. The distance is in
    half lengths of the box, so that every direction reaches as far.
    """
    valid, amplitude = (centre(np.asarray(to_device(a, "cpu"))) for a in (measured.valid, measured.amplitude))
    counts = np.where(valid, amplitude, 0.0).astype(np.float64) ** 2
    radius = _radius(valid.shape, np.unravel_index(counts.argmax(), valid.shape))
    pixels, total, middle = (_blocks(a) for a in (valid.astype(float), counts, radius))
    asked = (pixels >= BLOCK**3 / 2) & (middle > FAR * BLOCK**3)
    pixels, total, middle = pixels[asked], total[asked], middle[asked] / BLOCK**3
    parts = np.array_split(np.argsort(middle), max(min(number, middle.size // FEWEST), 1))
    found = [(middle[part].mean(), *_clipped(total[part], pixels[part])) for part in parts if part.size >= FEWEST]
    radii, means, errors = np.array(found).reshape(-1, 3).T
    return radii, means, errors


def _clipped(total: np.ndarray, pixels: np.ndarray) -> tuple[float, float]:
    """Return mean count per pixel and its error from the blocks that stand out by no more than photons do."""
    kept = np.ones(total.shape, bool)
    while True:
        level = max(total[kept].sum(), 1.0) / pixels[kept].sum()
        still = total <= level * pixels + SURE * np.sqrt(level * pixels)
        still &= kept
        if still.sum() == kept.sum() or not still.any():
            return float(total[kept].sum() / pixels[kept].sum()), float(np.sqrt(level / pixels[kept].sum()))
        kept = still


def _blocks(a: np.ndarray) -> np.ndarray:
    """Return sums over blocks, flat; what does not fill one is left out."""
    z, y, x = (n // BLOCK for n in a.shape)
    whole = a[: z * BLOCK, : y * BLOCK, : x * BLOCK]
    return np.asarray(whole.reshape(z, BLOCK, y, BLOCK, x, BLOCK).sum(axis=(1, 3, 5))).reshape(-1)


def _radius(shape: tuple[int, ...], peak: tuple[np.intp, ...]) -> np.ndarray:
    """Return the distance of every pixel from the peak in half lengths of the array."""
    square = np.zeros(shape)
    for axis, (n, middle) in enumerate(zip(shape, peak, strict=True)):
        square += np.expand_dims((2.0 * (np.arange(n) - float(middle)) / n) ** 2, tuple(other for other in range(3) if other != axis))
    return np.sqrt(square)
