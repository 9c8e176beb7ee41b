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
from xcdi.kernels.avalanches import etas, power_laws, tails, waiting
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
            off[exponent, ratio] = np.array([power_laws.fit_power_law(x, a, b).exponent - exponent for x in drawn_sizes])
    worst, bounded = max(off, key=lambda key: abs(off[key].mean())), _bounded()
    return row(
        "catalogue fit",
        f"C1, {trials} trials of N {events}: bias of the truncated exponent, worst of tau 1.33, 1.5, 2 and b/a 20, 100, 1000",
        "< 0.03; unbounded estimator not the default",
        f"{off[worst].mean():+.4f} (tau {worst[0]}, b/a {worst[1]})",
        "sd " + ", ".join(f"{e.std(ddof=1):.3f} (tau 1.5, b/a {ratio})" for (tau, ratio), e in off.items() if tau == 1.5),
        bool(abs(off[worst].mean()) < 0.03 and bounded),
        f"the pipeline as it is {'fits' if bounded else 'does not fit'} between two ends; the upper one is {Settings().largest}",
    )


def _bounded():
    """Whether the pipeline, with nothing set, gives the exponent between two ends: its default largest size is finite, and is used."""
    c, largest = catalogues.catalogue("nano", series=1, events=300), Settings().largest
    if largest is None or not np.isfinite(largest):
        return False
    found = run([{"events": _events(catalogues.draw(c, 0)[0], c)}])["statistics"]
    wanted = power_laws.fit_power_law(found["size"].values, float(found.smallest), largest).exponent
    return bool(float(found.largest) == largest and abs(float(found.exponent) - wanted) < 1e-9)


def power_law_coverage(trials=200, events=300):
    """Share of 95 % intervals that hold the truth."""
    share = {}
    for ratio in (20, 100, 1000):
        drawn_sizes, a, b = sizes(trials=trials, events=events, smallest=0.6 / ratio)
        intervals = [power_laws.bootstrap(x, a, b, seed=k) for k, x in enumerate(drawn_sizes)]
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
    rivals = [next(t for t in tails.compare_tails(x, a, b) if t.name == name) for x in drawn_sizes]
    return float(np.mean([t.ratio < 0 and t.p < 0.05 for t in rivals]))


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
    tau = np.array([power_laws.fit_power_law(s.size, 4.5, 2000.5).exponent for s in _trees(trials, events)])
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


@lru_cache(maxsize=2)
def _scaled(trials, events):
    """What the pipeline's stage says of every trial, whose events have durations in whole frames."""
    c = catalogues.catalogue("nano", "branching", series=trials, events=events)
    half = c.frame_time_s / 2
    range_ = {"smallest": c.smallest, "largest": c.largest, "shortest": 9 * half, "longest": 201 * half}
    return [stage.statistics([_events(series, c)], **range_) for series in _trees(trials, events)]


def branching_duration(trials=50, events=1000):
    """Exponent of the durations, as the pipeline gives it."""
    alpha = np.array([float(ds.duration_exponent) for ds in _scaled(trials, events)])
    error = np.mean([float(ds.duration_exponent_error) for ds in _scaled(trials, events)])
    return row(
        "catalogue fit",
        f"C4, lambda 1, {events} trees, {trials} trials: alpha over T in 5-100",
        "1.79 +- 0.2",
        f"{alpha.mean():.3f}",
        f"{alpha.std(ddof=1):.3f} per trial",
        bool(abs(alpha.mean() - 1.79) < 0.2),
        f"column `duration` of the events, ends at 4.5 and 100.5 frames; stated error {error:.3f}; "
        f"single trials within the bar: {np.mean(np.abs(alpha - 1.79) < 0.2):.0%}",
    )


def branching_slope(trials=50, events=1000):
    """Mean size at given duration, as the pipeline gives it, and whether the exponents agree."""
    all_ = _scaled(trials, events)
    slope, error, expected = (np.array([float(ds[n]) for ds in all_]) for n in ("size_slope", "size_slope_error", "exponent_relation"))
    return row(
        "catalogue fit",
        f"C4, lambda 1, {events} trees, {trials} trials: slope of ln <S|T>, T in 5-100",
        "1.72 +- 0.1",
        f"{slope.mean():.3f}",
        f"{slope.std(ddof=1):.3f} per trial",
        bool(abs(slope.mean() - 1.72) < 0.1),
        f"stated error {error.mean():.3f}; single trials within the bar: {np.mean(np.abs(slope - 1.72) < 0.1):.0%}; (alpha - 1) / (tau - 1)"
        f" is {expected.mean():.2f} +- {expected.std(ddof=1):.2f} over these finite ranges, and called different (p < 0.05) in "
        f"{np.mean([float(ds.relation_p) < 0.05 for ds in all_]):.0%}",
    )


