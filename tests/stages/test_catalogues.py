"""Laws of the statistics of catalogues, with labels: what is given when, what is warned of, what is refused."""

import time

import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import avalanche_statistics

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches.power_laws import sample_power_law
from xcdi.settings import read, template
from xcdi.stages import catalogues, lasting, places, pooling, waits

LAWS = {
    "exponent",
    "p",
    "ratio",
    "burst_exponent",
    "waiting_aic",
    "p_clustering",
    "omori_p",
    "duration_exponent",
    "against_p",
    "brightness_p",
}


def catalogue(seed, n=25, smallest=0.03, *, complete=None, flags="", **columns):
    """EVENTS of a series of 1000 frames of half a second, found with windows of 12 frames."""
    rng = np.random.default_rng(seed)
    frames = 3 + np.sort(rng.choice(994 - 4 * n, n, replace=False)) + 4 * np.arange(n)  # by chance, 5 frames apart or more
    drop = sample_power_law(n, 1.5, smallest, 0.6, rng)
    table = {
        "time": ("event", frames * 0.5, {"units": "s"}),
        "drop": ("event", drop, {"units": "1"}),
        "drop_error": ("event", 0.001 + 0.02 * drop, {"units": "1"}),
        "fraction": ("event", 1 - np.sqrt(1 - drop), {"units": "1"}),
        "flags": ("event", np.full(n, flags, dtype="U16")),
        "score_trace": ("series_frame", np.zeros(1000), {"units": "1"}),
    }
    attrs = {"duration_s": 499.5, "window": 12, "completeness": np.nan if complete is None else complete}
    return xr.Dataset(table | {name: ("event", values) for name, values in columns.items()}, attrs=attrs)


def many(series=16, **options):
    return [catalogue(seed, complete=0.03, **options) for seed in range(series)]


def boundaries(n=5, seed=0):
    rng = np.random.default_rng(seed)
    values = {"area_nm2": rng.uniform(1e4, 1e5, n), "misorientation": 0.02 * rng.random(n), "dip": rng.random(n)}
    table = {name: ("boundary", column) for name, column in values.items()}
    return xr.Dataset({"i": ("boundary", np.arange(1, n + 1)), "j": ("boundary", np.arange(2, n + 2)), **table})


@pytest.fixture(scope="module")
def found():
    return catalogues.statistics(many())


def test_the_exponent_comes_with_its_interval_and_what_else_fits(found):
    assert float(found.exponent) == pytest.approx(1.5, abs=3 * float(found.exponent_error))
    assert float(found.exponent_low) < float(found.exponent) < float(found.exponent_high)
    assert float(found.exponent_high - found.exponent_low) == pytest.approx(4 * float(found.exponent_error), rel=0.25)
    assert float(found.p) > 0.1
    assert "a power law is accepted" in found.attrs["verdict"]
    assert list(found["law"].values) == ["exponential", "lognormal", "cutoff"]
    assert abs(float(found.exponent_noise_shift)) < 0.3 * float(found.exponent_error)


def test_the_fitted_curve_begins_with_all_that_was_fitted(found):
    assert float(found.fit_ccdf[0]) == pytest.approx(float(found.n / found.n_all))
    assert float(found.fit_ccdf[-1]) == pytest.approx(0, abs=1e-9)


def test_counts_and_rates_add_up(found):
    assert int(found.n_all) == int(found.counts.sum()) == found.sizes["event"] == 400
    assert float(found.rate) == pytest.approx(400 / (16 * 499.5))
    assert float(found.rate_series.mean()) == pytest.approx(float(found.rate))


def test_the_same_seed_gives_the_same_bits(found):
    xr.testing.assert_identical(found, catalogues.statistics(many()))


def test_below_the_least_numbers_there_are_counts_and_rates_only():
    few = catalogues.statistics([catalogue(1, 43, complete=0.03)])
    assert not LAWS & set(few.variables)
    assert {"n", "n_all", "rate", "counts", "size", "ccdf"} <= set(few.variables)
    assert "43 events of 0.03 or more; an exponent needs 50" in few.attrs["note"]
    assert "42 waiting times; a law for them needs 200" in few.attrs["note"]


