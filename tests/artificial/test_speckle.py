import json

import h5py
import numpy as np
import pytest

from xcdi import io
from xcdi.artificial import simulate
from xcdi.artificial.speckle import SPECKLE_VARIANTS, coherence, draw, speckle, write_speckle
from xcdi.errors import XcdiError


@pytest.mark.parametrize("options", [{}, {"plateau": 0.5}, {"ageing_per_s": 0.2}, {"events": ((20, 0.7), (41, 0.0))}, {"exponent": 2.0}])
def test_counts_have_the_correlation_that_is_stated(options):
    s = speckle("pico", pixels=(100, 131), mean_count=2.0, **options)
    movie = draw(s, 4)
    flat = movie.counts.reshape(s.frames, -1).astype(float)
    mean = flat.mean(axis=1)
    assert mean == pytest.approx(2.0, rel=0.05)
    measured = flat @ flat.T / flat.shape[1] / np.outer(mean, mean)
    np.fill_diagonal(measured, (flat * (flat - 1)).mean(axis=1) / mean**2)
    assert abs(measured - movie.two_time).max() < 0.06
    assert (measured - movie.two_time).mean() == pytest.approx(0, abs=4e-3)


def test_contrast_is_one_over_the_modes():
    movie = draw(speckle("pico", modes=3), 0)
    np.testing.assert_allclose(np.diag(movie.two_time), 4 / 3)


def test_coherence_can_exist():
    for options in ({"plateau": 1.0}, {"exponent": 2.0}, {"ageing_per_s": 1.0, "events": ((30, 0.5),)}):
        field = coherence(speckle("pico", **options))
        np.testing.assert_allclose(field, field.T)
        assert np.linalg.eigvalsh(field).min() > -1e-9


def test_the_files_hold_what_is_drawn(tmp_path):
    out = simulate("speckle", tmp_path, profile="pico", seed=9, mean_count=0.5)
    movie = draw(speckle("pico", mean_count=0.5), 9)
    with h5py.File(out / "speckle_series.h5") as series, h5py.File(out / "truth.h5") as truth:
        np.testing.assert_array_equal(series["entry/data/counts"], movie.counts)
        np.testing.assert_array_equal(truth["two_time"], movie.two_time)


def test_an_exponent_above_two_is_refused():
    with pytest.raises(XcdiError, match="exponent"):
        speckle("pico", exponent=2.5)


@pytest.mark.parametrize("variant", SPECKLE_VARIANTS)
def test_every_variant_can_exist_and_says_what_it_is(tmp_path, variant):
    write_speckle(tmp_path, "pico", 1, {"pixels": (3, 5)}, variant)
    with h5py.File(tmp_path / "truth.h5") as truth:
        config, c = json.loads(truth["config"][()]), truth["two_time"][()]
        assert config.pop("suite") == "speckle"
        assert truth["contrast"][()] == pytest.approx(c[0, 0] - 1)
        np.testing.assert_allclose(1 + truth["contrast"][()] * truth["coherence"][()] ** 2, c)
    assert speckle("pico").model_validate(config) == speckle("pico", variant, pixels=(3, 5))


def test_the_beamline_reads_counts_and_times(tmp_path):
    write_speckle(tmp_path, "pico", 1, {}, "")
    scan = io.open_scan(tmp_path / "speckle_series.h5", "speckle_series", "demo_speckle")
    movie = draw(speckle("pico"), 1)
    np.testing.assert_array_equal(scan.counts, movie.counts)
    np.testing.assert_allclose(scan.time, movie.time)


def test_variants_add_up_and_an_unknown_one_is_refused():
    both = speckle("pico", "dim,low-contrast", mean_count=0.1)
    assert (both.modes, both.mean_count) == (10, 0.1)
    with pytest.raises(XcdiError, match="did you mean 'plateau'"):
        speckle("pico", "plateu")
