"""Quoted errors of single elements of a map are their scatter."""

import numpy as np
import pytest
import xarray as xr

from xcdi.stages.correlation import TwoTime

TIMES, SHAPE = 101, (29, 31)


@pytest.mark.parametrize(("normalisation", "mean"), [("N1", 0.3), ("N5", 0.3), ("N5", 4.0)])
def test_an_element_scatters_as_its_error_says(normalisation, mean):
    """Frames that share nothing, of four modes of speckle."""
    rng = np.random.default_rng(3)
    intensity = rng.gamma(4.0, 0.25, (TIMES, *SHAPE))
    data = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), rng.poisson(mean * intensity).astype(np.uint16), {"units": "1"}),
            "valid": (("y", "x"), np.ones(SHAPE, bool), {"units": ""}),
        },
        coords={"time": ("frame", np.arange(TIMES) * 0.1, {"units": "s"})},
    )
    found = TwoTime(np.ones(SHAPE, bool), normalisation=normalisation).add(data).result()
    scatter = found.two_time[0].to_numpy()[np.triu_indices(TIMES, 1)].std()
    assert scatter == pytest.approx(float(found.element_error[0].median()), rel=0.06)
