import hashlib
import json
import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest

from xcdi.artificial import simulate
from xcdi.artificial.detector import sentinel
from xcdi.artificial.instrument import masked_pixels
from xcdi.artificial.profiles import PROFILES, profile
from xcdi.errors import XcdiError

assert hdf5plugin  # registers the compression of the files
PICO = profile("pico")
SENTINEL = sentinel(PICO)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate("particle", tmp_path_factory.mktemp("pico"), profile="pico", seed=2)


@pytest.fixture(scope="module")
def truth(folder):
    with h5py.File(folder / "truth.h5") as file:
        yield file


def read(folder, scan):
    with h5py.File(folder / f"particle_{scan}_master.h5") as file:
        links = file["entry/data"]
        return np.concatenate([links[name][()] for name in sorted(links)])


def beam(folder, scan):
    """Intensity relative to its mean, from the monitor."""
    with h5py.File(folder / f"particle_{scan}_master.h5") as file:
        return file["entry/instrument/monitor/data"][()] / 1e6


def test_the_same_seed_gives_the_same_bytes(folder, tmp_path):
    again = simulate("particle", tmp_path, profile="pico", seed=2)
    for path in folder.iterdir():
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256((again / path.name).read_bytes()).digest(), path.name


def test_frames_are_whole_and_one_to_a_chunk(folder):
    paths = sorted(folder.glob("particle_series_data_*.h5"))
    numbers = []
    for path in paths:
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            assert data.dtype == np.uint32
            assert data.chunks == (1, *PICO.detector)
            assert [code for code, *_ in map(data.id.get_create_plist().get_filter, range(1))] == [32008]
            numbers += range(data.attrs["image_nr_low"], data.attrs["image_nr_high"] + 1)
            assert len(data) == data.attrs["image_nr_high"] - data.attrs["image_nr_low"] + 1
    assert numbers == list(range(1, PICO.frames + 1))
    assert len(paths) == 3


