"""Acceptance of correlations: speckle of known correlation through every normalisation, many times over.

Every function answers one row of the acceptance table: stage, test, bar, what
was measured, its spread, and whether the bar is met (None: the library has nothing to ask).
"""

import warnings
from functools import lru_cache

import numpy as np
import xarray as xr

from xcdi.artificial import speckle
from xcdi.kernels import regions
from xcdi.kernels.correlation import speckles, visibility
from xcdi.stages.correlation import NORMALISATIONS, TwoTime

FORGOTTEN = 0.01  # part of the contrast below which a decay counts as over


def row(stage_name, test, bar, measured, spread, met, note=""):
    """One line of the table."""
    return {"row": stage_name, "test": test, "bar": bar, "measured": measured, "spread": spread, "pass": met, "note": note}


@lru_cache(maxsize=200)
def correlated(seed, normalisation, variant=""):
    """Correlation of the profile `std` as floats, its true matrix, and what it warned of."""
    s = speckle.speckle("std", variant)
    movie = drawn(seed, variant)
    valid = np.ones(s.pixels, bool)
    scan = xr.Dataset(
        {"counts": (("frame", "y", "x"), movie.counts, {"units": "1"}), "valid": (("y", "x"), valid, {"units": ""})},
        coords={"time": ("frame", movie.time, {"units": "s"})},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = TwoTime(valid, normalisation=normalisation).add(scan).result()
    unit = 1 / s.modes if normalisation == "N4" else 1.0
    c = (1 + (found.two_time.to_numpy()[0] - 1) * unit).astype(np.float32)
    scalars = {name: float(found[name][0]) for name in ("rate", "exponent", "fit_contrast", "baseline", "contrast")}
    return c, scalars, found.attrs.get("warning", "")


@lru_cache(maxsize=12)
def drawn(seed, variant):
    return speckle.draw(speckle.speckle("std", variant), seed)


def two_time_mean(seeds=10):
    """Off-diagonal mean of C minus its truth."""
    s = speckle.speckle("std")
    true = 1 + speckle.coherence(s) ** 2 / s.modes
    off = ~np.eye(s.frames, dtype=bool)
    errors = {n: np.array([np.mean((correlated(k, n)[0] - true)[off], dtype=float) for k in range(seeds)]) for n in NORMALISATIONS}
    skew = max(float(np.abs(c - c.T).max()) for n in NORMALISATIONS for c in [correlated(0, n)[0]])
    told = ", ".join(f"{n} {e.mean():+.1e}" for n, e in errors.items())
    met = all(abs(e.mean()) < 2e-3 for n, e in errors.items() if n != "N2") and skew < 1e-6
    return row(
        "two-time",
        f"speckle std, {seeds} seeds: mean of C - C true off the diagonal; symmetry",
        "< 2e-3 each; symmetric",
        f"{told}; largest asymmetry {skew:.0e}",
        ", ".join(f"{n} {e.std(ddof=1):.1e}" for n, e in errors.items()) + " per seed",
        bool(met),
        "N2 is left out of the verdict: dividing by a pixel's time mean takes the mean of C - 1 over the series away by definition. "
        "N4 is a correlation coefficient and is multiplied by the true contrast first. GPU against CPU is not measured here.",
    )


def two_time_noise(seeds=10):
    """Spread of elements between frames that share nothing, against both laws."""
    s = speckle.speckle("std")
    beta, pixels = 1 / s.modes, int(np.prod(s.pixels))
    far = speckle.coherence(s) ** 2 < FORGOTTEN
    known = np.sqrt(((1 / s.mean_count + 1 + beta) ** 2 - 1) / pixels)
    own = (1 / s.mean_count + beta) / np.sqrt(pixels)
    found = {n: np.array([correlated(k, n)[0][far].std() for k in range(seeds)]) for n in NORMALISATIONS}
    met = all(abs(sd.mean() / known - 1) < 0.1 for sd in found.values())
    exact = all(abs(sd.mean() / own - 1) < 0.1 for sd in found.values())
    return row(
        "two-time",
        f"speckle std, {seeds} seeds: sd of an element, over the formula of 4.2 ({known:.3f})",
        "0.9 to 1.1",
        ", ".join(f"{n} {sd.mean() / known:.3f}" for n, sd in found.items()),
        ", ".join(f"{n} {sd.std(ddof=1) / known:.3f}" for n, sd in found.items()) + " per seed",
        bool(met),
        f"the formula is that of frames divided by a mean known beforehand; every normalisation divides by the frame's own mean, "
        f"whose law is (1/n + beta)/sqrt(N) = {own:.3f}: over that one "
        + ", ".join(f"{n} {sd.mean() / own:.3f}" for n, sd in found.items())
        + f" ({'met' if exact else 'not met'})",
    )


def plateau(seeds=10):
    """Plateau of a half frozen field, and the warning of N2."""
    s = speckle.speckle("std", "plateau")
    true = s.plateau**2 / s.modes
    far = speckle.coherence(s) < s.plateau * (1 + FORGOTTEN)
    levels = {n: np.array([np.mean(correlated(k, n, "plateau")[0][far], dtype=float) - 1 for k in range(seeds)]) for n in NORMALISATIONS}
    warned = sum(bool(correlated(k, "N2", "plateau")[2]) for k in range(seeds))
    right = {n: bool(abs(levels[n].mean() - true) < 0.004) for n in ("N1", "N3", "N5")}
    each = {n: int(np.sum(np.abs(levels[n] - true) < 0.004)) for n in right}
    return row(
        "two-time",
        f"speckle std, f_q 0.5, {seeds} seeds: plateau of C - 1; N2 warns",
        f"{true:g} +- 0.004 with each of N1, N3 and N5; N2 warns",
        ", ".join(f"{n} {v.mean():.4f}" for n, v in levels.items()) + f"; N2 warned {warned} of {seeds}",
        ", ".join(f"{n} {v.std(ddof=1):.4f}" for n, v in levels.items()) + " per seed",
        all(right.values()) and warned == seeds,
        "mean over seeds within the bar: "
        + ", ".join(f"{n} {'yes' if ok else 'no'}" for n, ok in right.items())
        + "; single seeds within it: "
        + ", ".join(f"{n} {count}" for n, count in each.items()),
    )


def _relaxation(variant, seeds, bars, test):
    s = speckle.speckle("std", variant)
    fits = [correlated(k, "N5", variant)[1] for k in range(seeds)]
    errors = {
        "tau": np.array([1 / (f["rate"] * s.relaxation_s) - 1 for f in fits]),
        "gamma": np.array([f["exponent"] - s.exponent for f in fits]),
        "beta": np.array([f["fit_contrast"] - 1 / s.modes for f in fits]),
        "baseline": np.array([f["baseline"] - 1 for f in fits]),
    }
    inside = {name: int(np.sum(np.abs(errors[name]) <= bar)) for name, bar in bars.items()}
    return row(
        "g2/KWW",
        f"speckle std, {test}, {seeds} seeds, N5: errors of the fit (tau relative)",
        ", ".join(f"{name} +-{bar:g}" for name, bar in bars.items()),
        ", ".join(f"{name} {e.mean():+.4f}" for name, e in errors.items()),
        ", ".join(f"{name} {e.std(ddof=1):.4f}" for name, e in errors.items()) + " per seed",
        all(count == seeds for count in inside.values()),
        "seeds within the bar: " + ", ".join(f"{name} {count}/{seeds}" for name, count in inside.items()),
    )


def relaxation(seeds=10):
    """KWW fit at 0.3 counts per pixel."""
    return _relaxation("", seeds, {"tau": 0.06, "gamma": 0.12, "beta": 0.012, "baseline": 0.004}, "n 0.3")


def relaxation_dim(seeds=10):
    """KWW fit at 0.05 counts per pixel."""
    return _relaxation("dim", seeds, {"tau": 0.10, "gamma": 0.4}, "n 0.05")


def contrast(seeds=10, means=(0.02, 0.05, 0.1, 0.3, 1.0)):
    """Contrast of a million pixel-frames, from pairs of photons at short lags; from factorial moments beside it."""
    base = speckle.speckle("std")
    beta, frames = 1 / base.modes, base.frames * int(np.prod(base.pixels))
    y, x = np.divmod(np.arange(int(np.prod(base.pixels))), base.pixels[1])
    tile, off, moments = regions.tiles(y, x), {}, {}
    for n in means:
        series = [speckle.draw(base.model_copy(update={"mean_count": n}), k).counts.reshape(base.frames, -1) for k in range(seeds)]
        off[n] = np.array([visibility.contrast_from_lags(counts, tile).value / beta - 1 for counts in series])
        moments[n] = np.array([speckles.contrast(counts) / beta - 1 for counts in series])
    each = {n: int(np.sum(np.abs(e) < 0.05)) for n, e in off.items()}
    return row(
        "contrast",
        f"counts at n 0.02-1, {frames:.0e} pixel-frames, {seeds} seeds: relative error of beta, continued from short lags",
        "within 5 %",
        ", ".join(f"n {n:g}: {e.mean():+.3f}" for n, e in off.items()),
        ", ".join(f"n {n:g}: {e.std(ddof=1):.3f}" for n, e in off.items()) + " per seed",
        all(count == seeds for count in each.values()),
        "seeds within 5 %: "
        + ", ".join(f"n {n:g} {c}/{seeds}" for n, c in each.items())
        + "; sd of factorial moments: "
        + ", ".join(f"n {n:g} {e.std(ddof=1):.3f}" for n, e in moments.items()),
    )
