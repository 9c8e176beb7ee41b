"""Pictures of a correlation whose times are not 0, 1, 2."""

import itertools

import numpy as np
import xarray as xr
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
