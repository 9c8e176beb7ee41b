"""A two-time correlation from elsewhere: what is taken, what is refused, and the measured one."""

import numpy as np
import pytest
import xarray as xr

from xcdi import io
from xcdi.cli import main
from xcdi.errors import XcdiError
from xcdi.plot import fluctuations, saving
from xcdi.schema import CORRELATION, require
from xcdi.stages import two_time_map

FRAMES = 61


def law(frames=FRAMES, tau=9.0, contrast=0.3):
    t = np.arange(frames)
    return 1 + contrast * np.exp(-2 * np.abs(t[:, None] - t) / tau)


def noisy(seed, frames=FRAMES, sd=0.05):
    noise = np.triu(np.random.default_rng(seed).normal(0, sd, (frames, frames)), 1)
    return law(frames) + noise + noise.T


def test_g2_is_the_law_and_the_diagonal_is_never_used():
    c = law()
    np.fill_diagonal(c, [1e6, np.nan, np.inf, -7.0, *[0.0] * (FRAMES - 4)])
    found = two_time_map.from_matrix(c)
    np.testing.assert_allclose(found.g2[0, 1:], law()[0, 1:], rtol=1e-12)
    assert np.isnan(found.g2[0, 0])
    assert np.all(np.isnan(np.diagonal(found.two_time[0])))
    xr.testing.assert_identical(found, two_time_map.from_matrix(law()))


def test_it_is_a_correlation_and_the_matrix_is_left_as_it_was():
    c = law()
    found = two_time_map.from_matrix(c, frame_time_s=0.1)
    require(found, "two_time", "g2", "g2_error", schema=CORRELATION)
    np.testing.assert_array_equal(c, law())
    assert found.delay[1] == pytest.approx(0.1)
    assert {found[name].attrs["units"] for name in ("time", "time2", "delay", "age", "lag", "trace_lag")} == {"s"}


def test_without_a_frame_time_everything_is_in_frames():
    found = two_time_map.from_matrix(law())
    assert {found[name].attrs["units"] for name in ("time", "time2", "delay", "age", "lag", "trace_lag", "delay_bin")} == {"frame"}
    assert found.rate.attrs["units"] == "1/frame"
    assert found.lag.values.tolist() == np.round(found.lag.values).tolist()
    assert "s" not in {variable.attrs.get("units") for variable in found.variables.values()}


def test_the_fit_finds_the_relaxation_within_its_error():
    found = [two_time_map.from_matrix(noisy(seed)) for seed in range(12)]
    off = np.array([(float(f.rate[0]) - 1 / 9) / float(f.rate_error[0]) for f in found])
    assert 0.3 < np.sqrt(np.mean(off**2)) < 2.5


def test_the_error_of_g2_is_its_scatter():
    found = [two_time_map.from_matrix(noisy(seed)) for seed in range(40)]
    scatter = np.std([f.g2[0, 1:30] for f in found], axis=0)
    quoted = np.mean([f.g2_error[0, 1:30] for f in found], axis=0)
    assert 0.85 < np.mean(scatter / quoted) < 1.15


def test_every_age_has_the_law_of_a_sample_that_does_not_age():
    found = two_time_map.from_matrix(law(), ages=3)
    assert found.sizes["age"] == 3
    known = np.isfinite(found.g2_aged.values[0])
    assert known[1].sum() > known[0].sum()
    np.testing.assert_allclose(found.g2_aged.values[0][known], np.tile(law()[0], (3, 1))[known], rtol=1e-12)


def test_traces_and_their_variance():
    c = noisy(3, sd=0.08)
    found = two_time_map.from_matrix(c, pixels=500)
    np.testing.assert_allclose(found.trace[0, 1, : FRAMES - 3], np.diagonal(c, 3) - 1)
    assert np.mean(found.chi_raw) == pytest.approx(0.08**2, rel=0.25)
    assert np.all(np.abs(found.chi) < 4 * found.chi_error)
    np.testing.assert_allclose(found.chi_normalised, 500 * found.chi / float(found.contrast[0]) ** 2)
    assert "speckles" in found.attrs["noise"]


def test_a_slow_fluctuation_is_found():
    shape = 0.1 * np.sin(2 * np.pi * np.arange(200) / 100)
    found = two_time_map.from_matrix(noisy(4, frames=200) + np.add.outer(shape, shape))
    assert found.chi[0, 0] == pytest.approx(2 * 0.1**2, rel=0.25)  # (0.2 sin)**2 / 2


