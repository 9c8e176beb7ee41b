"""Laws of slips seen by several reflections: direction from drops, one displacement for all patterns, shear against opening."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import attribution, slip_model, slips, views

PLANE = np.array([[0.793, 1.122], [1.587, 0.0], [0.793, -1.122]])  # 111, 002, 11-1 [1/nm]
SPACE = 0.793 * np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [1.0, -1.0, 1.0], [1.0, -1.0, -1.0]])
FLAT = slips.Plane(np.eye(3)[:2], np.eye(3)[2:])


def drops(u, g, f=0.1):
    return 2 * f * (1 - f) * (1 - np.cos(g @ u))


def line_angle(one, other):
    return np.degrees(np.arccos(min(abs(one @ other) / np.linalg.norm(one) / np.linalg.norm(other), 1.0)))


@pytest.mark.parametrize(("g", "near", "spread"), [(PLANE, 4, 0.02), (SPACE, 8, 0.1)], ids=["plane", "space"])
def test_the_direction_comes_back_from_exact_drops_whatever_the_share(g, near, spread):
    rng = np.random.default_rng(0)
    for f in (0.03, 0.2):
        u = rng.normal(size=g.shape[1])
        u *= 0.6 * slips.reach(g, u / np.linalg.norm(u)) / np.linalg.norm(u)
        found = slips.from_drops(drops(u, g, f), np.full(len(g), 1e-4), g, spread=spread)
        assert line_angle(found.vector, u) < near
        assert line_angle(slips.from_drops(drops(-u, g, f), np.full(len(g), 1e-4), g, spread=spread).vector, u) < near


def test_the_stated_error_of_the_direction_covers_the_scatter_of_drops():
    rng, inside = np.random.default_rng(1), []
    for _ in range(120):
        u = rng.uniform(0.4, 1.2) * np.array([np.cos(turn := rng.uniform(0, np.pi)), np.sin(turn)])
        seen = (np.sqrt(drops(u, PLANE)) * (1 + 0.2 * rng.standard_normal(3))) ** 2
        found = slips.from_drops(seen, np.full(3, 1e-3), PLANE, spread=0.2)
        inside.append(line_angle(found.vector, u) < np.degrees(found.error))
    assert 0.5 < np.mean(inside) < 0.95


def test_as_many_reflections_as_dimensions_leave_the_signs_open():
    with pytest.raises(ValueError, match="leave the signs open; expected 3 or more"):
        slips.from_drops([0.1, 0.1], [0.01, 0.01], PLANE[:2])


def test_what_no_reflection_sees_turns_every_phase_by_whole_turns():
    for g in (PLANE, SPACE):
        hidden = slips.invisible_vectors(g)
        turns = hidden @ g.T / (2 * np.pi)
        assert len(hidden) >= g.shape[1]
        np.testing.assert_allclose(turns, np.rint(turns), atol=0.05)
        np.testing.assert_allclose(drops(hidden.T, g), 0, atol=1e-2)


@pytest.mark.parametrize(("g", "dimensions"), [(PLANE @ FLAT.axes, 2), (SPACE, 3), (PLANE[:1] @ FLAT.axes * [[1.0], [2.0]], 1)])
def test_reflections_span_a_line_a_plane_or_space(g, dimensions):
    plane = slips.plane_of(g)
    assert (len(plane.axes), len(plane.across)) == (dimensions, 3 - dimensions)
    np.testing.assert_allclose(plane.across @ np.asarray(g).T, 0, atol=1e-9)


def test_a_slip_in_the_boundary_has_no_angle_and_one_along_its_normal_a_right_one():
    space = slips.Plane(np.eye(3), np.empty((0, 3)))
    normal = np.array([0.36, 0.48, 0.8])
    for vector, expected in (([-0.8, 0.6, 0.0], 0.0), (2 * normal, 90.0), (np.add(normal, [-0.8, 0.6, 0.0]), 45.0)):
        angle, error = slips.shear_angle(np.array(vector), 0.01 * np.eye(3), normal, space, normal_error=0.1)
        assert np.degrees(angle) == pytest.approx(expected, abs=1e-4)
        assert error == pytest.approx(np.hypot(0.1 / np.linalg.norm(vector), 0.1))


def test_opening_is_seen_as_such_however_the_boundary_leans_on_the_plane_of_g():
    for normal in ([1.0, 0.0, 0.0], [0.6, 0.0, 0.8], [0.0, -0.28, 0.96]):
        seen = FLAT.axes @ np.array(normal)
        angle, error = slips.shear_angle(seen, 1e-4 * np.eye(2), np.array(normal), FLAT, normal_error=0.05)
        assert angle == pytest.approx(np.pi / 2)
        assert slips.shear_probability(angle, error, np.array(normal), FLAT) < 0.5


def test_what_is_neither_shear_nor_opening_has_no_probability():
    upright = np.array([0.0, 1.0, 0.0])
    assert np.isnan(slips.shear_probability(np.radians(45), 0.05, upright, FLAT))
    assert slips.shear_probability(np.radians(45), 0.05, np.array([0.0, 0.8, 0.6]), FLAT) > 0.99, "shear, leaning"
    assert 0.2 < slips.shear_probability(np.radians(45), 1.0, upright, FLAT) < 0.8, "too wide for either"


SHAPE = (7, 23, 29)
VIEW = views.View(0.3, (0.4, -0.2), 2.0, 1.0)


def bodies(hands=(1.0, 1.0, 1.0)):
    """A particle of two grains, 10 nm per voxel, as three reflections see it."""
    index = np.moveaxis(np.indices(SHAPE), 0, -1) - np.array(SHAPE) // 2
    z, y, x = np.moveaxis(index, -1, 0)
    grain = np.where((np.abs(z) < 3) & (np.abs(y) < 7) & (np.abs(x) < 9), 1 + (x + 0.4 * y > 1), 0)
    made = []
    for k, hand in enumerate(hands):
        rho = (grain > 0) * np.exp(
            1j * (0.1 * (k + 1) * x * (grain == 1) - 0.08 * y * z + 0.03 * (y - k) ** 2 * (grain == 2) + 0.7 * grain)
        )
        here = grain
        if hand < 0:
            rho, here = np.flip(rho).conj(), np.flip(grain)
        voxels = np.argwhere(here > 0)
        places = hand * 10.0 * (voxels - np.array(SHAPE) // 2)[:, ::-1]
        made.append(slip_model.Body(rho, voxels, places, here[here > 0], hand))
    return made


def parts():
    centres = [(0.0, 20.0, 0.0), (20.0, -30.0, 0.0), (10.0, 0.0, 10.0)]
    return [slip_model.Part(0, grain, centre, radius) for grain in (1, 2) for centre in centres for radius in (35.0, 60.0)]


def pattern(body):
    return VIEW.scale * np.abs(views.wave(body.rho, VIEW)) ** 2


def costs(of, u, part, noise=0.0, g=PLANE):
    made, rng = [], np.random.default_rng(3)
    for body, one in zip(of, g, strict=True):
        before, after = (pattern(b) for b in (body, slip_model.slipped(body, part, -float(one @ u))))
        frames = [rng.poisson(np.broadcast_to(p, (9, *p.shape))) if noise else np.stack([p, p]) for p in (before, after)]
        change = attribution.change(*map(np.asarray, frames), np.ones(before.shape, bool))
        waves = slip_model.part_waves(body, [slip_model.members(body, one) for one in parts()], VIEW)
        made.append(slip_model.costs(change, views.wave(body.rho, VIEW), waves, VIEW.scale))
    return made


@pytest.mark.parametrize("hands", [(1.0, 1.0, 1.0), (1.0, -1.0, 1.0)], ids=["one hand", "a twin"])
def test_the_slip_comes_back_with_its_sign_and_its_region(hands):
    u, part = np.array([0.5, -0.7]), parts()[3]
    found = slip_model.common_slip(costs(bodies(hands), u, part), PLANE, hands)
    assert found.part == 3
    np.testing.assert_allclose(found.vector, u, atol=1e-3)
    assert found.left.max() < 1e-3


def test_two_reflections_are_enough_for_a_plane():
    u, part = np.array([-0.4, 0.6]), parts()[8]
    found = slip_model.common_slip(costs(bodies()[:2], u, part, g=PLANE[:2]), PLANE[:2], (1.0, 1.0))
    np.testing.assert_allclose(found.vector, u, atol=1e-3)


def test_noise_moves_the_slip_by_no_more_than_its_error_says():
    u, part = np.array([0.5, -0.7]), parts()[3]
    found = slip_model.common_slip(costs(bodies(), u, part, noise=1.0), PLANE, (1.0, 1.0, 1.0))
    away = found.vector - u
    assert away @ np.linalg.solve(found.covariance, away) < 3**2 * 2


def test_the_misfit_by_products_is_that_of_the_patterns():
    body, part = bodies()[0], parts()[4]
    before, after = pattern(body), pattern(slip_model.slipped(body, part, 1.1))
    seen = attribution.change(np.stack([before] * 2), np.stack([after] * 2), np.ones(before.shape, bool))
    cost = slip_model.costs(
        seen,
        views.wave(body.rho, VIEW),
        slip_model.part_waves(body, [slip_model.members(body, one) for one in parts()], VIEW),
        VIEW.scale,
    )
    for k in (4, 7):
        other = pattern(slip_model.slipped(body, parts()[k], -0.6))
        expected = (seen.weight * (after - other) ** 2).sum()
        assert slip_model.misfit(cost, np.full(1, -0.6))[k] == pytest.approx(expected, rel=1e-6)


def test_a_length_is_right_where_the_modelled_change_is_as_strong_as_the_true_one_but_unlike_it():
    u, rng, made = np.array([0.2, -0.1]), np.random.default_rng(0), []
    right = rng.normal(size=(2, 50_000))
    for phase in -(PLANE @ u):
        seen, model = np.array([np.cos(phase) - 1, np.sin(phase)]) @ right, 0.6 * right + 0.8 * rng.normal(size=right.shape)
        square = np.array([[model[0] @ model[0], model[0] @ model[1], model[1] @ model[1]]])
        made.append(slip_model.Cost((model @ seen)[None], square, float(seen @ seen), 0.0))
    found = slip_model.common_slip(made, PLANE, (1.0, 1.0, 1.0))
    vector, covariance = slip_model.full_length(found, PLANE)
    assert np.linalg.norm(found.vector) < 0.7 * np.linalg.norm(u)
    np.testing.assert_allclose(vector, u, atol=0.01)
    assert vector @ covariance @ vector > found.vector @ found.covariance @ found.vector


def test_no_length_that_is_given_back_goes_beyond_what_is_told_from_a_shorter_slip():
    lost = slip_model.Common(np.array([0.3, 0.4]), np.eye(2), 0, np.ones(1), np.ones(3))
    vector, _ = slip_model.full_length(lost, PLANE)
    assert np.abs(PLANE @ vector).max() == pytest.approx(np.pi)
    assert vector @ [0.3, 0.4] == pytest.approx(0.5 * np.linalg.norm(vector))
