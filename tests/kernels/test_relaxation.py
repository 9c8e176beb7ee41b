"""Fits of relaxation: known curves and known speckle come back, within errors that are true."""

import numpy as np
import pytest
from speckled import EXPONENT, MODES, PIXELS, TAU, TIMES, binned, even, flat, speckle

from xcdi.kernels import q_dependence, regions, relaxation
from xcdi.kernels.correlation import jackknife, normalise, one_time


def test_a_known_relaxation_is_found():
    edges = relaxation.log_bins(TIMES)
    tile = regions.tiles(*np.divmod(np.arange(PIXELS), 50))
    fits = []
    for seed in range(4):
        counts, _ = speckle(seed)
        g2 = one_time.one_time(normalise.by_mean(normalise.sums(counts)), counts.sum(axis=1).astype(float))
        replicas = binned(jackknife.leave_out(counts, even(PIXELS), tile), edges)
        delay = binned(np.arange(TIMES, dtype=float), edges)
        fits.append(relaxation.fit_stretched(delay, binned(g2, edges), jackknife.jackknife_error(replicas), replicas=replicas))
    for fit in fits:
        assert 1 / fit.rate == pytest.approx(TAU, rel=0.08)
        assert fit.exponent == pytest.approx(EXPONENT, abs=0.2)
        assert fit.contrast == pytest.approx(1 / MODES, abs=0.015)
        assert fit.baseline == pytest.approx(1, abs=0.004)
    pulls = np.array([(1 / fit.rate - TAU) / (fit.errors[0] / fit.rate**2) for fit in fits])
    assert np.sqrt(np.mean(pulls**2)) < 2.5


@pytest.mark.slow
def test_acceptance_speckle():
    """The standard case: 500 frames of 2000 pixels at 0.3 photons, relaxation time 50 frames."""
    edges, tile, fits, biases = relaxation.log_bins(500), regions.tiles(*np.divmod(np.arange(PIXELS), 50)), [], []
    delay = binned(np.arange(500.0), edges)
    for seed in range(100, 110):
        counts, true = speckle(seed, times=500, tau=50.0)
        c = normalise.weighted(counts, flat(counts))
        biases.append(c - true)
        replicas = binned(jackknife.leave_out(counts, flat(counts), tile), edges)
        g2 = binned(one_time.one_time(c, normalise.frame_weight(counts, flat(counts))), edges)
        fits.append(relaxation.fit_stretched(delay, g2, jackknife.jackknife_error(replicas), replicas=replicas))
    assert abs(np.mean(biases)) < 2e-3
    values = np.array([[1 / f.rate, f.exponent, f.contrast, f.baseline] for f in fits])
    assert np.all(abs(values.mean(axis=0) - [50, 1.5, 0.25, 1.0]) < [1.0, 0.05, 0.004, 0.0015])
    far = np.abs(values - [50, 1.5, 0.25, 1.0]) / [3.0, 0.12, 0.012, 0.004]
    assert np.mean(far < 1) >= 0.9  # photons alone scatter the time by 2.4 %: the bar is 2.5 standard deviations


def test_a_plateau_is_told_from_contrast():
    t = np.geomspace(1, 500, 60)
    fit = relaxation.fit_stretched(t, relaxation.stretched(t, 0.05, 1.2, 0.3, 1.0, 0.5), plateau=True)
    np.testing.assert_allclose(fit[:5], [0.05, 1.2, 0.3, 1.0, 0.5], rtol=1e-3)


def test_points_without_an_error_do_not_rule_the_fit():
    t = np.arange(1.0, 100.0)
    g2, error = relaxation.stretched(t, 0.05, 1.0, 0.2, 1.0), np.full(99, 0.01)
    g2[3], error[3], g2[7] = 3.0, 0.0, np.nan
    assert relaxation.fit_stretched(t, g2, error).rate == pytest.approx(0.05, rel=1e-4)


def test_too_few_points_are_no_fit():
    assert np.isnan(relaxation.fit_stretched(np.arange(1.0, 4.0), np.ones(3)).rate)


@pytest.fixture(scope="module")
def noisy():
    """A stretched exponential with correlated noise of known covariance, many times over."""
    t = np.geomspace(1, 400, 40)
    away = np.abs(np.subtract.outer(np.log(t), np.log(t)))
    covariance = 1e-5 * (0.3 * np.eye(40) + 0.7 * np.exp(-away))
    noise = np.linalg.cholesky(covariance) @ np.random.default_rng(1).standard_normal((40, 120))
    return t, covariance, relaxation.stretched(t, 0.02, 1.2, 0.25, 1.0)[:, None] + noise


