"""Regridding: an arc is as deep as a circle says, and the intensities are those that even steps would have measured."""

import numpy as np
import pytest

from xcdi.kernels import geometry as g
from xcdi.kernels.regridding import Grid, arc_sagitta, regrid, stray, true_q

LAMBDA = g.wavelength(9.65)
Q111 = 2 * np.pi * np.sqrt(3) / (np.sqrt(2) * 5.6)  # 1/nm, of a superlattice: small, so that scans are long
SHAPE = (41, 37, 33)
MIDDLE = (20, 18, 16)
ARM = 2 * np.arcsin(Q111 * LAMBDA / (4 * np.pi))
CAMERA = g.Camera((18.0, 16.0), 2.5, (75e-6, 75e-6), circles=(("y+", ARM),))
ATOMIC = g.Camera((18.0, 16.0), 1.5, (75e-6, 75e-6), circles=(("y+", np.radians(31.64)),))


def long_scan(step_deg=0.15, camera=CAMERA, outer=()):
    return Grid(camera, g.Rocking("y+", np.radians(step_deg), outer), MIDDLE, LAMBDA)


def even_q(grid, shape=SHAPE):
    steps, peak = grid.basis
    return np.tensordot(steps, np.indices(shape) - np.reshape(grid.reference, (3, 1, 1, 1)), axes=1) + peak[:, None, None, None]


def fringes(grid, q):
    """Intensity of two small balls: fringes of 4 to 6 samples along each index."""
    away = q - grid.basis.peak[:, None, None, None]
    size = np.exp(-np.tensordot(np.array([80.0, 70.0, 40.0]) ** 2, away**2, axes=1))
    return size * (1 + 0.8 * np.cos(np.tensordot(np.array([1000.0, 850.0, 300.0]), away, axes=1)))


def both(grid):
    """What is measured, and what even steps would have."""
    return fringes(grid, true_q(grid, np.indices(SHAPE, dtype=float))), fringes(grid, even_q(grid))


def test_steps_of_the_reference_are_those_of_the_scan():
    grid = long_scan(outer=(("x-", 0.2), ("z+", -0.4)))
    here = np.array(MIDDLE, float)
    at = true_q(grid, here)
    np.testing.assert_allclose(at, grid.basis.peak, rtol=1e-12)
    np.testing.assert_allclose(true_q(grid, here + np.eye(3)[0]) - at, grid.basis.steps[:, 0], atol=1e-12)
    for axis in (1, 2):
        half = np.eye(3)[axis] / 2
        np.testing.assert_allclose(true_q(grid, here + half) - true_q(grid, here - half), grid.basis.steps[:, axis], atol=1e-9)


def test_the_length_of_q_does_not_change_while_the_crystal_turns():
    lengths = np.linalg.norm(true_q(long_scan(), np.stack([np.arange(41.0), np.full(41, 3.0), np.full(41, 7.0)])), axis=0)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-12)


def test_the_arc_is_half_q_times_the_angle_squared():
    """In the plan's numbers: half a pixel at 1.87 degrees, for this lattice at 2.5 m."""
    grid = Grid(CAMERA, g.Rocking("y+", np.radians(0.0187)), (100, 0, 0), LAMBDA)
    depth = arc_sagitta(grid, (201, 1, 1))
    assert np.linalg.norm(grid.basis.steps @ depth) == pytest.approx(Q111 * np.radians(1.87) ** 2 / 2, rel=0.02)
    assert depth[2] == pytest.approx(0.5, abs=0.02)


def test_the_arc_grows_with_the_square_of_the_scan():
    short, long = (arc_sagitta(Grid(ATOMIC, g.Rocking("y+", 1e-4), (n, 0, 0), LAMBDA), (2 * n + 1, 1, 1)) for n in (20, 40))
    np.testing.assert_allclose(long[[0, 2]] / short[[0, 2]], [4.0, 4.0], rtol=0.06)


def test_the_arc_is_told_where_there_is_light():
    grid, counts = long_scan(), np.zeros(SHAPE)
    assert not arc_sagitta(grid, SHAPE, counts).any()
    counts[30, 4, 4] = 1e6  # a hot pixel
    assert not arc_sagitta(grid, SHAPE, counts).any()
    counts[:2, 17:20, 15:18] = 10
    at_the_end = np.abs(stray(grid, np.array([0.0, 18.0, 16.0])))
    assert at_the_end[2] <= arc_sagitta(grid, SHAPE, counts)[2] < 1.2 * at_the_end[2]


