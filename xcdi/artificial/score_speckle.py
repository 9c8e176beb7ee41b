"""Judge of correlations: two-time matrix, contrast, plateau and relaxation beside the exact ones of simulated speckle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.verdict import Row, Truth, at_most, attribute, dataset, missing, of_stage, one_of

__all__ = ["chance", "noise", "rows"]

HOME = "entry/twotime"
MEAN, NOISE, SYMMETRY, CONTRAST, PLATEAU = 2e-3, 0.1, 1e-6, 0.05, 0.004
FORGOTTEN = 0.01  # part of its start to which a decay has fallen where only the plateau is left
MANY_PIXEL_FRAMES = 1e6  # from which the bar of the contrast holds
MANY_RELAXATIONS = 20_000.0  # pixels x frames / relaxation time of the profile `std`, for which the bars of the fit are made
BRIGHT = 0.3  # counts per pixel and frame from which a fit must be this good
FIT = {"relaxation time, relative": 0.06, "exponent": 0.12, "contrast of the fit": 0.012, "baseline": 0.004}
HEIGHTS = ("contrast of the fit", "baseline")  # their bars grow with the contrast from that of `std` on
USUAL_MODES = 4
DIM_FIT = {"relaxation time, relative": 0.10, "exponent": 0.4}


class Pair(NamedTuple):
    """Measured and true two-time correlation (time, time2), and what is needed to compare them.

    `unit` is what C - 1 is divided by: 1, or the contrast where C is a correlation coefficient (N4).
    """

    measured: NDArray[np.float64]
    true: NDArray[np.float64]
    normalisation: str
    pixels: int
    mean_count: float
    unit: float

    @property
    def apart(self) -> NDArray[np.bool_]:
        """Known elements off the diagonal."""
        return np.isfinite(self.measured) & ~np.eye(len(self.true), dtype=bool)


def noise(mean_count: float, contrast: float, pixels: int) -> float:
    r"""Standard deviation of an element of C between frames that share nothing but their envelope.

    .. math:: \sigma = \frac{1 / n + \beta}{\sqrt{N}}

    for frames divided by their own mean. With frames divided by a mean that is
    known beforehand it would be ``sqrt(((1/n + 1 + beta)^2 - 1) / N)``, which is larger:
    the fluctuation of the means is then in C as well.

    Examples
    --------
    >>> round(noise(0.3, 0.25, 2000), 4)
    0.0801
    """
    return float((1 / mean_count + contrast) / np.sqrt(pixels))


def chance(excess: float, mean_count: float, frames: int, pixels: int) -> float:
    """Standard deviation of the mean of C over many pairs of frames, if the mean of ``C - 1`` is `excess`.

    That mean is the variance over pixels of their time means, of which there are as many as pixels.
    """
    return float((excess + 1 / (mean_count * frames)) * np.sqrt(2 / pixels))


def rows(results: Sequence[h5py.File], truth: Truth) -> list[Row]:
    """Return the rows of a series of simulated speckle.

    Bars are those for the profile `std`; for a smaller series those of the fit are wider by the
    square root of what it has fewer of relaxations or pixel-frames, and the mean of C may stray by two standard deviations of chance.
    """
    pair = _pair(results, truth)
    judged = [
        *_of_matrix(pair, float(truth.config["plateau"])),
        *_contrast_rows(results, truth, pair),
        *_plateau_rows(results, truth, pair),
        *_fit_rows(results, truth, pair),
    ]
    return [row for row in of_stage("two-time", judged) if isinstance(row, dict)]


def _pair(results: Sequence[h5py.File], truth: Truth) -> Pair | None:
    """The matrix of the first region beside the truth at the same times; None where no result has one."""
    found, time = dataset(results, f"{HOME}/two_time_corr_func"), dataset(results, f"{HOME}/time")
    if found is None or time is None:
        return None
    normalisation = attribute(results, "normalisation", under=HOME) or "N1"
    at = np.round(time / truth.config["frame_time_s"]).astype(int)
    true = truth["two_time"][np.ix_(at, at)]
    unit = 1 / float(truth.config["modes"]) if normalisation == "N4" else 1.0
    regions = dataset(results, f"{HOME}/region_of_pixel")
    pixels = int(np.prod(truth.config["pixels"])) if regions is None else int(np.sum(regions == 1))
    return Pair(1 + (found[0] - 1) * unit, true, normalisation, pixels, float(truth.config["mean_count"]), unit)


def _of_matrix(pair: Pair | None, plateau: float) -> Iterator[Row]:
    """Compare the matrix as a whole; N2 is not asked for its mean where part of the pattern is frozen."""
    names = (
        "two-time, mean of C - C true off the diagonal",
        "two-time, noise of an element against its law, relative",
        "two-time, asymmetry",
    )
    if pair is None:
        yield from (missing(name, f"<= {bar:g}") for name, bar in zip(names, (MEAN, NOISE, SYMMETRY), strict=True))
        return
    apart, error = pair.apart, pair.measured - pair.true
    stray = 2 * chance(float((pair.true[apart] - 1).mean()), pair.mean_count, len(error), pair.pixels)
    if pair.normalisation != "N2" or not plateau:
        yield at_most(f"{names[0]}, beyond 2 sd of chance ({stray:.1e})", max(abs(float(error[apart].mean())) - stray, 0.0), MEAN)
    yield from _noise_row(pair, names[1])
    yield at_most(names[2], float(np.nanmax(np.abs(pair.measured - pair.measured.T))), SYMMETRY)


def _noise_row(pair: Pair, name: str) -> Iterator[Row]:
    """Compare where the pattern is forgotten, and the noise is that of independent frames; N2 and N4 have laws of their own."""
    height = float(np.diag(pair.true).max()) - 1
    far = pair.apart & (pair.true - 1 < FORGOTTEN * height)
    if far.sum() < 1000 or pair.normalisation not in ("N1", "N3", "N5"):
        return
    expected = noise(pair.mean_count, height, pair.pixels)
    yield at_most(name, abs(float(np.std(pair.measured[far])) / expected - 1), NOISE)


def _contrast_rows(results: Sequence[h5py.File], truth: Truth, pair: Pair | None) -> Iterator[Row]:
    measured, true = dataset(results, f"{HOME}/contrast"), 1 / float(truth.config["modes"])
    name = "contrast, relative error"
    if measured is None:
        yield missing(name, f"<= {CONTRAST:g}")
    elif pair is None or pair.pixels * len(pair.true) >= MANY_PIXEL_FRAMES:
        yield at_most(name, abs(float(np.atleast_1d(measured)[0]) / true - 1), CONTRAST)


def _plateau_rows(results: Sequence[h5py.File], truth: Truth, pair: Pair | None) -> Iterator[Row]:
    """A frozen part must be seen, or its loss be warned of."""
    part = float(truth.config["plateau"])
    if not part or truth.config["events"]:
        return
    name = "plateau of C - 1, off the truth"
    if pair is None:
        yield missing(name, f"<= {PLATEAU:g}")
        return
    if pair.normalisation == "N2":
        said = attribute(results, "warning", under=HOME)
        yield one_of("N2 on a frozen pattern", "warned" if said else "silent", ("warned",))
        return
    height = 1 / float(truth.config["modes"])
    level = height * part**2
    far = pair.apart & (pair.true - 1 - level < 2 * FORGOTTEN * height * part)
    if not far.any():
        return
    off = abs(float((pair.measured - pair.true)[far].mean()))
    stray = 2 * chance(level, pair.mean_count, len(pair.true), pair.pixels)
    yield at_most(f"{name}, beyond 2 sd of chance ({stray:.1e})", max(off - stray, 0.0), PLATEAU)


def _fit_rows(results: Sequence[h5py.File], truth: Truth, pair: Pair | None) -> Iterator[Row]:
    """Compare the fitted stretched exponential, where the truth is one."""
    config = truth.config
    if config["plateau"] or config["ageing_per_s"] or config["events"]:
        return
    bars = FIT if config["mean_count"] >= BRIGHT else DIM_FIT
    names = dict(zip(FIT, ("rate", "exponent", "fit_contrast", "baseline"), strict=True))
    found = {name: dataset(results, f"{HOME}/{names[name]}") for name in bars}
    wider = _wider(config, pair)
    unit = 1.0 if pair is None else pair.unit
    read: dict[str, Callable[[float], float]] = {
        "relaxation time, relative": lambda rate: 1 / (rate * config["relaxation_s"]) - 1,
        "exponent": lambda exponent: exponent - config["exponent"],
        "contrast of the fit": lambda height: height * unit - 1 / config["modes"],
        "baseline": lambda level: (level - 1) * unit,
    }
    for name, bar in bars.items():
        values = found[name]
        if values is None:
            yield missing(f"g2, {name}, off the truth", f"<= {bar:g}")
            continue
        brighter = max(USUAL_MODES / config["modes"], 1.0) if name in HEIGHTS else 1.0
        yield at_most(f"g2, {name}, off the truth", abs(read[name](float(np.atleast_1d(values)[0]))), round(bar * wider * brighter, 4))


def _wider(config: dict[str, Any], pair: Pair | None) -> float:
    """How much wider the bars of the fit are than those of the profile `std`; never narrower."""
    pixels = int(np.prod(config["pixels"])) if pair is None else pair.pixels
    pixel_frames = pixels * config["frames"]
    relaxations = pixel_frames * config["frame_time_s"] / config["relaxation_s"]
    return float(np.sqrt(max(MANY_RELAXATIONS / relaxations, MANY_PIXEL_FRAMES / pixel_frames, 1.0)))