def test_with_the_covariance_errors_and_chances_are_true(noisy):
    t, covariance, g2 = noisy
    fits = [relaxation.fit(t, one, covariance=covariance) for one in g2.T]
    for name, true in {"rate": 0.02, "exponent": 1.2, "contrast": 0.25, "baseline": 1.0}.items():
        pull = np.array([(fit.values[name] - true) / fit.errors[name] for fit in fits])
        assert abs(pull.mean()) < 0.3
        assert pull.std() == pytest.approx(1, abs=0.2)
    chance = np.array([fit.p_value for fit in fits])
    assert np.mean(chance < 0.1) == pytest.approx(0.1, abs=0.08)
    assert np.mean(chance) == pytest.approx(0.5, abs=0.09)


def test_errors_alone_take_correlated_delays_for_independent(noisy):
    t, covariance, g2 = noisy
    fits = [relaxation.fit(t, one, error=np.sqrt(np.diag(covariance))) for one in g2.T]
    assert np.std([fit.values["baseline"] for fit in fits]) > 1.5 * np.mean([fit.errors["baseline"] for fit in fits])


def test_replicas_and_samples_give_true_errors_of_parameters():
    edges, tile = relaxation.log_bins(100), regions.tiles(*np.divmod(np.arange(400), 20), across=5)
    delay, rates, errors = binned(np.arange(100.0), edges), [], {"replicas": [], "samples": []}
    for seed in range(30):
        sums = jackknife.tile_sums(speckle(seed, times=100, pixels=400, tau=10.0, mean=1.0)[0], even(400), tile)
        g2, replicas = jackknife.whole(sums, edges), jackknife.without_each(sums, edges)
        error = jackknife.one_time_error(replicas, jackknife.pair_variance(sums, edges))
        options = {"replicas": replicas, "samples": jackknife.resampled(sums, np.random.default_rng(seed), samples=25, edges=edges)}
        for name in errors if seed < 5 else ["replicas"]:
            errors[name].append(relaxation.fit(delay, g2, error=error, **{name: options[name]}).errors["rate"])
        rates.append(relaxation.fit(delay, g2, error=error).values["rate"])
    assert np.std(rates, ddof=1) / np.mean(errors["replicas"]) == pytest.approx(1, abs=0.3)
    assert np.mean(errors["samples"]) / np.mean(errors["replicas"][:5]) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(
    ("model", "true"),
    [
        ("stretched", {"rate": 0.02, "exponent": 0.7, "contrast": 0.3, "baseline": 1.01, "frozen": 0.0}),
        ("two exponentials", {"rate": 0.3, "slow": 0.01, "share": 0.35, "contrast": 0.2, "baseline": 1.0}),
        ("heterodyne", {"rate": 0.01, "exponent": 1.0, "share": 0.4, "frequency": 0.05, "contrast": 0.2, "baseline": 1.0}),
    ],
)
def test_every_model_comes_back(model, true):
    t = np.geomspace(1, 800, 120)
    fit = relaxation.fit(t, relaxation.MODELS[model].curve(t, **true), model, np.full(120, 1e-3))
    np.testing.assert_allclose([fit.values[name] for name in true], list(true.values()), rtol=1e-3)
    assert fit.chi2 < 1e-3


def test_heterodyne_of_what_moves_alone_is_siegert():
    t = np.geomspace(1, 100, 30)
    np.testing.assert_allclose(relaxation.heterodyne(t, 0.1, 1.3, 1.0, 7.0, 0.2, 1.0), relaxation.stretched(t, 0.1, 1.3, 0.2, 1.0))


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_the_model_behind_the_data_is_preferred(criterion):
    t, rng, error = np.geomspace(1, 2000, 80), np.random.default_rng(4), np.full(80, 2e-3)
    truths = {
        "stretched": relaxation.stretched(t, 0.01, 1.6, 0.25, 1.0),
        "two exponentials": relaxation.two_exponentials(t, 0.3, 0.005, 0.5, 0.25, 1.0),
    }
    for name, curve in truths.items():
        noisy = curve + 2e-3 * rng.standard_normal(80)
        fits = [relaxation.fit(t, noisy, model, error) for model in truths]
        assert relaxation.preferred(fits, criterion=criterion).model == name


def test_what_is_held_stays_and_has_no_error():
    t = np.arange(1.0, 200.0)
    fit = relaxation.fit(t, relaxation.stretched(t, 0.05, 1.2, 0.2, 1.0), held={"exponent": 1.0})
    assert (fit.values["exponent"], fit.errors["exponent"]) == (1.0, 0.0)
    assert "exponent" not in fit.free


