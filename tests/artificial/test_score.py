"""The judge must see through what no measurement fixes, and through nothing else."""

import h5py
import numpy as np
import pytest

from xcdi.artificial import simulate
from xcdi.artificial.align import align, fit_window, on_grid, to_image, to_wave
from xcdi.artificial.score import PARTS, score
from xcdi.artificial.score_events import match, scorable
from xcdi.artificial.score_object import object_overlap
from xcdi.artificial.verdict import Truth
from xcdi.errors import XcdiError


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A particle of full size with few frames: the judge needs voxels away from boundaries."""
    return simulate("particle", tmp_path_factory.mktemp("raw"), profile="nano", seed=6, frames=150, detector=(200, 256), peak_px=(100, 128))


@pytest.fixture(scope="module")
def truth(raw):
    with h5py.File(raw / "truth.h5") as file:
        yield Truth(file)


def ramp(shape, d):
    index = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    return np.exp(2j * np.pi * sum(i * k for i, k in zip(index, d, strict=True)))


def disguised(rho, *, twin, shift=(2.3, -4.7, 5.4), slope=(1.3, -2.6, 0.4)):
    """The same object as another phasing would give it."""
    rho = to_image(to_wave(rho) * ramp(rho.shape, shift)) * ramp(rho.shape, slope) * np.exp(1.3j)
    return to_image(to_wave(rho).conj()) if twin else rho


def write_result(path, truth, *, twin=False, sign=1, h=50.0):
    """What a flawless analysis would write, in the twin's or the true pose, off the centre by half a voxel and more."""
    field, steps, g = truth["amplitude_data_frame"], truth["geometry/q_basis"], truth["geometry/G"]
    turn = -1 if twin else 1
    x, y, z = (turn * ((np.arange(n) - n // 2) * h + offset) for n, offset in ((31, 13.0), (33, -28.0), (29, 22.0)))
    along = g / np.linalg.norm(g) * h / 2
    here, ahead, behind = (on_grid(field, steps, x + d * along[0], y, z + d * along[2]) for d in (0, 1, -1))
    strain = -sign * np.angle(ahead * behind.conj()) / h / np.linalg.norm(g)
    support = abs(here) > 0.3 * abs(here).max()
    positions = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)
    events = truth.file["events"]
    with h5py.File(path, "w") as file:
        file["entry_1/image_1/data"] = disguised(to_image(field), twin=twin).astype(np.complex64)
        file["entry_1"].attrs["grade"] = "good"
        for name, values in (
            ("amplitude", abs(here)),
            ("phase", np.where(support, turn * np.angle(here), np.nan)),
            ("strain", np.where(support, strain, np.nan)),
            ("support", support),
            ("grain", 5 - truth.sample(truth["label"], positions, order=0)),
            *zip("xyz", (turn * x, turn * y, turn * z), strict=True),
        ):
            file[f"entry_1/{name}"] = values
        for name, source in (("frame", "frame"), ("time", "time"), ("drop", "drop_N4")):
            file[f"entry/events/{name}"] = events[source][()]
        file["entry/events"].attrs["normalisation"] = "N4"
        for side in "ij":
            file[f"entry/events/boundary_{side}"] = 5 - events[side][()]
    return path


@pytest.mark.parametrize("twin", [False, True])
def test_a_flawless_result_passes_every_row(raw, truth, tmp_path, twin):
    rows = score([write_result(tmp_path / "result.h5", truth, twin=twin)], raw / "truth.h5")
    assert len(rows) == 11
    assert [row["name"] for row in rows if not row["pass"]] == []
    measured = {row["name"]: row["measured"] for row in rows}
    assert measured["complex overlap of the object with the truth"] > 0.999
    assert measured["strain, rms error away from boundaries"] < 6e-4
    assert [value for name, value in measured.items() if name.startswith("drop of correlation")] == [0]


def test_what_a_result_calls_an_artefact_is_no_event(raw, truth, tmp_path):
    path = write_result(tmp_path / "result.h5", truth)
    with h5py.File(path, "r+") as file:
        frames = np.append(file["entry/events/frame"][()], 149)  # nothing happens near the end
        for name in list(file["entry/events"]):
            values = file[f"entry/events/{name}"][()]
            del file[f"entry/events/{name}"]
            file[f"entry/events/{name}"] = np.append(values, 149 if name == "frame" else values[-1])
    false = score(path, raw / "truth.h5", parts=["events"])[1]
    assert (false["name"], false["measured"], false["pass"]) == ("false events", 1, False)
    with h5py.File(path, "r+") as file:
        file["entry/events/flags"] = [""] * (len(frames) - 1) + ["artefact, short window"]
    assert score(path, raw / "truth.h5", parts=["events"])[1]["pass"]


def test_strain_of_the_wrong_sign_is_seen(raw, truth, tmp_path):
    rows = score(write_result(tmp_path / "result.h5", truth, sign=-1), raw / "truth.h5", parts=["object"])
    assert [row["pass"] for row in rows] == [True, True, False, False, False, True, True]


def test_what_is_missing_does_not_pass(raw, tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    rows = score(tmp_path / "empty.h5", raw / "truth.h5")
    assert len(rows) == 11
    assert not any(row["pass"] for row in rows)
    assert {row["measured"] for row in rows} == {"absent"}


def test_files_and_parts_that_do_not_exist_are_told(raw, tmp_path):
    with pytest.raises(XcdiError, match="cannot be opened"):
        score(tmp_path / "none.h5", raw / "truth.h5")
    with pytest.raises(XcdiError, match="did you mean 'events'"):
        score([], raw / "truth.h5", parts=["event"])
    assert set(PARTS) == {"object", "events"}


def test_another_box_of_the_same_peak_is_the_same_object(truth):
    field = truth["amplitude_data_frame"]
    cropped = fit_window(field, (30, 57, 60), (1, -2, 3))
    assert object_overlap(to_image(cropped), field) > 0.999
    assert object_overlap(np.zeros((3, 3, 3)), field) == 0


def test_a_wrong_phase_is_no_overlap(truth):
    field = truth["amplitude_data_frame"]
    wrong = abs(field) * np.exp(2j * np.pi * np.random.default_rng(0).random(field.shape))
    assert object_overlap(to_image(wrong), field) < 0.2


@pytest.mark.parametrize("twin", [False, True])
def test_alignment_finds_the_disguise(twin):
    rng = np.random.default_rng(7)
    rho = np.zeros((15, 16, 17), complex)
    rho[5:10, 4:10, 6:12] = rng.random((5, 6, 6)) * np.exp(1j * rng.random((5, 6, 6)))
    shift, slope = np.array([1.25, -2.5, 0.75]), np.array([0.5, -1.25, 2.0])
    found = align(disguised(rho, twin=twin, shift=-shift, slope=slope), rho)
    assert found.twin == twin
    np.testing.assert_allclose(found.shift, shift, atol=0.02)
    np.testing.assert_allclose(found.ramp, slope, atol=0.02)
    assert found.overlap == pytest.approx(1, abs=1e-3)


def test_events_are_asked_for_only_where_they_can_be_found():
    frames = np.array([5, 40, 44, 60, 80, 140])
    drops = np.array([0.1, 0.1, 0.1, 0.1, 0.01, np.nan])
    assert scorable(frames, drops, 150).tolist() == [False, False, False, True, False, False]
    assert scorable(frames[:0], drops[:0], 150).tolist() == []


def test_matches_are_one_to_one_and_the_unasked_excuse():
    frames, asked = np.array([30, 60, 90]), np.array([True, True, False])
    assert match(np.array([29, 31, 86, 97, 62]), frames, asked).pairs == [(0, 0)]
    assert match(np.array([29, 31, 86, 97, 62]), frames, asked).false == [1, 3, 4]
