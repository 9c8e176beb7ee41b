"""The last steps of a run: the object inside its support that makes the counts most probable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from xcdi.backend import Array, namespace
from xcdi.kernels.fourier import AXES, backward, forward
from xcdi.kernels.phasing.estimate import Estimate, Measured, expected, onto_data
from xcdi.kernels.phasing.likelihood import LEAST, misfit, without

__all__ = ["gradient", "maximise"]

PATIENCE = 8  # steps without a better held-out deviance after which it stops
SCORING = 2  # steps of Fisher scoring for the length of a step
HALVINGS = 6  # of a step that would raise the deviance, before it is not taken at all


def maximise(estimate: Estimate, measured: Measured, *, steps: int = 30, held: Array | None = None) -> Estimate:
    """Return the object in the support for which the measured counts are most probable, or a better one on the way there.

    Parameters
    ----------
    estimate : Estimate
        Shape (..., z, y, x), near the answer: the deviance has a minimum near every wrong object too.
        What it has outside its support is dropped.
    measured : Measured
        Its background and coherence are in the model; pixels that are not valid are not used.
    steps : int
        At most. Each is a transform and a transform back, with coherence three small convolutions more.
    held : bool array, shape (z, y, x), optional
        Pixels that are not fitted but decide: of all objects on the way, the one with the least deviance there
        is returned, and the search ends when :data:`PATIENCE` steps found no better one. `estimate` must not have
        been fitted to them before (:func:`~xcdi.kernels.phasing.likelihood.without`), or it seems the best itself.
        Without them, the last object is returned.

    Returns
    -------
    Estimate
        With the amplitude misfit of its own object. The Poisson deviance of the pixels fitted never rises from step to step.

    Notes
    -----
    Nonlinear conjugate gradients, Polak and Ribiere's with restart. The wave is linear in the length of the step, so
    the length costs no transform: it is found by Fisher scoring, and halved where the deviance would rise. A modulus
    with Poisson noise has the same curvature at every pixel that has counts, so the preconditioner is a number.
    Without early stop the object fits the noise, most of all in a loose support.
    Source: Thibault and Guizar-Sicairos, New J. Phys. 14, 063004 (2012), doi 10.1088/1367-2630/14/6/063004.
    """
    data = measured if held is None else without(measured, held)
    state = _begin(estimate, data)
    best, least, since = state.rho, None if held is None else misfit(state.mean, measured, held), 0
    for _ in range(steps):
        state = _step(state, estimate.support, data)
        if least is None:
            best = state.rho
            continue
        now = misfit(state.mean, measured, held)
        best, least, better = _better(best, least, state.rho, now)
        since = 0 if better else since + 1
        if since >= PATIENCE:
            break
    return replace(estimate, rho=best, residual=onto_data(best, measured)[1])


def gradient(rho: Array, measured: Measured) -> Array:
    r"""Return how fast the mean deviance over the valid pixels rises with the object.

    .. math:: 2\,\frac{\partial D}{\partial \rho^*} = \frac{2 N}{V} F^{-1}\left[\left((1 - n/m) * \hat\gamma\right) F\rho\right]

    with N pixels, V of them valid.

    Returns
    -------
    complex array, shape (..., z, y, x)
        Real and imaginary part are the derivatives by the real and the imaginary part of `rho`.
    """
    psi = forward(rho)
    return _slope(psi, expected(psi, measured), measured)


@dataclass(frozen=True)
class _State:
    """An object with its wave and expected counts, and where the last step went."""

    rho: Array
    psi: Array
    mean: Array
    deviance: Array | float
    slope: Array
    direction: Array


class _Line(NamedTuple):
    """Expected counts along a step of length t: start + 2 t cross + t**2 square."""

    start: Array
    cross: Array
    square: Array

    def at(self, t: Array) -> Array:
        """Counts expected there."""
        return self.start + (2 * self.cross + t * self.square) * t


def _begin(estimate: Estimate, data: Measured) -> _State:
    xp = namespace(estimate.rho)
    rho = xp.where(estimate.support, estimate.rho, 0.0)
    psi = forward(rho)
    mean = expected(psi, data)
    slope = xp.where(estimate.support, _slope(psi, mean, data), 0.0)
    return _State(rho, psi, mean, misfit(mean, data, data.valid), slope, -slope)


def _step(state: _State, support: Array, data: Measured) -> _State:
    """Go along the direction as far as the deviance falls, and choose the next direction."""
    xp = namespace(state.rho)
    wave = forward(state.direction)
    line = _line(state, wave, data)
    t = _length(line, state.deviance, data)
    rho, psi = state.rho + t * state.direction, state.psi + t * wave
    mean = expected(psi, data)  # not the line's: in float32 it loses what is left where a pixel went dark
    slope = xp.where(support, _slope(psi, mean, data), 0.0)
    turn = xp.clip(_dot(slope, slope - state.slope) / _guard(_dot(state.slope, state.slope)), min=0.0)
    direction = turn * state.direction - slope
    downhill = _dot(direction, slope) < 0
    return _State(rho, psi, mean, misfit(mean, data, data.valid), slope, xp.where(downhill, direction, -slope))


def _slope(psi: Array, mean: Array, data: Measured) -> Array:
    xp = namespace(psi)
    n = xp.where(data.valid, data.amplitude, 0.0) ** 2
    excess = xp.where(data.valid, 1 - n / xp.clip(mean, min=LEAST), 0.0)
    share = xp.sum(xp.astype(data.valid, excess.dtype)) / data.valid.size
    return backward(_blurred(excess, data) * psi) * (2 / share)


def _line(state: _State, wave: Array, data: Measured) -> _Line:
    xp = namespace(wave)
    cross = xp.real(wave) * xp.real(state.psi) + xp.imag(wave) * xp.imag(state.psi)
    return _Line(state.mean, _blurred(cross, data), _blurred(xp.real(wave) ** 2 + xp.imag(wave) ** 2, data))


def _length(line: _Line, deviance: Array | float, data: Measured) -> Array:
    """Return the length of the step, shape (..., 1, 1, 1): 0 where none was found that lowers the deviance."""
    xp = namespace(line.start)
    n = xp.where(data.valid, data.amplitude, 0.0) ** 2
    t = xp.zeros((*line.start.shape[:-3], 1, 1, 1), dtype=line.start.dtype)
    for _ in range(SCORING):
        mean = xp.clip(line.at(t), min=LEAST)
        rate = xp.where(data.valid, 2 * (line.cross + t * line.square), 0.0)
        t = t - _total(rate * (1 - n / mean)) / _guard(_total(rate**2 / mean))
    for _ in range(HALVINGS):
        falls = xp.reshape(xp.asarray(misfit(line.at(t), data, data.valid) <= deviance), t.shape)
        if xp.all(falls):
            return t
        t = xp.where(falls, t, t / 2)
    return xp.where(falls, t, xp.zeros_like(t))


def _better(best: Array, least: Array | float, rho: Array, now: Array | float) -> tuple[Array, Array, bool]:
    """Keep, start by start, the object with the lower deviance."""
    xp = namespace(rho)
    wins = xp.asarray(now) < xp.asarray(least)
    kept = xp.where(xp.reshape(wins, (*wins.shape, 1, 1, 1)), rho, best)
    return kept, xp.where(wins, xp.asarray(now), xp.asarray(least)), bool(xp.any(wins))


def _blurred(a: Array, data: Measured) -> Array:
    """Convolve real `a` with the blur of partial coherence, which is even and so its own adjoint."""
    if data.coherence is None:
        return a
    xp = namespace(a)
    return xp.fft.irfftn(xp.fft.rfftn(a, axes=AXES) * data.coherence, s=a.shape[-3:], axes=AXES)


def _dot(a: Array, b: Array) -> Array:
    xp = namespace(a)
    return _total(xp.real(a) * xp.real(b) + xp.imag(a) * xp.imag(b))


def _total(a: Array) -> Array:
    """Sum over the voxels in float64, start by start, as something that multiplies them."""
    xp = namespace(a)
    return xp.astype(xp.sum(a, axis=AXES, keepdims=True, dtype=xp.float64), a.dtype)


def _guard(a: Array) -> Array:
    """Keep a divisor off zero."""
    xp = namespace(a)
    return xp.clip(a, min=float(xp.finfo(a.dtype).smallest_normal))
