"""Phase retrieval in place on the CPU: library transforms, and two fused passes between them.

:class:`InPlace` advances one start in arrays that are made once: a transform,
the modulus pass, the transform back, and the update pass

    rho <- p inside the support, a * rho + b * p outside,

with p the projection onto the data. Nothing is allocated between two checkpoints.
Partial coherence blurs the intensity by a pair of real transforms before the modulus pass;
of these the library returns its results in fresh arrays. The moves of
:mod:`xcdi.kernels.phasing.moves` are its definition.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import scipy.fft
from numba import njit

from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.engine import named
from xcdi.kernels.phasing.estimate import Estimate, Measured, Move

__all__ = ["InPlace"]

_FREE = np.float32(-1.0)  # target of a pixel that is not valid
_TINY = np.float32(1e-30)  # keeps 0/0 out of dark pixels
_OWN = np.float32(0.03)  # share of a pixel's coherent intensity that blurring leaves there at least: no ratio explodes
_BLOCK = 1024  # pixels whose errors are added in float32 before they join the float64 total


class InPlace:
    """One start in complex64 on the CPU, shape (z, y, x), advanced without allocating.

    Parameters
    ----------
    start : Estimate
    measured : Measured
    workers : int
        Threads of each transform; keep 1 where the starts themselves run in threads.
    """

    def __init__(self, start: Estimate, measured: Measured, *, workers: int = 1) -> None:
        shape = start.rho.shape
        self._rho = np.empty(shape, np.complex64)
        self._psi = np.empty(shape, np.complex64)
        self._support = np.empty(shape, bool)
        self._target = np.empty(shape, np.float32)
        self._blurred = np.empty(shape, np.float32)
        self._scratch = np.empty(shape, np.float32)
        self._residual = float("nan")
        self._workers = workers
        self.load(start)
        self.measure(measured)

    def measure(self, measured: Measured) -> None:
        """See :class:`Runner`."""
        self._measured = measured
        self._target[...] = np.where(measured.valid, measured.amplitude, _FREE)
        self._norm = math.sqrt(_energy(self._target.reshape(-1)))
        self._coherence = None if measured.coherence is None else np.asarray(measured.coherence, np.float32)
        self._background = np.asarray(measured.background, np.float32)
        self._coherent = self._coherence is None and not self._background.any()

    def run(self, move: str | Move, n: int, beta: float | None = None) -> None:
        """See :class:`Runner`."""
        pair = moves.outside(move, beta) if isinstance(move, str) else None
        if pair is not None:
            return self.step(n, *pair)
        step, estimate = named(move, beta), self.estimate()
        for _ in range(n):
            estimate = step(estimate, self._measured)
        return self.load(estimate)

    def step(self, n: int, a: float, b: float) -> None:
        """Do `n` iterations that keep ``a * rho + b * p`` outside the support."""
        transform = partial(scipy.fft.fftn, overwrite_x=True, workers=self._workers)
        back = partial(scipy.fft.ifftn, overwrite_x=True, workers=self._workers)
        target, support = self._target.reshape(-1), self._support.reshape(-1)
        rho = _floats(self._rho)
        keep, take = np.float32(a), np.float32(b)
        error = 0.0
        for _ in range(n):
            psi = transform(self._psi)
            error = _impose(_floats(psi), target) if self._coherent else _impose_mean(_floats(psi), target, self._expected(psi))
            self._psi = back(psi)
            _update(rho, _floats(self._psi), support, keep, take)
        if n:
            self._residual = math.sqrt(error) / self._norm

    def redraw(self, move: str, sigma: float, threshold: float, floor: int = 0) -> None:
        """See :class:`Runner`."""
        _modulus(_floats(self._rho), self._blurred.reshape(-1))
        self._blur(sigma)
        if move == "shrink_wrap":
            level = float(self._blurred.max())
        else:
            level = math.sqrt(_mean_square_inside(self._blurred.reshape(-1), self._support.reshape(-1)))
        limit = np.float32(threshold * level)
        if np.count_nonzero(self._blurred > limit) >= floor:
            np.greater(self._blurred, limit, out=self._support)

    def residual(self) -> float:
        """See :class:`Runner`."""
        return self._residual

    def estimate(self) -> Estimate:
        """See :class:`Runner`."""
        return Estimate(self._rho.copy(), self._support.copy(), self._residual)

    def load(self, estimate: Estimate) -> None:
        """See :class:`Runner`."""
        self._rho[...] = estimate.rho
        self._psi[...] = self._rho
        self._support[...] = estimate.support
        self._residual = float(estimate.residual)

    def _expected(self, psi: np.ndarray) -> np.ndarray:
        """Return the counts that the wave should give, as :func:`xcdi.kernels.phasing.estimate.expected` defines, flat."""
        mean = self._scratch.reshape(-1)
        _intensity(_floats(psi), mean)
        if self._coherence is not None:
            lags = scipy.fft.rfftn(self._scratch, workers=self._workers)
            lags *= self._coherence
            _blurred(mean, scipy.fft.irfftn(lags, s=psi.shape, overwrite_x=True, workers=self._workers).reshape(-1))
        self._scratch += self._background
        return mean

    def _blur(self, sigma: float) -> None:
        """Blur ``self._blurred`` in place, axis by axis, as :func:`moves.blur` defines."""
        z, y, x = self._blurred.shape
        source, out = self._blurred, self._scratch
        for view in ((1, z, y * x), (z, y, x)):
            _blur_lanes(source.reshape(view), out.reshape(view), *_taps(view[1], sigma))
            source, out = out, source
        _blur_rows(source.reshape(z * y, x), *_taps(x, sigma))


def _floats(a: np.ndarray) -> np.ndarray:
    """View complex64 as float32 pairs: the compiler vectorises these, and not complex numbers."""
    return a.reshape(-1).view(np.float32)


def _taps(n: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets and weights of the blur along an axis of `n` voxels."""
    weights = np.array(moves.gaussian_weights(n, sigma), np.float32)
    (taps,) = np.nonzero(weights)
    return np.where(taps <= n // 2, taps, taps - n), weights[taps]


_compile = partial(njit, cache=True, nogil=True, fastmath=True, error_model="numpy")


@_compile()
def _impose(psi, target):  # type: ignore[no-untyped-def]
    """Give the wave the measured modulus where there is one; return the squared error before that."""
    total = 0.0
    for start in range(0, target.size, _BLOCK):
        wanted, wave = target[start : start + _BLOCK], psi[2 * start : 2 * (start + _BLOCK)]
        error = np.float32(0.0)
        for i in range(wanted.size):
            re, im, goal = wave[2 * i], wave[2 * i + 1], wanted[i]
            modulus = np.sqrt(re * re + im * im + _TINY)
            known = goal >= np.float32(0.0)
            miss = modulus - goal if known else np.float32(0.0)
            ratio = goal / modulus if known else np.float32(1.0)
            error += miss * miss
            wave[2 * i], wave[2 * i + 1] = re * ratio, im * ratio
        total += error
    return total


@_compile()
def _intensity(psi, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = psi[2 * i] * psi[2 * i] + psi[2 * i + 1] * psi[2 * i + 1]


@_compile()
def _blurred(mean, blurred):  # type: ignore[no-untyped-def]
    """Replace the intensity by what blurring leaves of it, and no less than its share in place."""
    for i in range(mean.size):
        mean[i] = max(blurred[i], _OWN * mean[i])


@_compile()
def _impose_mean(psi, target, mean):  # type: ignore[no-untyped-def]
    """Give the wave the measured over the expected modulus as a factor; return the squared error before that."""
    total = 0.0
    for start in range(0, target.size, _BLOCK):
        wanted, wave, counts = target[start : start + _BLOCK], psi[2 * start : 2 * (start + _BLOCK)], mean[start : start + _BLOCK]
        error = np.float32(0.0)
        for i in range(wanted.size):
            goal = wanted[i]
            modulus = np.sqrt(counts[i] + _TINY)
            known = goal >= np.float32(0.0)
            miss = modulus - goal if known else np.float32(0.0)
            ratio = goal / modulus if known else np.float32(1.0)
            error += miss * miss
            wave[2 * i], wave[2 * i + 1] = wave[2 * i] * ratio, wave[2 * i + 1] * ratio
        total += error
    return total


@_compile()
def _update(rho, p, support, a, b):  # type: ignore[no-untyped-def]
    """Take p inside the support, a * rho + b * p outside; leave it in both arrays."""
    for i in range(support.size):
        inside, re, im = support[i], p[2 * i], p[2 * i + 1]
        re_out, im_out = a * rho[2 * i] + b * re, a * rho[2 * i + 1] + b * im
        re, im = re if inside else re_out, im if inside else im_out
        rho[2 * i], rho[2 * i + 1], p[2 * i], p[2 * i + 1] = re, im, re, im


@_compile()
def _energy(target):  # type: ignore[no-untyped-def]
    total = 0.0
    for goal in target:
        total += goal * goal if goal > np.float32(0.0) else np.float32(0.0)
    return total


@_compile()
def _modulus(rho, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = np.sqrt(rho[2 * i] * rho[2 * i] + rho[2 * i + 1] * rho[2 * i + 1])


@_compile()
def _mean_square_inside(a, support):  # type: ignore[no-untyped-def]
    total, n = 0.0, 0
    for i in range(a.size):
        if support[i]:
            total += a[i] * a[i]
            n += 1
    return total / max(n, 1)


@_compile()
def _blur_lanes(source, out, offsets, weights):  # type: ignore[no-untyped-def]
    """Blur (b, n, lane) along n, periodic; the lanes are contiguous and go together."""
    n = source.shape[1]
    for b in range(source.shape[0]):
        for j in range(n):
            lanes = out[b, j]
            lanes[:] = np.float32(0.0)
            for t in range(offsets.size):
                other, weight = source[b, (j - offsets[t]) % n], weights[t]
                for k in range(lanes.size):
                    lanes[k] += weight * other[k]


@_compile()
def _blur_rows(a, offsets, weights):  # type: ignore[no-untyped-def]
    """Blur the rows of `a` in place, periodic."""
    n = a.shape[1]
    twice = np.empty(3 * n, np.float32)
    for row in range(a.shape[0]):
        lanes = a[row]
        for part in range(3):
            twice[part * n : (part + 1) * n] = lanes
        lanes[:] = np.float32(0.0)
        for t in range(offsets.size):
            other, weight = twice[n - offsets[t] : 2 * n - offsets[t]], weights[t]
            for k in range(n):
                lanes[k] += weight * other[k]
