"""Corrections are the same numbers in every array library."""

import numpy as np
import pytest

from xcdi.kernels import corrections


@pytest.mark.parametrize(
    ("kernel", "other", "options"),
    [
        (corrections.subtract_dark, np.full((5, 3), 2.0), {}),
        (corrections.divide_flat, np.full((5, 3), 1.25), {}),
        (corrections.per_monitor, np.linspace(1, 2, 7), {}),
        (corrections.dead_time, None, {"exposure_s": 0.1, "dead_time_s": 1e-4}),
        (corrections.missing_as_nan, np.arange(15).reshape(5, 3) % 2 == 0, {"sentinel": 3, "saturation": 8}),
    ],
)
def test_any_library_gives_numpys_numbers(xp, as_numpy, kernel, other, options):
    counts = np.random.default_rng(1).poisson(4, (7, 5, 3)).astype(np.float32)
    others = [] if other is None else [other]
    expected = kernel(counts, *others, **options)
    found = kernel(xp.asarray(counts), *(xp.asarray(o) for o in others), **options)
    assert found.dtype == xp.float32
    np.testing.assert_allclose(as_numpy(found), expected, rtol=1e-6)


def test_dead_time_is_the_inverse_of_the_counter():
    true = np.linspace(0, 1e5, 11)[None, :]
    seen = true / (1 + true * 1e-6 / 0.5)
    np.testing.assert_allclose(corrections.dead_time(seen, exposure_s=0.5, dead_time_s=1e-6), true)
