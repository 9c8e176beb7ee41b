"""Statistical speckle: counts whose two-time correlation is known exactly, without any object behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xcdi.artificial.choices import chosen, configured
from xcdi.artificial.streams import streams
from xcdi.artificial.telling import Tell, silent
from xcdi.settings import Model

__all__ = ["SIZES", "SPECKLE_VARIANTS", "Movie", "Speckle", "coherence", "draw", "speckle", "write_speckle"]

FLOOR = 1e-9  # added to the diagonal: a frozen pattern has a singular correlation matrix


class Speckle(Model):
    """What a speckle movie is made of; the defaults are the profile `std`."""

    frames: int = Field(500, gt=0)
    pixels: tuple[int, int] = Field((40, 50), description="rows, columns; every pixel is a speckle of its own")
    frame_time_s: float = Field(0.5, gt=0)
    relaxation_s: float = Field(25.0, gt=0, description="relaxation time of the field")
    exponent: float = Field(1.5, gt=0, le=2, description="stretching (< 1) or compression (> 1) of the relaxation")
    plateau: float = Field(0.0, ge=0, le=1, description="part of the field that never changes")
    ageing_per_s: float = Field(0.0, ge=0, description="c of the clock ln(1 + c t) / c; 0 for the clock t")
    modes: int = Field(4, gt=0, description="the contrast is one over this")
    mean_count: float = Field(0.3, gt=0)
    events: tuple[tuple[int, float], ...] = Field((), description="first frame after each event, and the factor on the coherence")


SIZES: dict[str, dict[str, Any]] = {
    "pico": {"frames": 60, "pixels": (13, 17), "relaxation_s": 5.0},
    "nano": {"frames": 200, "pixels": (32, 40), "relaxation_s": 15.0},
    "std": {},
    "full": {"frames": 2000, "pixels": (100, 100), "relaxation_s": 100.0},
}
SPECKLE_VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "plateau": {"plateau": 0.5},
    "still": {"plateau": 1.0},
    "ageing": {"ageing_per_s": 0.2},
    "event": {"events": ((20, 0.7),)},
    "events": {"events": ((20, 0.7), (40, 0.0))},
    "dim": {"mean_count": 0.05},
    "coherent": {"modes": 1},
    "low-contrast": {"modes": 10},
}


class Movie(NamedTuple):
    """Counts (frame, row, column), the time of each frame [s], and the true two-time correlation (frame, frame)."""

    counts: NDArray[np.uint32]
    time: NDArray[np.float64]
    two_time: NDArray[np.float64]


def speckle(name: str, variant: str = "", **options: Any) -> Speckle:
    """Return the speckle profile called `name`, with variants, and with single values replaced by `options`.

    Raises
    ------
    XcdiError
        If there is no such profile, variant or option, or a value does not fit.

    Examples
    --------
    >>> speckle("pico", "dim,plateau", modes=2).mean_count
    0.05
    """
    return configured(Speckle, SIZES, name, chosen(SPECKLE_VARIANTS, variant) | options)


def coherence(s: Speckle) -> NDArray[np.float64]:
    r"""Correlation of the field between all frames, shape (frame, frame).

    .. math:: K = \left[f + (1 - f)\, e^{-(|s_1 - s_2| / \tau)^\gamma}\right] \prod_k r_k

    with the product over events between the two frames. It is positive
    definite for exponents up to 2, so a field with this correlation exists.

    Examples
    --------
    >>> coherence(Speckle(frames=3, relaxation_s=1, frame_time_s=1, exponent=1, events=((2, 0.5),))).round(3)
    array([[1.   , 0.368, 0.068],
           [0.368, 1.   , 0.184],
           [0.068, 0.184, 1.   ]])
    """
    time = np.arange(s.frames) * s.frame_time_s
    clock = np.log1p(s.ageing_per_s * time) / s.ageing_per_s if s.ageing_per_s else time
    decay = np.exp(-((np.abs(np.subtract.outer(clock, clock)) / s.relaxation_s) ** s.exponent))
    kept = s.plateau + (1 - s.plateau) * decay
    for frame, left in s.events:
        after = np.arange(s.frames) >= frame
        kept = kept * np.where(np.not_equal.outer(after, after), left, 1.0)
    return kept


def draw(s: Speckle, seed: int) -> Movie:
    r"""Draw a speckle movie with ``C = 1 + K^2 / modes`` (Siegert relation).

    Every mode is a complex Gaussian field; intensities of the modes add, and
    photons are Poisson (Goodman, Speckle Phenomena in Optics, 2007, chapters 3 and 4).
    """
    rng = streams(seed)
    field = coherence(s)
    root = np.linalg.cholesky(field + FLOOR * np.eye(s.frames))
    count = int(np.prod(s.pixels))
    intensity = np.zeros((s.frames, count))
    for _ in range(2 * s.modes):  # real and imaginary parts
        intensity += (root @ rng["speckle"].standard_normal((s.frames, count))) ** 2 / (2 * s.modes)
    counts = rng["speckle_counts"].poisson(s.mean_count * intensity).astype(np.uint32)
    return Movie(counts.reshape(s.frames, *s.pixels), np.arange(s.frames, dtype=np.float64) * s.frame_time_s, 1 + field**2 / s.modes)


def write_speckle(folder: Path, profile: str, seed: int, options: dict[str, Any], variant: str, *, tell: Tell = silent) -> None:
    """Write ``speckle_series.h5`` (a plain stack of frames) and ``truth.h5`` into `folder`."""
    s = speckle(profile, variant, **options)
    movie = draw(s, seed)
    tell("frames of speckle", s.frames, s.frames)
    with h5py.File(folder / "speckle_series.h5", "w") as file:
        file.create_dataset("entry/data/counts", data=movie.counts, chunks=(1, *s.pixels), compression="gzip")
        file.create_dataset("entry/data/time", data=movie.time)
        file["entry/data/counts"].attrs["units"], file["entry/data/time"].attrs["units"] = "1", "s"
    with h5py.File(folder / "truth.h5", "w") as file:
        file.create_dataset("two_time", data=movie.two_time, compression="gzip", shuffle=True)
        file.create_dataset("coherence", data=coherence(s), compression="gzip", shuffle=True)
        file["seed"], file["config"] = seed, json.dumps({"suite": "speckle", **s.model_dump(mode="json")})
        for name, value, units in (
            ("relaxation", s.relaxation_s, "s"),
            ("exponent", s.exponent, "1"),
            ("contrast", 1 / s.modes, "1"),
            ("plateau", s.plateau, "1"),
            ("mean_count", s.mean_count, "1"),
            ("frame_time", s.frame_time_s, "s"),
        ):
            file[name] = value
            file[name].attrs["units"] = units
