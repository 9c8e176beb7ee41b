"""Laws of sizes and durations, of active boundaries, and of what rises after events."""

import numpy as np
import pytest

from xcdi.artificial import laws
from xcdi.kernels.avalanches import participation, scaling, trends


def trees(events, seed=0):
    """Sizes, lifetimes and activity of critical branching trees."""
    grown = laws.trees(events, 1.0, 50_000, np.random.default_rng(seed))
    return grown.sizes.astype(float), grown.generations, np.split(grown.activity, np.cumsum(grown.generations)[:-1])


def test_sizes_that_are_powers_of_durations_have_that_slope():
    t = np.repeat(np.arange(5.0, 60.0), 4)
    slope, error = scaling.size_slope(0.3 * t**1.7, t, 5, 60, n=20)
    assert slope == pytest.approx(1.7, abs=1e-9)
    assert error < 1e-9


def test_branching_has_the_exponents_of_its_finite_range():
    sizes, lives, _ = trees(3000)
    found = scaling.exponent_relation(sizes, lives, (4.5, 2000.5), (4.5, 100.5), n=60)
    for value, wanted, bar in ((found.tau, 1.5, 0.1), (found.alpha, 1.79, 0.2), (found.slope, 1.75, 0.1), (found.expected, 1.59, 0.2)):
        assert value[0] == pytest.approx(wanted, abs=bar)
        assert 0 < value[1] < bar


def test_durations_that_are_no_whole_frames_have_the_same_slope():
    sizes, lives, _ = trees(4000)
    jitter = lives + np.random.default_rng(1).uniform(-0.5, 0.5, lives.size)
    whole, other = (scaling.size_slope(sizes, t, 4.5, 100.5, n=30) for t in (lives, jitter))
    assert other[0] == pytest.approx(whole[0], abs=2 * whole[1])


def test_too_few_durations_have_no_slope():
    assert np.isnan(scaling.size_slope(np.ones(4), np.array([1.0, 1, 2, 2]), 1, 2, n=5)[0])


def test_shapes_that_are_parabolas_of_one_scale_collapse_at_that_scale():
    rng = np.random.default_rng(0)
    lives = rng.integers(10, 100, 400)
    profiles = [t**0.8 * 4 * u * (1 - u) * rng.gamma(20, 0.05) for t in lives for u in [(np.arange(t) + 0.5) / t]]
    shape = scaling.average_shape(profiles, 10, 100)
    assert shape.exponent[0] == pytest.approx(1.8, abs=4 * shape.exponent[1])
    assert shape.fitted[0] == pytest.approx(2.0, abs=0.05)  # u (1 - u) to the power 1
    assert abs(shape.asymmetry[0]) < 0.05
    assert shape.shape.mean() == pytest.approx(1.0)


def test_what_rises_fast_and_falls_slowly_is_asymmetric_and_its_mirror_the_other_way():
    lives = np.random.default_rng(1).integers(10, 100, 300)
    skew = [
        (1 - 0.8 * (u - 0.5)) * u * (1 - u) * t * np.random.default_rng(t).gamma(20, 0.05)
        for t in lives
        for u in [(np.arange(t) + 0.5) / t]
    ]
    ahead, behind = (scaling.average_shape(p, 10, 100).asymmetry[0] for p in (skew, [s[::-1] for s in skew]))
    assert ahead == pytest.approx(0.8, abs=0.1)
    assert ahead == pytest.approx(-behind, abs=1e-3)


def test_profiles_of_one_duration_cannot_collapse():
    with pytest.raises(ValueError, match="3 are needed"):
        scaling.average_shape([np.ones(20)] * 10, 10, 100)


@pytest.mark.slow
def test_the_shape_of_branching_is_that_of_its_exact_profile():
    _, _, profiles = trees(60_000, 2)
    shape = scaling.average_shape(profiles, 30, 50, points=15, classes=3)
    exact = laws.mean_profile(40, 1.0)
    wanted = np.interp(shape.time, (np.arange(40) + 0.5) / 40, exact)
    np.testing.assert_allclose(shape.shape, wanted / wanted.mean(), atol=0.08)


def test_every_event_is_shared_out_whole():
    rng = np.random.default_rng(0)
    chance = rng.dirichlet(np.ones(3), 40)
    which = np.argsort(rng.random((40, 5)), axis=1)[:, :3]
    events, sizes = participation.shares(which, chance, np.full(40, 0.1), 5)
    assert events.sum() == pytest.approx(40)
    assert sizes.sum() == pytest.approx(4.0)
    which[:, 0] = -1  # no boundary
    assert participation.shares(which, chance, np.full(40, 0.1), 5)[0].sum() == pytest.approx(40 - chance[:, 0].sum())


def test_what_differs_between_particles_is_no_correlation_between_boundaries():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 8)
    p = [participation.rank_correlation(group + rng.random(48), group + rng.random(48), group, n=200, seed=k)[1] for k in range(40)]
    assert np.mean(np.array(p) < 0.05) < 0.2
    x = rng.random(48)
    rank, chance = participation.rank_correlation(x, x + 0.3 * rng.random(48), group)
    assert rank > 0.7
    assert chance < 0.01
    assert np.isnan(participation.rank_correlation(x[:2], x[:2], group[:2])[0])


def test_counts_that_grow_as_a_power_of_the_area_have_that_power():
    rng = np.random.default_rng(2)
    area, tilt = rng.uniform(1, 10, 300), rng.random(300)
    fit = participation.poisson_regression(rng.poisson(2 * area**0.8 * np.exp(-tilt)), np.column_stack([np.log(area), tilt]))
    np.testing.assert_allclose(fit.coefficient, [np.log(2), 0.8, -1], atol=4 * fit.error.max())
    assert np.all(np.abs(fit.coefficient - [np.log(2), 0.8, -1]) < 4 * fit.error)
    assert fit.dispersion == pytest.approx(1, abs=0.3)


def test_counts_that_fix_nothing_give_no_coefficient():
    assert np.isnan(participation.poisson_regression(np.zeros(9), np.arange(9.0)[:, None]).coefficient).all()


def test_a_rise_is_found_and_chance_is_not():
    rng = np.random.default_rng(3)
    noise = 0.02 * rng.standard_normal((60, 200))
    p = [trends.step_trend(steps, np.ones(200), n=300, seed=k).p for k, steps in enumerate(noise)]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.09)
    found = trends.step_trend(noise[0] + 0.01, np.ones(200))
    assert found.p < 0.001
    assert found.mean == pytest.approx(0.01, abs=4 * found.error)


def test_weights_of_the_inverse_variance_see_more():
    rng = np.random.default_rng(4)
    sd = np.where(np.arange(400) < 200, 0.01, 0.2)
    steps = 0.003 + sd * rng.standard_normal(400)
    assert trends.step_trend(steps, 1 / sd**2).p < 0.01 < trends.step_trend(steps, np.ones(400)).p


def test_too_few_steps_say_nothing():
    assert np.isnan(trends.step_trend(np.array([0.1, np.nan]), np.ones(2)).p)
