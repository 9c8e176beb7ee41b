"""Pictures of a correlation whose times are not 0, 1, 2."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from xcdi.plot import correlation


def series(time):
    n = len(time)
    return xr.Dataset(
        {
            "two_time": (("region", "time", "time2"), 1 + 0.2 * np.random.default_rng(1).random((1, n, n)), {"units": "1"}),
            "mean_count": (("region", "time"), np.ones((1, n)), {"units": "1"}),
        },
        {name: (name, np.asarray(time, float), {"units": "s"}) for name in ("time", "time2")},
    )


def test_a_long_pause_makes_no_longer_picture():
    time = 0.1 * np.arange(60)
    time[31:] += 5000
    some = series(time)
    plane = correlation.evenly(some.two_time.values[0], time)
    assert len(plane) <= correlation.LONGEST + 1
    assert plane.time[-1] >= time[-1] - 2 * float(plane.time[1] - plane.time[0])
    assert plane.values[0, 0] == some.two_time.values[0, 0, 0]
    assert np.isin(plane.values[np.isfinite(plane.values)], some.two_time.values).all()


def test_a_short_pause_keeps_every_frame():
    time = 0.1 * np.arange(60)
    time[31:] += 50
    some = series(time)
    plane = correlation.evenly(some.two_time.values[0], time).values
    assert plane.shape == (560, 560)
    here = np.r_[0:31, 531:560]
    np.testing.assert_array_equal(plane[np.ix_(here, here)], some.two_time.values[0])


def test_times_below_the_intensity_do_not_run_into_each_other():
    made = Figure(figsize=(3.4, 1.4))
    ax = correlation.intensity(series(1000 + 0.1 * np.arange(200)), made.add_subplot())
    made.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    shown = sorted((box.x0, box.x1) for box in boxes)
    assert len(shown) > 2
    assert all(left[1] < right[0] for left, right in itertools.pairwise(shown))


def test_colours_reach_the_stretch_of_most_contrast_and_not_the_noise():
    time, rng = np.arange(400.0), np.random.default_rng(3)
    height = np.where(time < 80, 2.0, 0.4)
    noise = rng.normal(0, 0.3, (400, 400))
    seen = series(time)
    level = 1 + np.sqrt(np.outer(height, height)) * np.exp(-np.abs(time[:, None] - time) / 200)
    uneven = seen.assign(two_time=seen.two_time.copy(data=(level + (noise + noise.T) / 2)[None]))
    assert 2.8 < correlation.two_time(uneven).images[0].norm.vmax < 3.0
    even = uneven.assign(two_time=1 + (uneven.two_time - 1) * (0.4 / np.sqrt(np.outer(height, height))))
    assert not isinstance(correlation.two_time(even).images[0].norm, PowerNorm)


def test_a_fit_with_a_rate_within_its_error_is_dashed_and_said_not_to_be_resolved():
    delay, one = np.arange(1.0, 40.0), {"units": "1"}
    numbers = {"rate": 0.01, "rate_error": 0.01, "exponent": 1.0, "fit_contrast": 0.2, "fit_contrast_error": 0.01, "baseline": 1.0}
    curve = {"g2": (("region", "delay"), 1 + 0.2 * np.exp(-0.02 * delay)[None], one)}
    found = xr.Dataset({**curve, **{name: ("region", [value], one) for name, value in numbers.items()}}, {"delay": delay})
    ax = correlation.g2(found)
    assert ax.lines[-1].get_linestyle() == "--"
    assert "not resolved" in ax.get_legend().get_texts()[0].get_text()
    firm = correlation.g2(found.assign(rate_error=("region", [0.001], one)))
    assert firm.lines[-1].get_linestyle() == "-"
    assert "not resolved" not in firm.get_legend().get_texts()[0].get_text()
