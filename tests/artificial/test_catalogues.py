"""Catalogues must follow the laws that they say they do, and be read as results are."""

import json

import h5py
import numpy as np
import pytest
from scipy import integrate, stats
from xcdi.pipelines import avalanche_statistics

from xcdi import io
from xcdi.artificial import catalogues, laws
from xcdi.errors import XcdiError

CHANCE = 0.01  # of a false alarm


def drawn(variant, seed=1, events=3000, series=1, **options):
    return catalogues.draw(catalogues.catalogue("nano", variant, events=events, series=series, **options), seed)


def integral(density, a, b):
    return integrate.quad(lambda y: density(np.exp(y)) * np.exp(y), np.log(a), np.log(b))[0]


@pytest.mark.parametrize("exponent", [1.0, 1.33, 1.5, 2.0])
@pytest.mark.parametrize("ratio", [20, 1000])
def test_sizes_follow_the_power_law(exponent, ratio):
    (series,) = drawn("power-law", exponent=exponent, smallest=0.6 / ratio)
    y, power = np.log(series.size * ratio / 0.6), 1 - exponent
    share = y / np.log(ratio) if power == 0 else np.expm1(power * y) / np.expm1(power * np.log(ratio))
    assert stats.kstest(share, "uniform").pvalue > CHANCE


def test_sizes_follow_the_power_law_with_a_cut_off():
    (series,) = drawn("cut-off", events=400)

    def density(x):
        return x**-1.5 * np.exp(-x / 0.12)

    share = [integral(density, 0.03, x) / integral(density, 0.03, 0.6) for x in series.size]
    assert stats.kstest(share, "uniform").pvalue > CHANCE


def test_sizes_follow_the_log_normal_law():
    (series,) = drawn("log-normal")
    assert stats.kstest(series.size, stats.lognorm(0.6, scale=0.1).cdf).pvalue > CHANCE


@pytest.mark.parametrize("mean", [0.9, 0.99, 1.0])
def test_branching_sizes_follow_borel(mean):
    (series,) = drawn("branching", offspring=mean, events=4000, largest_tree=20_000)
    share = np.cumsum(laws.borel(np.arange(1, 20_001), mean))
    share /= share[-1]
    found = np.searchsorted(np.sort(series.size), np.arange(1, 20_001), side="right") / series.size.size
    assert np.abs(found - share).max() < 1.63 / np.sqrt(series.size.size)


def test_borel_is_a_distribution_of_the_right_mean():
    p = laws.borel(np.arange(1, 2000), 0.9)
    assert p.sum() == pytest.approx(1, abs=1e-4)
    assert (p * np.arange(1, 2000)).sum() == pytest.approx(10, rel=1e-2)


def lives_of(series):
    """Activity (event, generation) of every event, zero after its end."""
    start = np.cumsum(series.lifetime) - series.lifetime
    table = np.zeros((series.lifetime.size, series.lifetime.max()), int)
    for k, (first, n) in enumerate(zip(start, series.lifetime, strict=True)):
        table[k, :n] = series.activity[first : first + n]
    return table


def test_branching_lives_are_as_long_as_their_law_has_it():
    (series,) = drawn("branching", events=6000)
    extinct = [0.0]
    for _ in range(8):
        extinct.append(np.exp(extinct[-1] - 1))
    p = np.append(np.diff(extinct), 1 - extinct[-1])
    found = np.bincount(np.minimum(series.lifetime, 9), minlength=10)[1:]
    assert stats.chisquare(found, p * series.lifetime.size).pvalue > CHANCE


def test_the_mean_profile_is_the_mean_of_what_is_drawn():
    (series,) = drawn("branching", events=20_000, largest_tree=2000)
    lives = lives_of(series)
    for n in (3, 5, 8):
        ours = lives[series.lifetime == n, :n]
        np.testing.assert_array_less(
            np.abs(ours.mean(axis=0) - laws.mean_profile(n, 1.0))[1:], 4 * ours.std(axis=0)[1:] / np.sqrt(len(ours))
        )


def test_the_size_of_a_tree_is_the_sum_of_its_generations():
    (series,) = drawn("branching", events=500)
    lives = lives_of(series)
    np.testing.assert_array_equal(lives.sum(axis=1), series.size)
    assert (lives[:, 0] == 1).all()


def test_times_of_poisson_are_uniform_and_those_of_log_poisson_are_so_in_the_logarithm_of_age():
    (steady,), (ageing,) = drawn("poisson"), drawn("log-poisson")
    assert stats.kstest(steady.time / 30_000, "uniform").pvalue > CHANCE
    assert stats.kstest(np.log1p(ageing.time / 30) / np.log1p(30_000 / 30), "uniform").pvalue > CHANCE


