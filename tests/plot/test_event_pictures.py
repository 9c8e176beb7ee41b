"""Pictures of events link each of them to its boundary, and of statistics say what there are too few events for."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from xcdi.plot import avalanches, catalogue_checks, event_statistics, linked, poster, report, style

LAB = ("z", "y", "x")


def column(dim, values, units="1"):
    return dim, np.asarray(values), {"units": units}


@pytest.fixture
def crystal():
    """Three grains in a box: 1 on the left, 2 and 3 above one another on the right."""
    axes = {d: (np.arange(n) - n // 2) * 20.0 for d, n in zip(LAB, (7, 11, 13), strict=True)}
    support = np.zeros((7, 11, 13), bool)
    support[1:-1, 2:-2, 2:-2] = True
    y, x = np.arange(11)[:, None], np.arange(13)
    grain = np.where(support, np.where(x < 6, 1, np.where(y < 5, 2, 3)), 0).astype("int16")
    data = {"amplitude": (LAB, support * 1.0), "strain": (LAB, grain * 1e-3), "support": (LAB, support), "grain": (LAB, grain)}
    return xr.Dataset(data, axes, attrs={"grade": "good"})


@pytest.fixture
def boundaries():
    return xr.Dataset(
        {"i": column("boundary", [1, 1, 2]), "j": column("boundary", [2, 3, 3]), "area_nm2": column("boundary", [1e6, 5e5, 2e6])}
    )


@pytest.fixture
def events():
    """Seven events: three on 2 | 3, two on 1 | 3, one on none, and one that is none of the inside."""
    columns = {
        "time": column("event", [1.0, 1.5, 2.0, 4.0, 6.0, 8.0, 9.0], "s"),
        "drop": column("event", [0.1, 0.4, 0.02, 0.2, 0.1, 0.3, 0.5]),
        "drop_error": column("event", np.full(7, 0.01)),
        "boundary_i": column("event", [3, 1, 2, 2, 3, 0, 1]),
        "boundary_j": column("event", [2, 3, 3, 3, 1, 0, 2]),
        "flags": column("event", ["", "", "", "possibly merged", "", "", "rigid"]),
    }
    return xr.Dataset(columns, attrs={"duration_s": 10.0, "smallest_visible": 0.03})


@pytest.fixture
def correlation():
    time = np.arange(21) * 0.5
    two_time = column(("region", "time", "time2"), np.full((1, 21, 21), 1.3))
    return xr.Dataset({"two_time": two_time}, {"time": column("time", time, "s"), "time2": column("time2", time, "s")})


@pytest.fixture
def statistics():
    rng = np.random.default_rng(2)
    size, wait = np.sort(rng.pareto(0.5, 61) * 0.01 + 0.01), rng.exponential(20.0, 211)
    found = {"size": column("event", size), "ccdf": column("event", 1 - np.arange(61) / 61), "waiting": column("gap", wait, "s")}
    numbers = {"n": 31, "n_all": 61, "rate": 0.03, "rate_error": 0.004, "smallest": 0.02}
    notes = "31 events of 0.02 or more; an exponent needs 50. no burst law. 9 aftershocks; their law needs 200"
    return xr.Dataset({**found, **{name: column((), value) for name, value in numbers.items()}}, attrs={"series": 4, "note": notes})


def words(ax):
    return " ".join(text.get_text() for text in ax.texts).replace("\n", " ")


def test_the_busiest_boundary_comes_first_and_what_is_no_event_counts_for_none(events):
    known = linked.links(events)
    assert {pair: (link.letter, link.events) for pair, link in known.items()} == {(2, 3): ("A", 3), (1, 3): ("B", 2)}


def test_activity_is_events_per_area(events, boundaries):
    assert linked.activity(events, boundaries) == ({(2, 3): 1.5, (1, 3): 4.0}, linked.DENSITY)
    assert linked.activity(events, None)[1] == linked.NUMBER


@pytest.mark.parametrize("seed", range(5))
def test_letters_keep_their_distance_and_their_order(seed):
    places = np.sort(np.random.default_rng(seed).uniform(0, 50, 17))
    moved = linked.spread(places, 2.5)
    assert np.diff(moved).min() >= 2.5 - 1e-9
    assert moved.mean() == pytest.approx(places.mean())
    np.testing.assert_array_equal(linked.spread(places * 100, 2.5)[[0, -1]], places[[0, -1]] * 100)


def test_a_tick_has_the_colour_and_letter_of_its_boundary(events):
    ax = style.figure().subplots()
    ax.set_xlim(0, 10)
    linked.ticks(ax, events)
    known = linked.links(events)
    assert [text.get_text() for text in ax.texts] == ["A", "B", "A", "A", "B"]
    real, aside = ax.collections
    np.testing.assert_allclose(real.get_facecolors()[1, :3], to_rgb(known[1, 3].colour))
    np.testing.assert_allclose(real.get_facecolors()[5, :3], to_rgb(linked.NOBODY))
    np.testing.assert_array_equal(aside.get_offsets()[:, 0], [9.0])


def test_the_same_letters_stand_on_map_and_boundaries(crystal, events, boundaries, correlation):
    made = poster.poster({"crystal": crystal, "events": events, "boundaries": boundaries, "correlation": correlation})
    grains, two_time, drops = made.axes[1], made.axes[3], made.axes[4]
    assert {"A", "B"} <= {text.get_text() for text in grains.texts}
    assert {"A", "B"} == {text.get_text() for text in two_time.texts}
    assert [text.get_text() for text in drops.get_legend().get_texts()] == ["A: 2 | 3", "B: 1 | 3", "no boundary", "set apart"]
    assert "xcdi run avalanche_statistics" in words(made.axes[5])
    assert made.get_suptitle() == "6 events in 10 s; half of those of D = 0.03 are found"


def test_an_experiment_without_events_has_its_poster(crystal, events, boundaries, correlation, statistics):
    none = events.isel(event=slice(0, 0))
    made = poster.poster(
        {"crystal": crystal, "events": none, "boundaries": boundaries, "correlation": correlation, "statistics": statistics}
    )
    assert "no event of measurable size" in words(made.axes[4])


def test_the_line_of_the_smallest_visible_event_is_where_it_says(events):
    ax = avalanches.drops(events)
    assert [float(line.get_ydata()[0]) for line in ax.lines if line.get_linestyle() == ":"] == [0.03]


def test_the_share_of_injected_events_is_drawn_with_what_is_read_off_it(events):
    found = {"injected_drop": column("injected", [0.01, 0.03, 0.1]), "injected_found": column("injected", [0.1, 0.6, 1.0])}
    ax = avalanches.completeness(events.assign(found))
    np.testing.assert_array_equal(ax.containers[0].lines[0].get_ydata(), [0.1, 0.6, 1.0])
    assert "50 %: $D$ = 0.03" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert "completeness" in report.figures({"events": events.assign(found)})


def test_no_share_of_found_events_has_a_bar_beyond_none_or_all(events):
    found = {"injected_drop": [0.01, 0.03, 0.1], "injected_found": [0.0, 0.6, 1.0], "injected_error": [0.05, 0.1, 0.05]}
    ax = avalanches.completeness(events.assign({name: column("injected", values) for name, values in found.items()}))
    ends = np.array(ax.containers[0].lines[2][0].get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, [[0, 0.05], [0.5, 0.7], [0.95, 1]])


def test_series_with_a_smallest_size_each_are_not_said_to_share_one(statistics):
    scalars = {"exponent": 1.5, "exponent_error": 0.1, "largest": 0.6}
    curve = {"fit_size": column("curve", [0.02, 0.6]), "fit_ccdf": column("curve", [0.5, 0.0]), "cut": column("series", [0.005, 0.02])}
    ax = event_statistics.size_distribution(statistics.assign({**{name: column((), value) for name, value in scalars.items()}, **curve}))
    assert "$N$ = 31 from each series' completeness: $x_{min}$ = 0.005 to 0.02, $x_{max}$ = 0.6" in words(ax)
    assert [float(line.get_xdata()[0]) for line in ax.lines if line.get_linestyle() == ":"] == [0.005, 0.02]


def test_every_panel_says_in_words_what_there_are_too_few_events_for(statistics):
    sizes, raw, rescaled, bursts, places, after = event_statistics.overview(statistics).axes
    assert "an exponent needs 50" in words(sizes)
    assert "211 waits" in words(raw)
    assert "no burst law" in words(bursts)
    assert "no event is placed on a boundary" in words(places)
    assert "9 aftershocks; their law needs 200" in words(after)
    assert words(rescaled)


def test_a_law_is_drawn_only_where_it_was_tested(statistics):
    assert len(event_statistics.waiting_times(statistics).lines) == 1
    tested = statistics.assign(p_exponential=column((), 0.001))
    ax = event_statistics.waiting_times(tested)
    assert len(ax.lines) == 2
    assert "(rejected)" in words(ax)


def test_laws_of_waits_begin_where_waits_can_be_seen(statistics):
    wait = 5 + statistics["waiting"].values
    columns = {"waiting": column("gap", wait, "s"), "waiting_shortest": column("gap", np.full(wait.size, 5.0), "s")}
    laws = xr.Dataset({"gamma_shape": ("scale", [0.5]), "gamma_scale": ("scale", [0.8])}, {"scale": ["raw"]})
    ax = event_statistics.waiting_times(statistics.assign({**columns, "p_exponential": column((), 0.5)}).merge(laws))
    for line in ax.lines[1:]:
        x, share = line.get_data()
        np.testing.assert_allclose(share[x < 5], 1.0)
        assert np.all(np.diff(share[x > 5]) < 0)
    x, share = ax.lines[1].get_data()
    np.testing.assert_allclose(share[x > 5], np.exp(-(x[x > 5] - 5) / np.mean(wait - 5)))


@pytest.mark.parametrize("shape", [0.6, 1.0, 2.5])
def test_the_gamma_law_is_a_share_of_mean_one(shape):
    x = np.geomspace(1e-4, 30, 4001)
    share = event_statistics._gamma_share(x, shape)
    assert np.all(np.diff(share) <= 0)
    assert np.trapezoid(share, x) == pytest.approx(1.0, abs=2e-3)
    if shape == 1:
        np.testing.assert_allclose(share, np.exp(-x), atol=1e-3)


def test_a_fit_is_written_with_its_interval_its_number_and_what_else_fits(statistics):
    scalars = {"exponent": 1.5, "exponent_error": 0.1, "exponent_low": 1.3, "exponent_high": 1.7, "largest": 0.6, "p": 0.4}
    curve = {"fit_size": column("curve", [0.02, 0.6]), "fit_ccdf": column("curve", [0.5, 0.0])}
    laws = {"ratio": column("law", [2.0, -3.0]), "ratio_p": column("law", [0.3, 0.01])}
    fitted = statistics.assign({**{name: column((), value) for name, value in scalars.items()}, **curve, **laws})
    said = words(event_statistics.size_distribution(fitted.assign_coords(law=["lognormal", "cutoff"])))
    for part in ("1.50 ± 0.10", "1.30 to 1.70", "$N$ = 31", "$p$ = 0.4", "vs log-normal: undecided", "vs cut-off: worse"):
        assert part in said


def test_boundaries_of_bursts_durations_and_aftershocks_are_drawn_from_their_columns(statistics):
    two = ("burst_gap", "burst_threshold")
    full = statistics.assign(
        burst_exponent=column(two, np.full((3, 2), 1.5)),
        burst_exponent_error=column(two, np.full((3, 2), 0.1)),
        mean_size=column("lifetime", [0.1, 0.2, 0.4]),
        size_slope=column((), 1.0),
        boundary_area=column("boundary", [1e5, 2e5], "nm2"),
        boundary_events=column("boundary", [1, 3]),
        boundary_i=column("boundary", [1, 1]),
        boundary_j=column("boundary", [2, 3]),
        aftershock_rate=column(("size_class", "delay"), np.full((2, 3), 0.05), "1/s"),
        aftershock_rate_error=column(("size_class", "delay"), np.full((2, 3), 0.01), "1/s"),
    ).assign_coords(burst_gap=[12, 24, 36], burst_threshold=[0.02, 0.04], lifetime=[1.0, 2.0, 4.0], delay=[1.0, 10.0, 100.0])
    line = catalogue_checks.size_at_duration(full).lines[-1]
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.4])
    assert len(catalogue_checks.bursts(full).containers) == 2
    assert {text.get_text() for text in catalogue_checks.participation(full).texts} == {"1 | 2", "1 | 3"}
    assert len(catalogue_checks.aftershocks(full).containers) == 2


def test_a_page_of_statistics_is_among_the_pictures_of_a_result(statistics):
    drawn = report.figures({"statistics": statistics})
    assert list(drawn) == ["event_statistics", "size_distribution", "waiting_times"]
    assert set(drawn) <= set(report.CAPTIONS)