def test_no_such_model_is_said():
    with pytest.raises(ValueError, match="two exponentials"):
        relaxation.fit(np.ones(9), np.ones(9), "biexponential")


def test_a_power_law_comes_back_with_true_errors():
    q, rng = np.array([0.011, 0.017, 0.023, 0.031, 0.043]), np.random.default_rng(6)
    rate = 30.0 * q**1.7
    runs = [q_dependence.power_law(q, rate * (1 + 0.05 * rng.standard_normal(5)), 0.05 * rate) for _ in range(300)]
    pulls = {
        "exponent": [(run.exponent - 1.7) / run.errors[1] for run in runs],
        "prefactor": [np.log(run.prefactor / 30.0) * run.prefactor / run.errors[0] for run in runs],
        "rate where it is known best": [(run.rate - 30.0 * run.q**1.7) / run.rate_error for run in runs],
    }
    for pull in pulls.values():
        assert np.std(pull) == pytest.approx(1, abs=0.15)
        assert abs(np.mean(pull)) < 0.25
    assert np.mean([run.p_value for run in runs]) == pytest.approx(0.5, abs=0.08)


def test_the_unit_of_q_changes_the_prefactor_alone():
    q, rate, error = np.array([0.01, 0.02, 0.05]), np.array([1.0, 4.2, 24.0]), np.array([0.1, 0.2, 2.0])
    one, ten = q_dependence.power_law(q, rate, error), q_dependence.power_law(10 * q, rate, error)
    assert one.exponent == pytest.approx(ten.exponent)
    assert one.prefactor == pytest.approx(ten.prefactor * 10**one.exponent)
    assert (one.chi2, one.rate) == pytest.approx((ten.chi2, ten.rate))


def test_regions_without_a_rate_are_left_out():
    q = np.array([0.01, 0.02, 0.04, 0.08])
    rate = np.array([1.0, np.nan, 16.0, -3.0])
    assert q_dependence.power_law(q, rate, np.ones(4)).exponent == pytest.approx(2.0)
    assert np.isnan(q_dependence.power_law(q[:1], rate[:1], np.ones(1)).exponent)
    assert q_dependence.trend(q, np.array([1.5, 1.4, np.nan, 1.2]), np.full(4, 0.1)).slope < 0


# --- what the data do not tell


def test_a_decay_that_is_over_before_the_first_delay_has_no_error():
    t, error = np.arange(1.0, 100.0), np.full(99, 1e-3)
    flat = relaxation.stretched(t, 50.0, 1.0, 0.2, 1.0)
    errors = relaxation.fit(t, flat, error=error).errors
    assert all(np.isnan(errors[name]) for name in ("rate", "exponent", "contrast"))
    found = relaxation.fit(t, flat, covariance=np.diag(error**2), held={"rate": 50.0})
    assert all(np.isnan(found.errors[name]) for name in ("exponent", "contrast"))
    assert found.errors["baseline"] == pytest.approx(1e-3 / 99**0.5, rel=1e-2)
    assert (found.errors["rate"], found.errors["frozen"]) == (0, 0)
    assert np.isnan(found.covariance).sum() == 9 - 1


def test_what_one_delay_alone_shows_has_no_error():
    t, g2 = np.arange(1.0, 100.0), np.ones(99)
    g2[0] = 1.2
    errors = relaxation.fit(t, g2, error=np.full(99, 1e-3)).errors
    assert not any(errors[name] < 1e3 for name in ("rate", "exponent", "contrast"))


def test_an_exponent_that_ends_at_a_bound_has_no_error():
    t = np.arange(1.0, 100.0)
    found = relaxation.fit(t, 1 + 0.2 * (t < 30), error=np.full(99, 1e-2))
    assert found.values["exponent"] == pytest.approx(4, rel=1e-3)
    assert np.isnan(found.errors["exponent"])
    assert 0 < found.errors["rate"] < found.values["rate"] / 20


def test_noise_never_has_an_error_of_zero():
    t, rng = np.geomspace(1, 300, 40), np.random.default_rng(3)
    for _ in range(40):
        replicas = 1 + 1e-3 * rng.standard_normal((25, 40))
        errors = relaxation.fit_stretched(t, 1 + 5e-3 * rng.standard_normal(40), np.full(40, 5e-3), replicas=replicas).errors
        assert all(np.isnan(error) or error > 1e-6 for error in errors[:4])


def test_one_tile_gives_no_errors():
    t = np.arange(1.0, 100.0)
    g2 = relaxation.stretched(t, 0.05, 1.0, 0.2, 1.0)
    assert np.isnan(relaxation.fit(t, g2, error=np.full(99, 1e-2), replicas=g2[None]).errors["rate"])