@pytest.fixture(scope="module")
def shocks():
    return drawn("etas", events=8000, seed=3)[0]


def test_aftershocks_come_after_what_set_them_off(shocks):
    child = np.flatnonzero(shocks.parent >= 0)
    assert (np.diff(shocks.time) >= 0).all()
    assert (shocks.parent[child] < child).all()
    assert shocks.time.max() < 80_000


def test_delays_of_aftershocks_follow_omori(shocks):
    child = np.flatnonzero(shocks.parent >= 0)
    start = shocks.time[shocks.parent[child]]

    def share(delay):
        return 1 - (1 + delay / 0.1) ** -0.2

    seen = share(shocks.time[child] - start) / share(80_000 - start)
    assert stats.kstest(seen, "uniform").pvalue > CHANCE


def test_aftershocks_are_as_many_as_the_branching_ratio_and_the_size_say(shocks):
    child = np.flatnonzero(shocks.parent >= 0)
    a, b = 0.03, 0.6
    mean_root = np.log(b / a) / 2 / (a**-0.5 - b**-0.5)  # of size ** 0.5 under size ** -1.5
    expected = 0.6 * np.sqrt(shocks.size) / mean_root * laws.omori_share(80_000 - shocks.time, 1.2, 0.1)
    found = np.bincount(shocks.parent[child], minlength=shocks.size.size)
    for group in (shocks.size < 0.05, (shocks.size >= 0.05) & (shocks.size < 0.15), shocks.size >= 0.15):
        assert abs(found[group].sum() - expected[group].sum()) < 3 * np.sqrt(expected[group].sum())


def test_detection_follows_its_curve_and_nine_in_ten_are_found_at_completeness():
    (series,) = drawn("censored", events=20_000)
    p = 1 / (1 + (0.03 / series.size) ** (1 / 0.3))
    for low, high in ((0.006, 0.015), (0.015, 0.03), (0.03, 0.06), (0.06, 0.6)):
        group = (series.size >= low) & (series.size < high)
        assert abs(series.detected[group].sum() - p[group].sum()) < 3 * np.sqrt((p * (1 - p))[group].sum())
    complete = catalogues.completeness(catalogues.catalogue("nano", "censored"))
    assert laws.detected_share(complete, 0.03, 0.3) == pytest.approx(0.9)


def test_one_more_catalogue_or_another_component_changes_no_other():
    one, two = drawn("power-law", events=50), drawn("power-law", events=50, series=2)
    np.testing.assert_array_equal(one[0].time, two[0].time)
    assert not np.array_equal(two[0].size, two[1].size)
    ageing, thinned = drawn("log-poisson", events=50), drawn("power-law", events=50, detection_centre=0.05)
    np.testing.assert_array_equal(ageing[0].size, one[0].size)
    np.testing.assert_array_equal(thinned[0].time, one[0].time)
    np.testing.assert_array_equal(thinned[0].size, one[0].size)


def write(folder, variant, profile="pico", seed=2, **options):
    folder.mkdir()
    catalogues.write_catalogue(folder, profile, seed, options, variant)
    return folder


@pytest.mark.parametrize("variant", catalogues.VARIANTS)
def test_the_pipeline_reads_what_is_written(tmp_path, variant):
    out = write(tmp_path / "out", variant, series=2)
    results = [io.load(out / f"catalogue_{k}.h5") for k in (1, 2)]
    with h5py.File(out / "truth.h5") as truth:
        config, limits = json.loads(truth["config"][()]), truth["range"][()]
        found = truth["series_2/detected"][()]
        np.testing.assert_array_equal(results[1]["events"]["drop"], truth["series_2/size"][()][found])
        np.testing.assert_array_equal(results[1]["events"]["time"], truth["series_2/time"][()][found])
    assert config["suite"] == "catalogue"
    assert results[0]["events"].attrs["duration_s"] == 600
    settings = avalanche_statistics.Settings(smallest=limits[0], largest=limits[1], minimum=10)
    found = avalanche_statistics.run(results, settings)["statistics"]
    assert found.n_all == sum(result["events"].sizes["event"] for result in results)
    assert np.isfinite(found.exponent)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, other = (write(tmp_path / name, "etas") for name in ("one", "other"))
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


@pytest.mark.parametrize(
    ("profile", "variant", "options", "match"),
    [
        ("nona", "", {}, "no profile 'nona'"),
        ("nano", "powerlaw", {}, "did you mean 'power-law'"),
        ("nano", "", {"exponnent": 2}, "exponent"),
        ("nano", "etas,branching", {}, "aftershocks need"),
        ("nano", "", {"smallest": 2.0}, "not below largest"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(profile, variant, options, match):
    with pytest.raises(XcdiError, match=match) as caught:
        catalogues.catalogue(profile, variant, **options)
    assert "\n" not in str(caught.value)
