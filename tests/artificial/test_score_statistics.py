"""The judges of correlations and of statistics must pass what is right, and nothing else."""

import warnings
from contextlib import ExitStack

import h5py
import numpy as np
import pytest
from xcdi.pipelines import avalanche_statistics, xpcs_two_time

from xcdi import io
from xcdi.artificial import catalogues, score_catalogue, score_speckle, speckle
from xcdi.artificial.verdict import ABSENT, Truth


def judged(module, folder, *paths):
    with ExitStack() as stack:
        results = [stack.enter_context(h5py.File(path)) for path in paths]
        return {
            row["name"].split(", beyond")[0]: row
            for row in module.rows(results, Truth(stack.enter_context(h5py.File(folder / "truth.h5"))))
        }


def failed(rows):
    return sorted(name for name, row in rows.items() if not row["pass"])


def changed(path, other, **values):
    """Copy of a result with datasets replaced: ``entry__twotime__rate=...``."""
    other.write_bytes(path.read_bytes())
    with h5py.File(other, "r+") as file:
        for name, value in values.items():
            file[name.replace("__", "/")][...] = value
    return other


def correlate(folder, variant, normalisation="N5", **options):
    """Simulate speckle, correlate it, and return the result."""
    if not (folder / "truth.h5").exists():
        speckle.write_speckle(folder, "nano", 0, options, variant)
    scan = io.open_scan(folder / "speckle_series.h5", "speckle_series", "demo_speckle")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # N2 warns
        result = xpcs_two_time.run(scan, xpcs_two_time.Settings(normalisation=normalisation))
    path = folder / f"{normalisation}.h5"
    io.save(result, path, provenance={})
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return folder, correlate(folder, "")


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    return folder, {n: correlate(folder, "plateau", n) for n in ("N1", "N2", "N4", "N5")}


def test_a_right_correlation_passes(plain):
    folder, path = plain
    rows = judged(score_speckle, folder, path)
    assert failed(rows) == []
    assert {"two-time, asymmetry", "g2, exponent, off the truth"} < set(rows)
    assert {row["stage"] for row in rows.values()} == {"two-time"}


def test_a_correlation_coefficient_is_judged_in_units_of_the_contrast(plain):
    folder, _ = plain
    rows = judged(score_speckle, folder, correlate(folder, "", "N4"))
    assert failed(rows) == []
    assert len(rows) == 6, "its noise has a law of its own"


def test_a_matrix_that_is_off_or_skew_fails(plain, tmp_path):
    folder, path = plain
    with h5py.File(path) as file:
        c = file["entry/twotime/two_time_corr_func"][()]
    off = judged(score_speckle, folder, changed(path, tmp_path / "off.h5", entry__twotime__two_time_corr_func=c + 0.01))
    assert failed(off) == ["two-time, mean of C - C true off the diagonal"]
    noisy = c + np.random.default_rng(0).normal(0, 0.1, c.shape)
    assert "two-time, asymmetry" in failed(
        judged(score_speckle, folder, changed(path, tmp_path / "noisy.h5", entry__twotime__two_time_corr_func=noisy))
    )


@pytest.mark.parametrize(
    ("name", "factor", "row"),
    [
        ("rate", 1.3, "g2, relaxation time, relative, off the truth"),
        ("exponent", 1.4, "g2, exponent, off the truth"),
        ("fit_contrast", 0.8, "g2, contrast of the fit, off the truth"),
        ("baseline", 1.03, "g2, baseline, off the truth"),
    ],
)
def test_a_wrong_fit_fails(plain, tmp_path, name, factor, row):
    folder, path = plain
    with h5py.File(path) as file:
        value = file[f"entry/twotime/{name}"][()] * factor
    assert failed(judged(score_speckle, folder, changed(path, tmp_path / "wrong.h5", **{f"entry__twotime__{name}": value}))) == [row]


