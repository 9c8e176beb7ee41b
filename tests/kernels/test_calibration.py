"""Calibration: what was simulated comes back, its errors are true, and what cannot be known is said."""

from dataclasses import replace

import numpy as np
import pytest

from xcdi.errors import XcdiError
from xcdi.kernels import calibration
from xcdi.kernels import diffractometer as d

TRUTH = d.Camera((241.3, 270.9), 0.83, (55e-6, 65e-6), "x-", "y-", tilt=(("z+", 0.013), ("x+", -0.05), ("y+", 0.08)))
ANGLES = [(nu, delta) for nu in np.radians([-3.0, -0.7, 1.9, 4.1]) for delta in np.radians([-2.6, 0.4, 3.7])]
SIGMA = 0.05


def views(camera=TRUTH):
    return [replace(camera, circles=(("y-", nu), ("x-", delta))) for nu, delta in ANGLES]


def blank():
    """What is known before: pixel size, directions, the arm's angles; a bad idea of the rest."""
    return views(replace(TRUTH, centre_px=(0.0, 0.0), distance=2.0, tilt=()))


def places():
    return np.stack([calibration.direct_beam(view) for view in views()])


def values_of(camera):
    return np.array([*camera.centre_px, camera.distance, *(angle for _, angle in camera.tilt)])


def test_the_place_of_the_beam_has_no_q():
    for view in views():
        row, column = calibration.direct_beam(view)
        np.testing.assert_allclose(d.q_of_pixel(view, row, column, wavelength=0.1), 0, atol=1e-9)


def test_simulated_places_come_back():
    found = calibration.calibrate(places(), blank())
    np.testing.assert_allclose(values_of(found.camera), values_of(TRUTH), rtol=1e-6)
    assert found.residual < 1e-8


@pytest.mark.parametrize("sigma", [None, SIGMA])
def test_errors_are_those_that_repetition_shows(sigma):
    rng, pulls = np.random.default_rng(3), []
    for _ in range(20):
        found = calibration.calibrate(places() + rng.normal(0, SIGMA, (len(ANGLES), 2)), blank(), sigma=sigma)
        pulls.append((values_of(found.camera) - values_of(TRUTH)) / [found.errors[name] for name in calibration.PARAMETERS])
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.8)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.45)


def test_what_is_fixed_stays():
    known = [replace(view, tilt=TRUTH.tilt) for view in blank()]
    found = calibration.calibrate(places(), known, free=("centre_row", "centre_column", "distance"))
    np.testing.assert_allclose(values_of(found.camera), values_of(TRUTH), rtol=1e-6)
    assert set(found.errors) == {"centre_row", "centre_column", "distance"}


def test_a_flat_stage_tells_centre_and_turn():
    flat = replace(TRUTH, tilt=(("z+", 0.02), ("x+", 0.0), ("y+", 0.0)))
    moved = [replace(flat, shift=(x, y, 0.0)) for x in (-4e-3, 1e-3, 5e-3) for y in (-3e-3, 2e-3)]
    seen = np.stack([calibration.direct_beam(view) for view in moved])
    start = [replace(view, tilt=(), centre_px=(0.0, 0.0)) for view in moved]
    found = calibration.calibrate(seen, start, free=("centre_row", "centre_column", "in_plane"))
    np.testing.assert_allclose(values_of(found.camera), values_of(flat), atol=1e-8)
    with pytest.raises(XcdiError, match="distance"):
        calibration.calibrate(seen, start, free=("centre_row", "centre_column", "distance"))


def test_what_the_places_cannot_tell_is_named():
    one_line = [replace(view, circles=(("y-", nu),)) for view, nu in zip(blank(), np.radians(np.linspace(-2, 3, len(ANGLES))), strict=True)]
    seen = np.stack([calibration.direct_beam(replace(TRUTH, circles=view.circles)) for view in one_line])
    with pytest.raises(XcdiError, match=r"2 places .* 6 unknowns"):
        calibration.calibrate(seen[:2], one_line[:2])
    still = [replace(view, circles=()) for view in one_line]
    with pytest.raises(XcdiError, match=r"cannot tell|do not depend"):
        calibration.calibrate(np.tile(seen[:1], (len(ANGLES), 1)), still)
    with pytest.raises(ValueError, match="no parameter 'tilt'"):
        calibration.calibrate(seen, one_line, free=("tilt",))