def test_fifty_events_give_an_exponent_and_two_hundred_gaps_a_law_of_waiting_times():
    some, more = catalogues.statistics(many(3)), catalogues.statistics(many(9))
    assert "exponent" in some
    assert "waiting_aic" not in some
    assert {"waiting_aic", "p_clustering", "aftershock_rate"} <= set(more.variables)
    assert "omori_p" not in more
    assert "the law of aftershocks needs 1000" in more.attrs["note"]


def test_no_event_at_all_is_no_failure():
    none = catalogues.statistics([catalogue(1, 25).isel(event=slice(0, 0))])
    assert int(none.n_all) == 0
    assert float(none.rate) == 0
    assert not LAWS & set(none.variables)


def test_every_series_counts_from_its_own_completeness_on():
    series = [catalogue(s, 60, 0.01, complete=0.01 if s % 2 else 0.1) for s in range(8)]
    own, worst = catalogues.statistics(series), catalogues.statistics(series, smallest=0.1)
    assert own.cut.values.tolist() == [0.1, 0.01] * 4
    assert int(own.n) > 2 * int(worst.n)
    assert float(own.exponent_error) < 0.7 * float(worst.exponent_error)
    assert float(own.exponent) == pytest.approx(1.5, abs=3 * float(own.exponent_error))
    assert own.attrs["note"].count("completeness") == worst.attrs["note"].count("completeness") == 0


def test_a_series_that_does_not_say_takes_the_worst_of_the_others():
    ds = catalogues.statistics([catalogue(1, complete=0.05), catalogue(2), catalogue(3, complete=0.04)])
    assert ds.cut.values.tolist() == [0.05, 0.05, 0.04]
    assert "1 of 3 series do not say" in ds.attrs["note"]


def test_a_series_that_shows_no_event_of_any_size_is_left_out_of_the_law():
    seeing, blind = many(3), catalogue(99, complete=np.inf)
    alone, both = catalogues.statistics(seeing), catalogues.statistics([*seeing, blind])
    assert "1 of 4 series shows no event of any size" in both.attrs["note"]
    assert (int(both.n), float(both.exponent)) == (int(alone.n), float(alone.exponent))
    assert int(both.n_all) == int(alone.n_all) + 25
    for smallest in ("complete", 0.05):
        assert int(catalogues.statistics([blind], smallest=smallest).n) == 0
    assert "0.03 or more" in avalanche_statistics.summary({"statistics": both})


def test_where_none_says_the_nearest_fit_is_taken_and_said():
    ds = catalogues.statistics([catalogue(s) for s in range(6)])
    assert ds.attrs["cut_from"] == "nearest fit"
    assert "6 of 6 series do not say" in ds.attrs["note"]


def test_the_nearest_fit_is_never_below_completeness():
    assert float(catalogues.statistics([catalogue(s, complete=0.06) for s in range(9)], smallest="nearest").smallest) >= 0.06


def test_completeness_is_a_drop_also_where_fractions_are_counted():
    ds = catalogues.statistics(many(4), size="fraction")
    assert float(ds.cut[0]) == pytest.approx(1 - np.sqrt(0.97))


def test_a_lower_end_below_completeness_is_warned_of():
    assert "below the completeness" in catalogues.statistics(many(3), smallest=0.02).attrs["note"]
    assert "below the completeness" not in catalogues.statistics(many(3), smallest=0.03).attrs["note"]


def test_noise_that_matters_and_an_upper_end_from_the_sample_are_said():
    noisy = [one.assign(drop_error=("event", np.full(one.sizes["event"], 0.02))) for one in many(8)]
    ds = catalogues.statistics(noisy, largest=None)
    assert "errors of the sizes shift the exponent" in ds.attrs["note"]
    assert "biases the exponent low" in ds.attrs["note"]
    assert ds.attrs["largest_from"] == "largest size found"


