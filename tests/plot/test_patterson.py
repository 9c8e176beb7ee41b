"""The quick look in a picture."""

import numpy as np
import xarray as xr

from xcdi.plot import patterson


def quick(top=20.0):
    maps = np.ones((2, 5, 7), np.float32)
    maps[1, 1, 5] = maps[1, 3, 1] = top
    axes = {"row_nm": ("row_nm", np.arange(-2, 3) * 10.0), "column_nm": ("column_nm", np.arange(-3, 4) * 11.0)}
    return xr.Dataset({"patterson": (("event", "row_nm", "column_nm"), maps), "time": ("event", [1.0, 2.5])}, coords=axes)


def test_the_map_of_the_event_asked_for_is_drawn_in_nanometres():
    ax = patterson.difference(quick(), 1)
    assert "2.5 s" in ax.get_title()
    assert ax.images[0].get_array().max() == 20.0
    assert ax.images[0].get_extent() == [-33.0, 33.0, 20.0, -20.0]


def test_noise_alone_stays_dark():
    drawn = patterson.difference(quick(), 0).images[0]
    assert drawn.norm(drawn.get_array()).max() <= 0
