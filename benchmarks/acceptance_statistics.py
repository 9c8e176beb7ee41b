"""Acceptance of statistics, and of correlations: known catalogues and known speckle through kernels and stages, many times over.

python benchmarks/acceptance_statistics.py

Every function answers one row of the acceptance table: stage, test, bar, what
was measured, its spread, and whether the bar is met (None: the library has nothing to ask).
"""

import json
import sys
import time
from functools import lru_cache

import numpy as np
import xarray as xr
from acceptance_speckle import contrast, plateau, relaxation, relaxation_dim, row, two_time_mean, two_time_noise
from xcdi.pipelines.avalanche_statistics import Settings, run

from xcdi.artificial import catalogues
from xcdi.kernels.avalanches import statistics
from xcdi.stages import catalogues as stage

# sizes


def sizes(variant="", *, trials, events, **options):
    """Sizes of `trials` catalogues, and the range to fit."""
    c = catalogues.catalogue("nano", variant, series=trials, events=events, **options)
    return [series.size for series in catalogues.draw(c, 0)], c.smallest, c.largest


def power_law_bias(trials=200, events=300):
    """Bias of the exponent between two ends, for nine power laws."""
    off = {}
    for exponent in (1.33, 1.5, 2.0):
        for ratio in (20, 100, 1000):
            drawn_sizes, a, b = sizes(trials=trials, events=events, exponent=exponent, smallest=0.6 / ratio)
            off[exponent, ratio] = np.array([statistics.fit_power_law(x, a, b).exponent - exponent for x in drawn_sizes])
    worst, bounded = max(off, key=lambda key: abs(off[key].mean())), _bounded()
    return row(
        "catalogue fit",
        f"C1, {trials} trials of N {events}: bias of the truncated exponent, worst of tau 1.33, 1.5, 2 and b/a 20, 100, 1000",
        "< 0.03; unbounded estimator not the default",
        f"{off[worst].mean():+.4f} (tau {worst[0]}, b/a {worst[1]})",
        "sd " + ", ".join(f"{e.std(ddof=1):.3f} (tau 1.5, b/a {ratio})" for (tau, ratio), e in off.items() if tau == 1.5),
        bool(abs(off[worst].mean()) < 0.03 and bounded),
        f"the pipeline as it is {'fits' if bounded else 'does not fit'} between two ends, {Settings().smallest:g} and {Settings().largest}",
    )


def _bounded():
    """Whether the pipeline, with nothing set, gives the exponent between two ends: its default largest size is finite, and is used."""
    c, largest = catalogues.catalogue("nano", series=1, events=300), Settings().largest
    if largest is None or not np.isfinite(largest):
        return False
    found = run([{"events": _events(catalogues.draw(c, 0)[0], c)}])["statistics"]
    wanted = statistics.fit_power_law(found["size"].values, Settings().smallest, largest).exponent
    return bool(float(found.largest) == largest and abs(float(found.exponent) - wanted) < 1e-9)


def power_law_coverage(trials=200, events=300):
    """Share of 95 % intervals that hold the truth."""
    share = {}
    for ratio in (20, 100, 1000):
        drawn_sizes, a, b = sizes(trials=trials, events=events, smallest=0.6 / ratio)
        intervals = [statistics.bootstrap(x, a, b, seed=k) for k, x in enumerate(drawn_sizes)]
        share[ratio] = float(np.mean([low <= 1.5 <= high for low, high in intervals]))
    return row(
        "catalogue fit",
        f"C1, tau 1.5, N {events}: 95 % interval holds the truth, of {trials} trials",
        "88 to 99 %",
        ", ".join(f"b/a {ratio}: {s:.1%}" for ratio, s in share.items()),
        f"sd of a share {np.sqrt(0.05 * 0.95 / trials):.1%}",
        all(0.88 <= s <= 0.99 for s in share.values()),
    )


def _preferred(variant, name, trials, **options):
    drawn_sizes, a, b = sizes(variant, trials=trials, events=1000, **options)
    tails = [next(t for t in statistics.compare_tails(x, a, b) if t.name == name) for x in drawn_sizes]
    return float(np.mean([t.ratio < 0 and t.p < 0.05 for t in tails]))