@pytest.mark.parametrize("flag", ["artefact", "rigid, short window", "tilt", "beam"])
def test_what_is_no_avalanche_does_not_count(flag):
    assert int(catalogues.statistics([catalogue(1), catalogue(2, flags=flag)]).n_all) == 25


def test_bursts_are_scanned_over_gaps_and_thresholds(found):
    assert found.burst_gap.values.tolist() == [0, 12, 24, 36, 48, 60]
    assert np.all(np.diff(found.burst_n.values, axis=0) <= 0)  # a longer gap merges more
    assert np.all(np.diff(found.burst_n.values[0]) < 0)  # a higher threshold leaves fewer events
    assert float(found.burst_exponent[0, 0]) == pytest.approx(float(found.exponent), abs=1e-6)
    assert float(found.burst_members[0, 0]) == 1


def test_the_shortest_gap_that_can_be_seen_is_that_of_the_search(found):
    assert float(found.waiting_floor) == pytest.approx(2.5)
    assert found.waiting.values.min() >= 2.5


def test_events_that_a_coarser_search_merges_give_no_aftershocks_and_no_lack_of_them():
    rng = np.random.default_rng(3)
    series = []
    for seed in range(12):
        frames = np.cumsum(10 + np.floor(rng.exponential(30, 40))).astype(int)
        frames = frames[frames < 990]
        one = catalogue(seed, frames.size, complete=0.03)
        series.append(one.assign(time=("event", 0.5 * frames)).assign_attrs(separation=10))
    said, silent = (pooling.pool(s, "drop") for s in (series, [one.assign_attrs(separation=5) for one in series]))
    p, wrong = (float(waits.waiting(found, 0)[0]["p_exponential"]) for found in (said, silent))
    assert p > 0.05 > wrong
    told = waits.aftershocks(said, 0)[0]
    assert float(told["p_clustering"]) > 0.05
    assert float(waits.waiting(said, 0)[0]["waiting_floor"]) == 5.0


def test_rates_are_over_the_time_of_good_frames():
    half = [one.assign_attrs(good_frames=500) for one in many(9)]
    whole, part = (waits.aftershocks(pooling.pool(s, "drop"), 0)[0]["aftershock_rate"] for s in (many(9), half))
    np.testing.assert_allclose(part, 2 * whole)
    whole, part = (catalogues.statistics(s[:1]) for s in (many(1), half))
    for name in ("rate", "rate_series"):
        np.testing.assert_allclose(part[name], 2 * whole[name])


def test_what_comes_by_chance_is_found_to_come_by_chance(found):
    assert min(float(found[name]) for name in ("p_exponential", "p_exponential_rescaled", "p_clustering", "p_productivity")) > 0.02
    assert abs(float(found.gamma_shape.sel(scale="raw")) - 1) < 3 * float(found.gamma_shape_error.sel(scale="raw"))


def test_durations_have_a_law_only_where_enough_are_resolved():
    life = np.random.default_rng(0).pareto(0.9, (16, 25)) + 1
    columns = [{"duration": 2.5 * one, "duration_resolved": one < 1e9} for one in life]
    series = [catalogue(s, complete=0.03, **column) for s, column in enumerate(columns)]
    ds = catalogues.statistics(series, longest=250.0)
    assert {"duration_exponent", "size_slope", "exponent_relation", "relation_p"} <= set(ds.variables)
    assert float(ds.duration_exponent) == pytest.approx(1.9, abs=4 * float(ds.duration_exponent_error))
    assert abs(float(ds.size_slope)) < 4 * float(ds.size_slope_error)  # sizes know nothing of durations here
    fast = catalogues.statistics([one.assign(duration_resolved=("event", np.zeros(25, bool))) for one in series])
    assert "duration_exponent" not in fast
    assert "no event is longer than a frame" in fast.attrs["note"]