def branching(trials=50, events=1000):
    """Sizes, durations and the mean size at given duration."""
    return [function(trials, events) for function in (branching_size, branching_duration, branching_slope)]


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


def brightnesses(trials=40, events=1200):
    """Series of different brightness joined, each from its own completeness on, against all of them from the worst."""
    centres = (0.01, 0.02, 0.04, 0.08)
    kinds = [catalogues.catalogue("nano", "censored", series=trials, events=events, detection_centre=centre) for centre in centres]
    drawn_kinds = [catalogues.draw(c, seed) for seed, c in enumerate(kinds)]
    own, common, held = [], [], 0
    for k in range(trials):
        joined = [_events(drawn[k], c) for drawn, c in zip(drawn_kinds, kinds, strict=True)]
        best = stage.statistics(joined, largest=0.6)
        worst = stage.statistics(joined, smallest=max(catalogues.completeness(c) for c in kinds), largest=0.6)
        own.append(float(best.exponent) - 1.5)
        common.append(float(worst.exponent) - 1.5)
        held += float(best.exponent_low) <= 1.5 <= float(best.exponent_high)
    own, common = np.array(own), np.array(common)
    return row(
        "catalogue fit",
        f"C8, {len(centres)} series of {events} events, detection at 0.01 to 0.08, {trials} trials: tau, each from its own completeness on",
        "within 0.15; less spread than from the worst completeness on",
        f"{own.mean():+.3f}, sd {own.std(ddof=1):.3f}; from the worst on {common.mean():+.3f}, sd {common.std(ddof=1):.3f}",
        f"{own.std(ddof=1):.3f} per trial",
        bool(abs(own.mean()) < 0.15 and own.std() < common.std()),
        f"95 % interval holds the truth in {held / trials:.0%}; nine in ten are found at completeness, so a small bias stays",
    )


def _events(series, c):
    """EVENTS of the detected ones."""
    seen = series.detected
    columns = {"time": ("event", series.time[seen], {"units": "s"}), "drop": ("event", series.size[seen], {"units": "1"})}
    if series.lifetime.size:
        columns["duration"] = ("event", series.lifetime[seen] * c.frame_time_s, {"units": "s"})
    return xr.Dataset(columns, attrs={"duration_s": c.duration_s, "completeness": catalogues.completeness(c)})


# waiting times


def _waiting(variant, trials, events):
    c = catalogues.catalogue("nano", variant, series=trials, events=events)
    found = [waiting.waiting_times([s.time], seed=k) for k, s in enumerate(catalogues.draw(c, 0))]
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


def aftershocks(trials=20, events=1200):
    """The law of aftershocks recovered."""
    c = catalogues.catalogue("std", "etas", series=trials, events=events)
    truth = {"share": c.aftershocks, "p": c.omori_p, "c": c.omori_c_s, "productivity": c.productivity}
    fits = [etas.fit_etas([s.time], [s.size], [c.duration_s]) for s in catalogues.draw(c, 0)]
    off = {name: np.array([(getattr(f, name)[0] - value) / getattr(f, name)[1] for f in fits]) for name, value in truth.items()}
    mean = {name: np.mean([getattr(f, name)[0] for f in fits]) for name in truth}
    return row(
        "waiting times",
        f"C7, {events} events, K {c.aftershocks}, p {c.omori_p}, c {c.omori_c_s} s, {trials} trials: aftershocks by their likelihood",
        "within 2 errors in >= 85 %, each",
        ", ".join(f"{name} {mean[name]:.3f} ({np.mean(np.abs(o) < 2):.0%})" for name, o in off.items()),
        "mean off / error: " + ", ".join(f"{name} {o.mean():+.2f}" for name, o in off.items()),
        all(np.mean(np.abs(o) < 2) >= 0.85 for o in off.values()),
        "a series ends before all aftershocks have come, which the likelihood knows",
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
    brightnesses,
    waiting_poisson,
    waiting_ageing,
    aftershocks,
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