BAD = {
    "not square": (np.ones((5, 9)), r"shape \(5, 9\)"),
    "a stack": (np.ones((3, 9, 9)), r"shape \(3, 9, 9\)"),
    "too short": (np.ones((3, 3)), "3 frames"),
    "complex": (law().astype(complex), "complex128"),
    "text": (np.full((9, 9), "a"), "real numbers"),
    "a NaN": (np.where(np.arange(FRAMES**2).reshape(FRAMES, FRAMES) == 5, np.nan, law()), r"first at \(0, 5\)"),
    "not symmetric": (law() + np.triu(np.full((FRAMES, FRAMES), 0.01)), "not symmetric"),
    "an upper triangle": (np.triu(law()), "not symmetric"),
    "of C - 1": (law() - 1, "add 1"),
    "not normalised": (40 * law(), "mean intensities"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_two_time_correlation_is_refused(name):
    matrix, told = BAD[name]
    with pytest.raises(XcdiError, match=told):
        two_time_map.from_matrix(matrix)


def test_a_frame_time_is_above_zero():
    with pytest.raises(XcdiError, match="frame time"):
        two_time_map.from_matrix(law(), frame_time_s=-0.1)


@pytest.mark.parametrize("frames", [8, 9, 23])
def test_short_maps_give_what_they_can(frames):
    found = two_time_map.from_matrix(law(frames))
    np.testing.assert_allclose(found.g2[0, 1:], law(frames)[0, 1:])
    assert len(two_time_map.told(found)) == 3


def test_a_map_without_noise_has_no_lag_that_stands_out(tmp_path):
    found = two_time_map.from_matrix(law())
    lines = two_time_map.told(found)
    assert "rate 0.111 +- " in lines[1]
    assert lines[2].startswith("chi: no lag stands out")
    saving.png(fluctuations.page(found), tmp_path / "page.png", dpi=50)


@pytest.mark.parametrize("value", [1.0, 1])
def test_a_constant_map_tells_nothing_and_warns_of_nothing(value, tmp_path):
    found = two_time_map.from_matrix(np.full((30, 30), value), pixels=100)
    assert two_time_map.told(found)[1:] == ["relaxation: not resolved", "chi: no lag stands out (none by more than 3 errors)"]
    assert np.all(found.chi_error > 0)
    assert np.all(np.isnan(found.chi_normalised))
    saving.png(fluctuations.page(found), tmp_path / "page.png", dpi=50)


def test_noise_has_no_relaxation_and_no_lag_that_stands_out():
    for seed in range(5):
        noise = np.triu(np.random.default_rng(seed).normal(0, 0.05, (80, 80)), 1)
        lines = two_time_map.told(two_time_map.from_matrix(1 + noise + noise.T))
        assert lines[1] == "relaxation: not resolved"
        assert lines[2].startswith("chi: no lag stands out")


@pytest.mark.parametrize("frames", [8, 20, 23])
def test_a_map_too_short_for_a_fit_says_so(frames):
    assert (
        two_time_map.told(two_time_map.from_matrix(noisy(2)[:frames, :frames]))[1]
        == f"relaxation: not resolved, {frames} frames are too few"
    )


def test_a_fluctuation_stands_out():
    shape = 0.1 * np.sin(2 * np.pi * np.arange(200) / 50)
    line = two_time_map.told(two_time_map.from_matrix(noisy(4, frames=200) + np.add.outer(shape, shape)))[2]
    assert "stands out most" in line
    assert "-" not in line.split("(")[1].split(" errors")[0]


# --- measured


@pytest.fixture(scope="module")
def measured(measured_data):
    path = measured_data / "chx_two_time" / "chx_2tcf_350.npy"
    if not path.is_file():
        pytest.skip(f"no measured two-time map at {path}")
    return path


def test_the_measured_map_has_its_contrast_in_frames(measured):
    found = two_time_map.from_matrix(np.load(measured))
    assert float(found.g2[0, 1]) - 1 == pytest.approx(0.088, rel=0.05)
    assert float(found.g2[0, 100]) - 1 == pytest.approx(0.027, rel=0.05)
    c = found.two_time.values[0]
    np.testing.assert_allclose(c, c.T, rtol=1e-12)
    assert np.all(np.isnan(np.diagonal(c)))
    assert found.time.attrs["units"] == "frame"
    for name in ("g2_aged", "trace", "chi"):
        assert np.isfinite(found[name]).any(dim=found[name].dims[-1]).all(), name


# --- the command


def test_the_command_saves_a_result_and_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("map.npy", noisy(1))
    assert main(["two-time", "map.npy", "--frame-time", "0.25", "--out", "there"]) == 0
    out = capsys.readouterr().out
    assert "61 frames of 0.25 s" in out
    assert "g2 - 1: " in out
    saved = io.results.load("there/map_two_time.h5")["correlation"]
    xr.testing.assert_identical(saved, two_time_map.from_matrix(noisy(1), frame_time_s=0.25))
    assert (tmp_path / "there" / "map_two_time.png").stat().st_size > 20_000


def spoiled(tmp_path, kind):
    path = tmp_path / "bad.npy"
    if kind == "text":
        path.write_text("1 0\n0 1\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickled":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "several":
        with path.open("wb") as file:
            np.savez(file, a=law())
    elif kind == "folder":
        path.mkdir()
    elif kind in BAD:
        np.save(path, BAD[kind][0])
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "pickled", "several", "folder", "not square", "a NaN", "not symmetric"])
def test_the_command_refuses_in_one_line(kind, tmp_path, capsys):
    assert main(["two-time", str(spoiled(tmp_path, kind)), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert "bad.npy" in told.err
    assert not told.out
    assert not (tmp_path / "out").exists()