def cutoff(trials=50):
    """Cut-off preferred where there is one."""
    share = {ratio: _preferred("cut-off", "cutoff", trials, smallest=0.6 / ratio) for ratio in (20, 100, 1000)}
    false = _preferred("power-law", "cutoff", trials)
    return row(
        "catalogue fit",
        f"C2, x_c b/5, N 1000, {trials} trials: cut-off preferred over the power law, p < 0.05",
        ">= 90 %",
        ", ".join(f"b/a {ratio}: {s:.0%}" for ratio, s in share.items()),
        "",
        all(s >= 0.9 for s in share.values()),
        f"preferred without one (true power law, b/a 20): {false:.0%}, expected 5 %",
    )


def lognormal(trials=50):
    """Log-normal preferred where it is true."""
    share = _preferred("log-normal", "lognormal", trials)
    false = _preferred("power-law", "lognormal", trials)
    return row(
        "catalogue fit",
        f"C3, median 0.1, sd of ln 0.6, range 0.03-0.6, N 1000, {trials} trials: log-normal preferred, p < 0.05",
        ">= 90 %",
        f"{share:.0%}",
        "",
        share >= 0.9,
        f"preferred where the power law is true: {false:.0%}",
    )


@lru_cache(maxsize=2)
def _trees(trials, events):
    return catalogues.draw(catalogues.catalogue("nano", "branching", series=trials, events=events), 0)


def branching_size(trials=50, events=1000):
    """Exponent of the sizes of critical branching over a finite range."""
    tau = np.array([statistics.fit_power_law(s.size, 4.5, 2000.5).exponent for s in _trees(trials, events)])
    return row(
        "catalogue fit",
        f"C4, lambda 1, {events} trees, {trials} trials: tau over S in 5-2000",
        "1.50 +- 0.10",
        f"{tau.mean():.3f}",
        f"{tau.std(ddof=1):.3f} per trial",
        bool(abs(tau.mean() - 1.5) < 0.10),
        f"single trials within the bar: {np.mean(np.abs(tau - 1.5) < 0.10):.0%}; sizes are whole numbers, hence ends of the fit "
        "at 4.5 and 2000.5 (at 5 and 2000 it is 0.05 too steep)",
    )


def branching_duration(trials=50, events=1000):
    """Exponent of the durations; the pipeline has no column for them."""
    alpha = np.array([statistics.fit_power_law(s.lifetime.astype(float), 4.5, 100.5).exponent for s in _trees(trials, events)])
    return row(
        "catalogue fit",
        f"C4, lambda 1, {events} trees, {trials} trials: alpha over T in 5-100",
        "1.79 +- 0.2",
        f"{alpha.mean():.3f}",
        f"{alpha.std(ddof=1):.3f} per trial",
        bool(abs(alpha.mean() - 1.79) < 0.2),
        f"the kernel's fit_power_law on true lifetimes, ends at 4.5 and 100.5; the pipeline cannot be asked: its sizes are drops or "
        f"fractions, not durations; single trials within the bar: {np.mean(np.abs(alpha - 1.79) < 0.2):.0%}",
    )


def branching_slope(trials=50, events=1000):
    """Mean size at given duration; the library has no such function."""
    slope = np.array([_slope(s) for s in _trees(trials, events)])
    return row(
        "catalogue fit",
        f"C4, lambda 1, {events} trees, {trials} trials: slope of ln <S|T>, T in 5-100",
        "1.72 +- 0.1",
        f"{slope.mean():.3f}",
        f"{slope.std(ddof=1):.3f} per trial",
        None,
        "not answerable yet: the library has no mean size at given duration; the figure is a plain regression in this benchmark",
    )


def branching(trials=50, events=1000):
    """Sizes, durations and the mean size at given duration."""
    return [function(trials, events) for function in (branching_size, branching_duration, branching_slope)]


def _slope(series):
    """Slope of ln(mean size) against ln(lifetime), each lifetime weighed by its number."""
    lives, which = np.unique(series.lifetime, return_inverse=True)
    number = np.bincount(which)
    mean = np.bincount(which, series.size) / number
    used = (lives >= 5) & (lives <= 100)
    return np.polyfit(np.log(lives[used]), np.log(mean[used]), 1, w=np.sqrt(number[used]))[0]