@pytest.mark.parametrize("ends", [(0.59, 0.6), (0.7, 0.6), (0.03, 0.01), (0.7, None)])
def test_durations_keep_their_law_where_sizes_have_none(ends):
    life = 2.5 * (np.random.default_rng(0).pareto(0.9, (9, 25)) + 1)
    found = pooling.pool([catalogue(s, duration=one) for s, one in enumerate(life)], "drop")
    added, notes = lasting.durations(found, ends, (None, 250.0), 0)
    assert {"duration_exponent", "size_slope"} <= set(added)
    assert "relation_p" not in added
    assert "their relation needs 50" in notes[0]
    assert len(list(avalanche_statistics._durations(xr.Dataset(added)))) == 2


def placed(seed):
    """Events on five boundaries in proportion to their area, as the probable ones of three candidates."""
    one, table = catalogue(seed, complete=0.03), boundaries(seed=seed)
    area = table.area_nm2.values
    first = np.random.default_rng(seed).choice(5, 25, p=area / area.sum())
    ranked = np.stack([first, (first + 1) % 5, np.full(25, -1)], axis=-1)
    chance = np.tile([0.96, 0.03, 0.01], (25, 1))
    return one.assign(boundary=("event", first), ranked=(("event", "rank"), ranked), ranked_probability=(("event", "rank"), chance)), table


def test_events_go_with_the_area_of_their_boundary():
    events, tables = zip(*(placed(seed) for seed in range(16)), strict=True)
    ds = catalogues.statistics(events, boundaries=tables)
    assert float(ds.boundary_events.sum()) == pytest.approx(0.99 * 400)
    assert ds.sizes["boundary"] == 80
    rank, p = (ds[name].sel(against="area").item() for name in ("against_rank", "against_p"))
    assert rank > 0.5
    assert p < 0.01
    assert float(ds.area_exponent) == pytest.approx(1.0, abs=4 * float(ds.area_exponent_error))


def blurred(seed, clear):
    """Events on six boundaries whatever their area, and the posterior of a prior that knows the area; likelihoods of clearness `clear`."""
    rng = np.random.default_rng(seed)
    one, table = catalogue(seed, complete=0.03), boundaries(6, seed)
    table["area_nm2"] = ("boundary", np.exp(rng.normal(0, 1, 6)))
    true, signal = rng.integers(6, size=25), rng.normal(size=(25, 6))
    signal[np.arange(25), true] += clear
    chance = np.exp(clear * signal) * table.area_nm2.values
    chance /= chance.sum(axis=1, keepdims=True)
    ranked = np.argsort(-chance, axis=1)
    columns = {"ranked": ranked, "ranked_probability": np.take_along_axis(chance, ranked, 1)}
    one = one.assign({name: (("event", "rank"), value[:, :3]) for name, value in columns.items()})
    return one.assign(boundary=("event", ranked[:, 0]), probability=("event", columns["ranked_probability"][:, 0])), table


def placing(trial, clear):
    events, tables = zip(*(blurred(100 * trial + k, clear) for k in range(4)), strict=True)
    return places.participation(pooling.pool(events, "drop"), tables, 50, 0)


def test_the_prior_of_attribution_does_not_become_a_law_of_boundaries():
    p = [float(placing(trial, 3.0)[0]["against_p"][0]) for trial in range(20)]
    assert np.mean(np.array(p) < 0.05) <= 0.2
    table, notes = placing(0, 1.0)
    assert "boundary_events" in table
    assert "against_p" not in table
    assert "a mean probability of 0." in notes[0]


def test_one_particle_is_enough_for_the_boundaries_of_its_events():
    parts = [placed(seed) for seed in (1, 2)]
    one = xr.concat([events for events, _ in parts], "event", data_vars="minimal", combine_attrs="override")
    ds = catalogues.statistics([one], boundaries=[parts[0][1]])
    assert np.isfinite(float(ds.area_exponent))


