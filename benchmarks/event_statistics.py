"""How right the statistics of events are, beyond the rows of the acceptance table: intervals, p-values, noise, dead time, power.

python benchmarks/event_statistics.py [NAME ...]

Every figure is of catalogues of known laws, drawn from fixed seeds; one line each.
"""

import sys
import time

import numpy as np
import xarray as xr
from scipy import stats

from xcdi.artificial import catalogues, laws
from xcdi.kernels.avalanches import aftershocks, participation, power_laws, scaling, waiting
from xcdi.stages import catalogues as stage

FRAME_S, WINDOW, APART = 0.5, 12, 5  # events nearer than 5 frames merge


def series(seed, n=25, frames=1000, largest=0.6):
    """EVENTS of a series in whole frames by chance, of which those nearer than the search can tell are not there."""
    rng = np.random.default_rng(seed)
    at = 3 + np.sort(rng.choice(frames - 6 - (APART - 1) * n, n, replace=False)) + (APART - 1) * np.arange(n)
    drop = power_laws.sample_power_law(n, 1.5, 0.03, largest, rng)
    columns = {"time": ("event", at * FRAME_S), "drop": ("event", drop), "drop_error": ("event", 0.001 + 0.03 * drop)}
    table = columns | {"score_trace": ("series_frame", np.zeros(frames))}
    return xr.Dataset(table, attrs={"duration_s": (frames - 1) * FRAME_S, "window": WINDOW, "completeness": 0.03})


def interval(trials=400, n=180):
    """Width and coverage of the interval of the exponent."""
    drawn = [power_laws.sample_power_law(n, 1.5, 0.03, 0.6, np.random.default_rng(seed)) for seed in range(trials)]
    found = np.array([power_laws.bootstrap(x, 0.03, 0.6, seed=seed) for seed, x in enumerate(drawn)])
    inside = np.mean((found[:, 0] <= 1.5) & (found[:, 1] >= 1.5))
    return f"N {n}, b/a 20, {trials} repeats: 95 % interval {np.diff(found).mean():.2f} wide, holds the truth in {inside:.1%}"


def goodness(trials=200):
    """Share of true laws that are rejected at 0.1, with the lower end given and sought; and of false ones."""
    true, sought, false = [], [], []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        true.append(power_laws.goodness(power_laws.sample_power_law(180, 1.5, 0.03, 0.6, rng), 0.03, 0.6, seed=seed))
        bent = rng.lognormal(np.log(0.1), 0.6, 400)
        false.append(power_laws.goodness(bent, 0.03, 0.6, n=50, seed=seed))
        if seed < trials // 4:
            mixed = np.concatenate([power_laws.sample_power_law(300, 1.5, 0.03, 0.6, rng), rng.uniform(0.01, 0.03, 100)])
            cut = power_laws.cut_by_distance(mixed, 0.6)
            sought.append(power_laws.goodness(mixed, cut, 0.6, least=50, n=100, seed=seed))
    parts = [
        f"{name} {np.mean(np.array(p) < 0.1):.0%}"
        for name, p in (("true, N 180", true), ("true, end sought", sought), ("log-normal", false))
    ]
    return f"rejected at p < 0.1 (10 % expected of true laws), {trials} trials: {', '.join(parts)}"


def noise(trials=60):
    """Shift of the exponent by noise, as it is and as it is stated."""
    lines = []
    for relative in (0.05, 0.15, 0.3):
        shifted, said = [], []
        for seed in range(trials):
            rng = np.random.default_rng(seed)
            sizes = power_laws.sample_power_law(2000, 1.5, 0.003, 0.6, rng)
            noisy = sizes + relative * 0.03 * rng.standard_normal(sizes.size)
            shifted.append(power_laws.fit_power_law(noisy, 0.03, 0.6).exponent - power_laws.fit_power_law(sizes, 0.03, 0.6).exponent)
            said.append(power_laws.noise_shift(noisy, np.full(sizes.size, relative * 0.03), 0.03, 0.6, n=20, seed=seed)[0])
        lines.append(f"{relative:.0%} at the lower end: {np.mean(shifted):+.3f}, stated {np.mean(said):+.3f}")
    return "noise shifts the exponent by " + "; ".join(lines)


def dead_time(trials=60):
    """Waiting times of chance where near events merge: with that known, and not."""
    share = []
    for k in range(trials):
        times = [series(1000 + 16 * k + s).time.values for s in range(14)]
        known = waiting.waiting_times(times, dead=APART * FRAME_S, step=FRAME_S, chance=200, seed=k)
        blind = waiting.waiting_times(times, chance=200, seed=k)
        share.append([known.p_exponential, known.p_rescaled, known.p_shape, known.p_shape_rescaled, blind.p_exponential, blind.p_rescaled])
    parts = np.mean(np.array(share) >= 0.05, axis=0)
    names = ("raw", "rescaled", "against gamma raw", "against gamma rescaled", "raw, dead time ignored", "rescaled, ignored")
    return f"14 series of 25 events by chance, 5 frames apart or more, {trials} trials, accepted as exponential: " + ", ".join(
        f"{name} {p:.0%}" for name, p in zip(names, parts, strict=True)
    )