def censored(trials=30, events=4000):
    """Sizes thinned by detection: with the lower end at completeness, and without."""
    c = catalogues.catalogue("nano", "censored", series=trials, events=events)
    complete = catalogues.completeness(c)
    above, below, warned, silent = [], [], 0, 0
    for series in catalogues.draw(c, 0):
        ds = _events(series, c)
        good, bad = (stage.statistics([ds], smallest=a, largest=c.largest) for a in (complete, c.detection_centre))
        above.append(float(good.exponent) - c.exponent)
        below.append(float(bad.exponent) - c.exponent)
        warned += "completeness" in bad.attrs["note"]
        silent += "completeness" not in good.attrs["note"]
    above, below = np.array(above), np.array(below)
    return row(
        "catalogue fit",
        f"C8, {events} events of 0.006-0.6, detection at 0.03, width 0.3, {trials} trials: tau from completeness, {complete:.3f}, on",
        "within 0.15; warns below completeness, and there alone",
        f"{above.mean():+.3f}; warned {warned} of {trials}, and not where it need not {silent} of {trials}",
        f"{above.std(ddof=1):.3f} per trial",
        bool(abs(above.mean()) < 0.15 and warned == trials and silent == trials),
        f"single trials within the bar: {np.mean(np.abs(above) < 0.15):.0%}; with the lower end at the centre of the curve the error is "
        f"{below.mean():+.3f}",
    )


def _events(series, c):
    """EVENTS of the detected ones."""
    seen = series.detected
    columns = {"time": ("event", series.time[seen], {"units": "s"}), "drop": ("event", series.size[seen], {"units": "1"})}
    return xr.Dataset(columns, attrs={"duration_s": c.duration_s, "completeness": catalogues.completeness(c)})


# waiting times


def _waiting(variant, trials, events):
    c = catalogues.catalogue("nano", variant, series=trials, events=events)
    found = [statistics.waiting_times([s.time], seed=k) for k, s in enumerate(catalogues.draw(c, 0))]
    return np.array([w.p_exponential for w in found]), np.array([w.p_rescaled for w in found])


def waiting_poisson(trials=100, events=300):
    """Stationary times accepted as exponential."""
    raw, local = _waiting("poisson", trials, events)
    return row(
        "waiting times",
        f"C5, {events} events, {trials} trials: accepted as exponential, p > 0.05",
        ">= 90 %",
        f"{np.mean(raw > 0.05):.0%} raw, {np.mean(local > 0.05):.0%} rescaled",
        f"sd of a share {np.sqrt(0.05 * 0.95 / trials):.1%}",
        bool(np.mean(raw > 0.05) >= 0.9),
    )


def waiting_ageing(trials=100, events=300):
    """Ageing times rejected raw and accepted after rescaling; aftershocks beside them."""
    raw, local = _waiting("log-poisson", trials, events)
    shocks = _waiting("etas", trials, events)
    return row(
        "waiting times",
        f"C6, {events} events, rate ~ 1/age over a factor 100, {trials} trials: rejected raw, accepted rescaled (level 0.05)",
        "rejected; accepted (>= 90 % of trials each)",
        f"rejected raw {np.mean(raw < 0.05):.0%}, accepted rescaled {np.mean(local > 0.05):.0%}",
        f"sd of a share {np.sqrt(0.05 * 0.95 / trials):.1%}",
        bool(np.mean(raw < 0.05) >= 0.9 and np.mean(local > 0.05) >= 0.9),
        f"C7 (aftershocks) is rejected raw in {np.mean(shocks[0] < 0.05):.0%} and rescaled in {np.mean(shocks[1] < 0.05):.0%}",
    )


ROWS = (
    two_time_mean,
    two_time_noise,
    relaxation,
    plateau,
    relaxation_dim,
    contrast,
    power_law_bias,
    power_law_coverage,
    cutoff,
    lognormal,
    branching,
    censored,
    waiting_poisson,
    waiting_ageing,
)


def rows():
    """All rows, in order; one function after the other."""
    for function in ROWS:
        found = function()
        yield from found if isinstance(found, list) else [found]


if __name__ == "__main__":
    start = time.process_time()
    for line in rows():
        print(json.dumps(line), flush=True)
    print(f"{time.process_time() - start:.0f} s of processor time", file=sys.stderr)
