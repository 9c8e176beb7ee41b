"""The judge must see through what no measurement fixes, and through nothing else."""

import json

import h5py
import numpy as np
import pytest
from flawless import disguised, write_events, write_object, write_result, write_series

from xcdi.artificial import simulate
from xcdi.artificial.align import align, fit_window, to_image
from xcdi.artificial.compared import Compared, laid_upon
from xcdi.artificial.score import PARTS, evidence, judge, score
from xcdi.artificial.score_events import hear
from xcdi.artificial.verdict import Truth
from xcdi.cli import main
from xcdi.errors import XcdiError


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A particle of full size with few frames: the judge needs voxels away from boundaries."""
    return simulate("particle", tmp_path_factory.mktemp("raw"), profile="nano", seed=6, frames=150, detector=(200, 256), peak_px=(100, 128))


@pytest.fixture(scope="module")
def truth(raw):
    with h5py.File(raw / "truth.h5") as file:
        yield Truth(file)


@pytest.fixture(scope="module")
def flawless(truth, tmp_path_factory):
    return write_result(tmp_path_factory.mktemp("result") / "flawless.h5", truth)


@pytest.fixture
def result(flawless, tmp_path):
    """A copy of the flawless result, to be spoiled."""
    path = tmp_path / "result.h5"
    path.write_bytes(flawless.read_bytes())
    return path


def failing(result, raw, part):
    return [row["name"] for row in score(result, raw / "truth.h5", parts=[part]) if not row["pass"]]


def replaced(path, name, values):
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values


@pytest.mark.parametrize("twin", [False, True])
def test_a_flawless_result_passes_every_row(raw, truth, tmp_path, twin):
    verdict = judge([write_result(tmp_path / "result.h5", truth, twin=twin)], raw / "truth.h5")
    assert [row["name"] for row in verdict.rows if not row["pass"]] == []
    assert len(verdict.rows) > 30
    assert verdict.skipped == []
    assert all(row["stage"] for row in verdict.rows)
    measured = {row["name"]: row["measured"] for row in verdict.rows}
    assert measured["complex overlap of the object with the truth"] > 0.999
    assert measured["shape, intersection over union"] > 0.99
    assert measured["strain, rms error away from boundaries"] < 6e-4
    assert [value for name, value in measured.items() if name.startswith("drop of correlation")] == [0]


def test_a_wrong_object_does_not_pass_and_its_grade_is_untrue(result, raw, truth):
    field = truth["amplitude_data_frame"]
    wrong = abs(field) * np.exp(2j * np.pi * np.random.default_rng(0).random(field.shape))
    replaced(result, "entry_1/image_1/data", to_image(wrong).astype(np.complex64))
    failed = failing(result, raw, "phasing")
    assert "complex overlap of the object with the truth" in failed
    assert "truth of the grade" in failed


def test_strain_of_the_wrong_sign_is_seen(raw, truth, tmp_path):
    failed = failing(write_result(tmp_path / "result.h5", truth, sign=-1), raw, "strain")
    for name in ("strain, rms error away from boundaries", "strain, correlation with the truth", "mean strain of grains, rms error"):
        assert name in failed
    assert any("slope" in name for name in failed)
    assert any("tilt" in name for name in failed)


def test_an_unreliable_object_may_not_give_statistics(result, raw):
    with h5py.File(result, "r+") as file:
        file["entry_1/image_1"].attrs["grade"] = "unreliable"
    verdict = judge(result, raw / "truth.h5", parts=["phasing", "strain", "grains"])
    assert {skipped.what for skipped in verdict.skipped} == {"strain", "grains", "resolution"}
    assert "statistics drawn from an unreliable object" in [row["name"] for row in verdict.rows if not row["pass"]]


def test_steps_in_q_that_are_wrong_are_seen(result, raw, truth):
    replaced(result, "entry_1/image_1/q_basis", truth["geometry/q_basis"] * [1.0, 1.0, 1.0003])
    assert failing(result, raw, "geometry") == ["steps in q, relative error"]


def test_a_stated_error_that_is_too_small_is_seen(result, raw):
    with h5py.File(result) as file:
        stated = file["entry_1/strain_error"][()]
    replaced(result, "entry_1/strain_error", stated / 5)
    assert failing(result, raw, "strain") == ["stated error of strain, median over the true one"]


def test_grains_run_together_are_seen(result, raw):
    with h5py.File(result) as file:
        label = file["entry_1/grain"][()]
    replaced(result, "entry_1/grain", np.where(label > 0, 1, 0))
    assert any("Rand" in name for name in failing(result, raw, "grains"))


@pytest.mark.parametrize(
    ("name", "spoil", "told"),
    [
        ("entry_1/peak/valid", lambda valid: np.ones_like(valid), "hot and dead pixels masked"),
        ("entry_1/peak/valid", lambda valid: valid & (np.arange(valid.shape[-1]) != 3), "honest pixels masked"),
        ("entry/twotime/frame_ok", lambda good: np.ones_like(good), "dropped, doubled and lost frames used"),
        ("entry/twotime/time", lambda time: time * 1.0001, "time of the frames"),
    ],
)
def test_bad_pixels_and_frames_that_are_used_are_told(result, raw, name, spoil, told):
    assert failing(result, raw, "ingest") == []
    with h5py.File(result) as file:
        values = file[name][()]
    replaced(result, name, spoil(values))
    assert any(told in row for row in failing(result, raw, "ingest"))


def test_a_missing_event_lowers_the_recall(result, raw, truth):
    def recall():
        return next(row["measured"] for row in score(result, raw / "truth.h5", parts=["events"]) if row["name"].startswith("events found"))

    assert recall() == 1
    with h5py.File(result) as file:
        asked = hear(Compared([file], truth)).asked
    with h5py.File(result, "r+") as file:
        write_events(file, truth, np.delete(np.arange(len(asked)), asked.argmax()))
    assert recall() == pytest.approx(1 - 1 / asked.sum())


@pytest.mark.parametrize(("flag", "passes"), [("", False), ("artefact, short window", True), ("rigid", True)])
def test_what_a_result_calls_rigid_or_an_artefact_is_no_event(result, raw, truth, flag, passes):
    """Nothing happens near the end."""
    every = np.arange(len(truth["events/frame"]))
    with h5py.File(result, "r+") as file:
        write_events(file, truth, np.append(every, every[-1]))
        flags = [""] * len(every) + [flag]
        frames = np.append(truth["events/frame"], 149)
        del file["entry/events/flags"], file["entry/events/frame"]
        file["entry/events/flags"], file["entry/events/frame"] = flags, frames
    assert (not any("false events" in name for name in failing(result, raw, "events"))) == passes


def test_events_ascribed_to_another_boundary_are_seen(result, raw, truth):
    with h5py.File(result) as file:
        ranked = file["entry/events/ranked"][()]
    replaced(result, "entry/events/ranked", np.where(ranked >= 0, (ranked + 1) % len(truth["boundaries/i"]), -1))
    assert any("right boundary" in name for name in failing(result, raw, "attribution"))


def test_what_was_not_run_is_not_judged(raw, truth, tmp_path):
    with h5py.File(tmp_path / "object.h5", "w") as file:
        write_object(file, truth)
    verdict = judge(tmp_path / "object.h5", raw / "truth.h5")
    assert {"events", "attribution"} <= {skipped.what for skipped in verdict.skipped}
    absent = [row["name"] for row in verdict.rows if row["measured"] == "absent"]
    assert "strain, rms error away from boundaries" in absent
    assert not any(row["pass"] for row in verdict.rows if row["measured"] == "absent")


def test_a_result_of_another_reflection_is_left_aside(result, raw, truth):
    with h5py.File(result, "r+") as file:
        file["entry_1/image_1/q_peak"][...] = truth["geometry/G"][[2, 1, 0]]
    assert judge(result, raw / "truth.h5").rows == []


def test_files_and_parts_that_do_not_exist_are_told(raw, tmp_path):
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, told in (("none.h5", "no such file"), ("text.h5", "cannot be opened"), ("empty.h5", "expected a result")):
        with pytest.raises(XcdiError, match=told):
            score(tmp_path / name, raw / "truth.h5")
    with pytest.raises(XcdiError, match="did you mean 'events'"):
        score([], raw / "truth.h5", parts=["event"])
    with pytest.raises(XcdiError, match=r"expected the truth\.h5"):
        score([], tmp_path / "empty.h5")
    assert {"phasing", "strain", "grains", "events"} < set(PARTS)


def test_evidence_is_plain(flawless, raw):
    found = evidence(flawless, raw / "truth.h5")
    assert json.loads(json.dumps(found)) == found
    assert found["overlap"] > 0.999
    assert found["false"] == 0
    assert len(found["event_drop"]) == len(found["event_found"])
    assert set(found["rank"]) == {1}
    assert all(found["moved"])
    assert len(found["drop_ratio"]) == len(found["drop_true"])


def test_the_command_tells_by_its_status_and_as_json(raw, truth, tmp_path, capsys):
    path, known = str(raw / "truth.h5"), tmp_path / "series.h5"
    with h5py.File(known, "w") as file:
        write_series(file, truth)
    assert main(["score", str(known), "--truth", path, "--json", str(tmp_path / "rows.json")]) == 0
    table = capsys.readouterr().out
    assert "figures meet their bar" in table
    assert "not judged: geometry (no result holds a peak)" in table
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) == table.count("   bar ")
    replaced(known, "entry/twotime/frame_ok", np.ones(150, bool))
    assert main(["score", str(known), "--truth", path, "--json", "-"]) == 1
    assert not all(row["pass"] for row in json.loads(capsys.readouterr().out)["rows"])
    assert main(["score", path, "--truth", path]) == 2
    assert "expected a result" in capsys.readouterr().err


def test_another_box_of_the_same_peak_is_the_same_object(truth):
    field = truth["amplitude_data_frame"]
    cropped = fit_window(field, (30, 57, 60), (1, -2, 3))
    assert laid_upon(to_image(cropped), field).overlap > 0.999
    assert laid_upon(np.zeros((3, 3, 3)), field).overlap == 0


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


@pytest.mark.parametrize("twin", [False, True])
def test_a_disguised_object_is_laid_upon_the_truth(twin):
    rng = np.random.default_rng(3)
    rho = np.zeros((15, 16, 17), complex)
    rho[5:10, 4:10, 6:12] = rng.random((5, 6, 6)) * np.exp(1j * rng.random((5, 6, 6)))
    other = disguised(rho, twin=twin, shift=(1.0, -2.0, 0.0), slope=(0.0, 0.0, 0.0))
    laid = align(other, rho).laid(other)
    assert abs(np.vdot(laid, rho)) / np.linalg.norm(laid) / np.linalg.norm(rho) > 0.999