@pytest.mark.parametrize("normalisation", ["N1", "N4", "N5"])
def test_a_frozen_part_is_seen_by_every_normalisation_but_one(frozen, normalisation):
    folder, paths = frozen
    rows = judged(score_speckle, folder, paths[normalisation])
    assert failed(rows) == []
    assert "plateau of C - 1, off the truth" in rows


def test_the_one_that_does_not_see_it_must_warn(frozen, tmp_path):
    folder, paths = frozen
    assert failed(judged(score_speckle, folder, paths["N2"])) == []
    silent = changed(paths["N2"], tmp_path / "silent.h5")
    with h5py.File(silent, "r+") as file:
        del file["entry/twotime"].attrs["warning"]
    assert failed(judged(score_speckle, folder, silent)) == ["N2 on a frozen pattern"]


@pytest.mark.parametrize(("module", "case"), [(score_speckle, "plain"), (score_catalogue, "power-law")])
def test_what_no_result_holds_is_absent_and_fails(module, case, plain, tmp_path):
    folder = plain[0] if case == "plain" else analysed(tmp_path, case)[0]
    rows = judged(module, folder)
    assert len(rows) >= 5
    assert {(row["measured"], row["pass"]) for row in rows.values()} == {(ABSENT, False)}


def analysed(folder, variant, seed=3, **settings):
    """Simulate catalogues, find their statistics, and return the result."""
    catalogues.write_catalogue(folder, "nano", seed, {}, variant)
    options = avalanche_statistics.Settings(**({"smallest": 0.03} | settings))
    found = avalanche_statistics.run([io.load(folder / f"catalogue_{k}.h5") for k in (1, 2)], options)
    io.save(found, folder / "result.h5", provenance={})
    return folder, folder / "result.h5"


@pytest.mark.parametrize(
    ("variant", "asked"),
    [
        ("power-law", "95 % interval of the exponent"),
        ("cut-off", "law preferred over the power law"),
        ("log-normal", "law preferred over the power law"),
        ("log-poisson", "waiting times, p of an exponential law, rescaled"),
        ("etas", "waiting times, p of an exponential law, raw"),
        ("censored", "sizes below completeness"),
    ],
)
def test_right_statistics_pass(tmp_path, variant, asked):
    rows = judged(score_catalogue, *analysed(tmp_path, variant))
    assert failed(rows) == []
    assert asked in rows


def test_branching_is_judged_over_its_finite_range(tmp_path):
    rows = judged(score_catalogue, *analysed(tmp_path, "branching", smallest=4.5, largest=2000.5))
    assert failed(rows) == []
    assert rows["exponent, off the truth"]["bar"] == "<= 0.1"


def test_above_completeness_the_exponent_is_asked_for(tmp_path):
    rows = judged(score_catalogue, *analysed(tmp_path, "censored", smallest=0.058))
    assert "exponent, off the truth" in rows
    assert "sizes below completeness" not in rows


def test_wrong_statistics_fail(tmp_path):
    folder, path = analysed(tmp_path, "power-law")
    home = "entry__statistics__"
    wrong = {"exponent": 1.9, "exponent_low": 1.7, "n_all": 599, "ratio": -9.0, "ratio_p": 0.001, "p_exponential": 0.01}
    rows = judged(score_catalogue, folder, changed(path, folder / "wrong.h5", **{home + name: value for name, value in wrong.items()}))
    assert failed(rows) == sorted(
        [
            "exponent, off the truth",
            "95 % interval of the exponent",
            "events counted, off those in the catalogues",
            "law preferred over the power law",
            "waiting times, p of an exponential law, raw",
        ]
    )


def test_silence_below_completeness_fails(tmp_path):
    folder, path = analysed(tmp_path, "censored")
    with h5py.File(path, "r+") as file:
        file["entry/statistics"].attrs["note"] = ""
    assert failed(judged(score_catalogue, folder, path)) == ["sizes below completeness"]