def triggering(trials=60, events=300):
    """Tests for aftershocks: where there are some, and where the rate only changes."""
    words = []
    for variant in ("etas", "poisson", "log-poisson"):
        c = catalogues.catalogue("nano", variant, series=trials, events=events)
        found = [aftershocks.clustering([s.time], [s.size], chance=200, seed=k) for k, s in enumerate(catalogues.draw(c, 0))]
        p = np.array(found) < 0.05
        words.append(f"{variant} {p[:, 0].mean():.0%} and {p[:, 1].mean():.0%}")
    return f"{events} events, {trials} trials: seen at p < 0.05, clustering and productivity (5 % expected without): {', '.join(words)}"


def shapes(events=100_000):
    """Average shape of critical branching of 30 to 50 generations against the exact one."""
    grown = laws.trees(events, 1.0, 50_000, np.random.default_rng(0))
    profiles = np.split(grown.activity, np.cumsum(grown.generations)[:-1])
    found = scaling.average_shape(profiles, 30, 50, points=15, classes=3)
    exact = np.interp(found.time, (np.arange(40) + 0.5) / 40, laws.mean_profile(40, 1.0))
    off = np.abs(found.shape - exact / exact.mean()).max()
    wide = scaling.average_shape(profiles, 10, 100)
    return (
        f"{np.sum((grown.generations >= 10) & (grown.generations <= 100))} trees of 10 to 100 generations: collapse at 1/(sigma nu z) "
        f"{wide.exponent[0]:.2f} +- {wide.exponent[1]:.2f}, form {wide.fitted[0]:.2f} +- {wide.fitted[1]:.2f}, asymmetry "
        f"{wide.asymmetry[0]:+.2f} +- {wide.asymmetry[1]:.2f}; largest difference from the exact mean profile of 40 generations {off:.3f}"
    )


def boundaries(trials=100, particles=16, events=24):
    """Rank correlation of events with the area and the misorientation of boundaries."""
    p = {"area": [], "misorientation": [], "nothing": []}
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        area, tilt, group = rng.uniform(1e4, 1e5, (particles, 8)), rng.random((particles, 8)), np.repeat(np.arange(particles), 8)
        rate = area * np.exp(1.5 * tilt)
        count = np.concatenate([rng.multinomial(events, r / r.sum()) for r in rate])
        per_area = count / area.ravel()
        for name, x, y in (("area", area, count), ("misorientation", tilt, per_area), ("nothing", rng.random(area.shape), per_area)):
            p[name].append(participation.rank_correlation(x.ravel(), y, group, n=300, seed=seed)[1])
    share = ", ".join(f"{name} {np.mean(np.array(v) < 0.05):.0%}" for name, v in p.items())
    return f"{particles} particles of 8 boundaries, {events} events each, rate ~ area exp(1.5 x), {trials} trials, p < 0.05: {share}"


def brightness():
    """Events that a rise of brightness at a fixed angle needs, for the gain and the interference of simulated annealing."""
    drop = power_laws.sample_power_law(20_000, 1.5, 0.005, 0.6, np.random.default_rng(0))
    gain, noise_ = 0.0019 * (drop / 0.02) ** 0.3, np.sqrt(0.007**2 + 0.15 * drop)
    per_event = np.mean((gain / noise_) ** 2)
    need = [(stats.norm.isf(0.01) + stats.norm.isf(1 - power)) ** 2 / per_event for power in (0.5, 0.9)]
    return (
        f"annealing 0.15 raises the power by 0.2 % per event; interference changes a fixed-angle pattern by 0.39 sqrt(D): best weights "
        f"need {need[0]:.0f} events for p < 0.01 in half of all repeats, {need[1]:.0f} in 90 %; 300 see {np.sqrt(300 * per_event):.2f} sd"
    )


def speed(events=25, number=16):
    """Processor time of all statistics."""
    all_ = [series(seed, events) for seed in range(number)]
    stage.statistics(all_)
    start = time.process_time()
    stage.statistics(all_)
    given = time.process_time() - start
    start = time.process_time()
    stage.statistics(all_, smallest="nearest")
    sought = time.process_time() - start
    return f"{events * number} events of {number} series: {given:.2f} s of processor time, {sought:.2f} s with the lower end sought"


FIGURES = (interval, goodness, noise, dead_time, triggering, shapes, boundaries, brightness, speed)

if __name__ == "__main__":
    for figure in FIGURES:
        if not sys.argv[1:] or figure.__name__ in sys.argv[1:]:
            print(f"{figure.__name__}: {figure()}", flush=True)