def test_an_energy_scan_goes_straight_and_its_pixels_spread():
    grid = Grid(ATOMIC, g.EnergyScan(1e-4), (20, 0, 0), LAMBDA)
    assert arc_sagitta(grid, (41, 1, 1)).max() < 1e-6
    assert arc_sagitta(grid, (41, 33, 1))[1] == pytest.approx(32 * 20 * 1e-4, rel=0.3)


@pytest.mark.parametrize("outer", [(), (("x-", 0.1), ("z+", -0.3))], ids=["bare", "on two circles"])
def test_intensities_come_where_even_steps_have_them(outer):
    grid = long_scan(outer=outer)
    measured, known = both(grid)
    found = regrid(1e4 * measured, np.ones(SHAPE, bool), grid)
    assert arc_sagitta(grid, SHAPE).max() > 1
    assert found.valid.mean() > 0.7
    left, before = ((each - known)[found.valid] for each in (found.counts / 1e4, measured))
    assert np.abs(before).max() > 0.05  # of a peak of 1.8
    assert np.abs(left).max() < 1.5e-3
    assert np.linalg.norm(left) < np.linalg.norm(before) / 30


def test_even_steps_stay_as_they_are():
    grid = Grid(g.Camera((18.0, -1e7), 1e10, (1.0, 1.0)), g.Rocking("y+", 1e-7), MIDDLE, LAMBDA)  # next to no curvature
    counts = np.random.default_rng(0).poisson(3.0, SHAPE)
    valid = np.random.default_rng(1).random(SHAPE) < 0.999
    assert arc_sagitta(grid, SHAPE).max() < 1e-4
    found = regrid(counts, valid, grid)
    np.testing.assert_allclose(found.counts, np.where(found.valid, counts, 0), atol=5e-3)
    assert 0.6 < found.valid.mean() < 0.9
    assert not (found.valid & ~valid).any()


def test_a_gap_stays_free_and_does_not_ring():
    grid = long_scan()
    measured, known = both(grid)
    valid = np.ones(SHAPE, bool)
    valid[:, :, 19:21] = False
    spoiled = np.where(valid, 1e4 * measured, np.nan)
    found = regrid(spoiled, valid, grid)
    assert np.isfinite(found.counts).all()
    assert not found.valid[20, :, 19:21].any()  # the arc is flat there
    assert not found.counts[~found.valid].any()
    assert 0.6 < found.valid.mean() < 0.9
    assert np.abs(found.counts / 1e4 - known)[found.valid].max() < 0.02


def test_counts_are_kept_and_their_noise_is_told():
    grid = long_scan()
    counts = np.random.default_rng(2).poisson(50.0, SHAPE)
    found = regrid(counts, np.ones(SHAPE, bool), grid)
    kept = found.counts[found.valid]
    assert kept.mean() == pytest.approx(50, rel=0.01)
    assert 0.6 < kept.var() / 50 < 1


def test_where_nothing_is_valid_nothing_is():
    found = regrid(np.ones(SHAPE), np.zeros(SHAPE, bool), long_scan())
    assert not found.valid.any()
    assert not found.counts.any()


def test_every_pixel_of_every_frame_is_where_xrayutilities_puts_it():
    xu = pytest.importorskip("xrayutilities")
    angles, arm = 0.22 + 0.05 * np.arange(5), (32.174, 12.6346)
    circles = (("y+", np.radians(arm[0])), ("x-", np.radians(arm[1])))
    camera = g.Camera((7.0, 9.0), 0.5, (55e-6, 55e-6), circles=circles)
    with np.errstate(all="ignore"):
        conversion = xu.QConversion(["z-", "y+"], ["y+", "x-"], [0, 0, 1])
        conversion.init_area("y-", "x+", cch1=7, cch2=9, Nch1=11, Nch2=13, distance=0.5, pwidth1=55e-6, pwidth2=55e-6)
        theirs = np.stack(conversion.area(30.0, angles, *arm, wl=LAMBDA * 10, deg=True)) * 10  # 1/nm, in the crystal
    grid = Grid(camera, g.Rocking("y+", np.radians(0.05), (("z-", np.radians(30.0)),)), (2, 5, 6), LAMBDA)
    as_at_the_reference = g.compose([("z-", np.radians(30.0)), ("y+", np.radians(angles[2]))])
    ours = true_q(grid, np.indices((5, 11, 13), dtype=float))
    np.testing.assert_allclose(ours, np.tensordot(as_at_the_reference, theirs.reshape(3, 5, 11, 13), axes=1), atol=1e-9)