def test_tables_of_boundaries_must_be_as_many_as_series():
    with pytest.raises(XcdiError, match="1 tables of boundaries for 2 series"):
        catalogues.statistics(many(2), boundaries=[boundaries()])


def test_a_rise_of_brightness_is_told_from_none():
    rng = np.random.default_rng(0)
    steps = 0.02 * rng.standard_normal((16, 25))
    p = [
        float(catalogues.statistics([catalogue(s, complete=0.03, brightness_step=x + up) for s, x in enumerate(steps)]).brightness_p)
        for up in (0, 0.01)
    ]
    assert p[1] < 0.01 < p[0]


def test_a_missing_column_or_no_catalogue_is_refused_in_one_line():
    with pytest.raises(SchemaError, match="need the column 'drop_internal', and the events have"):
        catalogues.statistics(many(2), size="drop_internal")
    with pytest.raises(SchemaError, match="need the column 'time'"):
        catalogues.statistics([catalogue(1).drop_vars("time")])
    with pytest.raises(XcdiError, match="no events to count"):
        catalogues.statistics([])


def test_four_hundred_events_take_no_more_than_two_seconds():
    series = many()
    start = time.process_time()
    catalogues.statistics(series)
    assert time.process_time() - start < 2  # 0.7 on a free core


def test_the_pipeline_tells_in_words_what_it_found_and_what_is_missing():
    events, tables = zip(*(placed(seed) for seed in range(16)), strict=True)
    result = avalanche_statistics.run([{"events": e, "boundaries": b} for e, b in zip(events, tables, strict=True)])
    words = avalanche_statistics.table(result)
    for part in ("400 events in 16 series", "exponent ", "a power law is accepted", "waiting times", "aftershocks", "most active", "area"):
        assert part in words, part
    few = avalanche_statistics.run([{"events": catalogue(1, 9)}, {"crystal": xr.Dataset()}])
    assert "no exponent" in avalanche_statistics.summary(few)
    assert "an exponent needs 50" in avalanche_statistics.table(few)
    assert few["statistics"].attrs["results_without_events"] == 1


def test_results_without_events_are_refused():
    with pytest.raises(XcdiError, match="none of 1 results holds events"):
        avalanche_statistics.run([{"crystal": xr.Dataset()}])


@pytest.mark.parametrize("ends", [{"smallest": 0.5, "largest": 0.3}, {"shortest": 2.0, "longest": 1.0}])
def test_ends_in_the_wrong_order_are_refused(ends):
    with pytest.raises(ValueError, match=r"expected (smallest|shortest) below (largest|longest)"):
        catalogues.Counting(**ends)


def test_a_whitened_drop_has_no_completeness():
    whitened = [one.assign(drop_whitened=one["drop"], whitened_error=one["drop_error"]) for one in many(4)]
    ds = catalogues.statistics(whitened, size="drop_whitened")
    assert ds.attrs["cut_from"] == "nearest fit"
    assert "4 of 4 series do not say" in ds.attrs["note"]


def test_results_at_different_flux_are_told_to_follow_the_time_or_the_photons():
    def series(flux, n):
        light = {"mean_count": flux, "good_frames": 1000, "photons": 1000 * flux * 1000}
        return [one.assign_attrs(light) for one in many(3, n=n)]

    words = avalanche_statistics.table(avalanche_statistics.run([{"events": e} for e in series(0.2, 10) + series(0.8, 40)]))
    assert "follows the photons" in words
    assert "per 10^6 photons" in words
    assert not [name for name in catalogues.statistics(series(0.2, 25) + series(0.25, 25)).variables if "dose" in str(name)]


def test_settings_can_be_written_and_read(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(template(avalanche_statistics.Settings))
    assert read(avalanche_statistics.Settings, path) == avalanche_statistics.Settings()
    path.write_text('smallest = "nearest"\nlargest = 0.5\n')
    assert read(avalanche_statistics.Settings, path).smallest == "nearest"
    path.write_text("smallest = 0.05\n")
    assert read(avalanche_statistics.Settings, path).smallest == 0.05