def test_the_master_says_what_an_analysis_needs(folder):
    with h5py.File(folder / "particle_rocking_master.h5") as file:
        detector = file["entry/instrument/detector"]
        assert detector["detector_distance"][()] == PICO.distance_m
        assert detector["x_pixel_size"].attrs["units"] == "m"
        assert detector["beam_center_x"][()] < 0 < detector["beam_center_y"][()]
        assert file["entry/instrument/beam/incident_wavelength"][()] == pytest.approx(1.284810, abs=1e-6)
        omega = file["entry/sample/goniometer/omega"][()]
        assert (len(omega), omega[PICO.angles // 2]) == (PICO.angles, 0)
        np.testing.assert_array_equal(detector["detectorSpecific/pixel_mask"][()] > 0, masked_pixels(PICO))
        assert len(file["entry/instrument/monitor/data"]) == detector["detectorSpecific/nimages"][()] == PICO.angles
    with h5py.File(folder / "particle_series_master.h5") as file:
        assert file["entry/sample/goniometer/omega"].shape == ()


def test_masked_pixels_hold_the_sentinel_and_no_other_does(folder, truth):
    counts = read(folder, "series")
    dropped = truth["artifacts/dropped"][()]
    masked = masked_pixels(PICO)
    kept = np.delete(counts, dropped, axis=0)
    assert (kept[:, masked] == SENTINEL).all()
    assert kept[:, ~masked].max() <= PICO.cutoff
    assert not counts[dropped].any()


def test_photons_are_those_asked_for(folder, truth):
    box = truth["object_data_frame"].attrs["box"]
    valid = ~masked_pixels(PICO)
    for name in ("dead", "hot", "flickering"):
        valid[tuple(truth[f"artifacts/{name}"][()].T)] = False
    part = np.s_[:, box[0] : box[1], box[2] : box[3]]
    valid = valid[part[1:]]
    field = abs(truth["amplitude_data_frame"][()].astype(complex)) ** 2
    assert field.sum() == pytest.approx(PICO.photons, rel=0.01)
    rocking = read(folder, "rocking")[part][:, valid].sum(axis=1) / beam(folder, "rocking")
    assert rocking.sum() == pytest.approx(field[:, valid].sum(), rel=0.01)
    series, clean = read(folder, "series")[part][:, valid].sum(axis=1) / beam(folder, "series"), truth["clean"][()][:, valid].sum(axis=1)
    lies = [*truth["artifacts/dropped"][()], *truth["artifacts/doubled"][()]]
    assert np.delete(series, lies).sum() == pytest.approx(np.delete(clean, lies).sum(), rel=0.01)
    assert series[lies[1]] == pytest.approx(2 * clean[lies[1]], rel=0.2)
    assert truth["clean"][0].mean() == pytest.approx(PICO.mean_count, rel=1e-3)


def test_bad_pixels_are_near_but_not_on_the_peak(folder, truth):
    rocking = read(folder, "rocking")
    dead, hot = (truth[f"artifacts/{name}"][()] for name in ("dead", "hot"))
    assert not rocking[:, *dead.T].any()
    assert (np.abs(rocking[:, *hot.T].mean(axis=0) / truth["artifacts/hot_rate"][()] - 1) < 0.5).all()
    distance = np.abs(np.concatenate([dead, hot]) - PICO.peak_px).max(axis=1)
    assert distance.min() > PICO.box // 4
    assert (distance < PICO.box // 2).sum() == 2


def test_the_object_of_the_data_frame_is_the_field_transformed(truth):
    shown, field = truth["object_data_frame"][()], truth["amplitude_data_frame"][()]
    back = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(shown)))
    np.testing.assert_allclose(back, field, atol=1e-5 * abs(field).max())


def test_truth_says_how_it_was_made(truth):
    assert truth["seed"][()] == 2
    assert json.loads(truth["config"][()]) == {"suite": "particle"} | json.loads(PICO.model_dump_json())
    events = truth["events"]
    assert len({events[name].shape[0] for name in events}) == 1
    assert (np.diff(events["time"][()]) > 0).all()


def test_variants_leave_out_what_they_say(tmp_path):
    out = simulate("particle", tmp_path, profile="pico", seed=2, variant="still", bad_pixels=False, bad_frames=False)
    with h5py.File(out / "truth.h5") as file:
        assert file["events/time"].shape == (0,)
        assert all(file[f"artifacts/{name}"].shape[0] == 0 for name in ("dead", "hot", "flickering", "dropped", "doubled"))
        clean = file["clean"][()]
    np.testing.assert_allclose(clean, clean[:1].repeat(len(clean), axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", PROFILES)
def test_the_peak_and_its_box_are_on_the_detector(name):
    p = profile(name)
    for size, peak in zip(p.detector, p.peak_px, strict=True):
        assert p.window // 2 <= peak <= size - p.window // 2
    row, column = p.peak_px
    assert not masked_pixels(p)[row - p.box // 3 : row + p.box // 3, column - p.box // 3 : column + p.box // 3].any()


def test_what_cannot_be_made_is_told(tmp_path):
    with pytest.raises(XcdiError, match="did you mean 'particle'"):
        simulate("partcle", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(XcdiError, match="is a file, expected a folder"):
        simulate("particle", tmp_path / "file")
    with pytest.raises(XcdiError, match="no profile 'picco'"):
        simulate("particle", tmp_path / "new", profile="picco")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", [["particle", "--variant", "three-peaks", "--set", "frames=8"], ["crystal", "--variant", "inclined"]])
def test_any_number_of_workers_writes_the_same_bytes(command, tmp_path):
    digests = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        program = "import sys; from xcdi.cli import main; sys.exit(main(sys.argv[1:]))"
        words = ["simulate", *command, "--profile", "pico", "--workers", str(workers)]
        subprocess.run([sys.executable, "-c", program, *words[:2], str(out), *words[2:]], check=True, capture_output=True)
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()})
    assert digests[0] == digests[1]
    assert "truth.h5" in digests[0]


def test_the_rocking_scan_has_faults_of_its_own_where_asked(tmp_path):
    plain, faulty = (simulate("particle", tmp_path / str(on), "pico", 2, frames=8, rocking_faults=on) for on in (False, True))
    with h5py.File(faulty / "truth.h5") as file, h5py.File(plain / "truth.h5") as other:
        (dropped,), (doubled,) = (file[f"artifacts/rocking/{name}"][()] for name in ("dropped", "doubled"))
        assert not other["artifacts/rocking/dropped"].size
        np.testing.assert_array_equal(file["artifacts/dead"][()], other["artifacts/dead"][()])
    before, after = (read(folder, "rocking").astype(float) for folder in (plain, faulty))
    assert not after[dropped].any()
    valid = ~masked_pixels(PICO)
    assert after[doubled][valid].sum() > 1.5 * before[doubled][valid].sum()
    same = np.setdiff1d(np.arange(PICO.angles), [dropped, doubled])
    assert (after[same] != before[same]).mean() < 0.01


def test_what_peaks_have_in_common_does_not_depend_on_how_many_there_are(tmp_path):
    one = simulate("particle", tmp_path / "one", "pico", 2, frames=8)
    two = simulate("particle", tmp_path / "two", "pico", 2, frames=8, reflections=((1, 1, 1), (0, 0, 2)))
    for scan in ("rocking", "series"):
        np.testing.assert_array_equal(read(one, scan), read(two, scan))


def test_the_beam_of_every_frame_is_in_the_truth(folder, truth):
    for scan, place in (("rocking", "artifacts/rocking/beam"), ("series", "artifacts/beam")):
        np.testing.assert_allclose(beam(folder, scan), truth[place][()], rtol=5e-3)


def test_two_experiments_do_not_share_a_folder(tmp_path):
    simulate("particle", tmp_path, "pico", 1, frames=8)
    simulate("particle", tmp_path, "pico", 2, frames=8)  # the same files, written anew
    with pytest.raises(XcdiError, match="of an experiment of other files"):
        simulate("speckle", tmp_path, "pico", 1)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"grains": 0}, "greater than or equal to 1"),
        ({"window": 10}, "smaller than box"),
        ({"reflections": ((0, 0, 0),)}, "none 0 0 0"),
        ({"event_frames": (10, 1)}, "expected rising"),
        ({"detector": (64, 64)}, "leaves the detector's 64 rows"),
        ({"size_nm": (-100, 100, 100)}, "less than four voxels"),
    ],
)
def test_what_contradicts_itself_is_refused(option, said):
    with pytest.raises(XcdiError, match=said):
        profile("pico", **option)
