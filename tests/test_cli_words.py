"""What the command line says to those who got something wrong: what was found, what was expected, what to do."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from flawless import write_result
from xcdi.pipelines import bcdi_strain, superlattice

from xcdi import artificial, io, settings
from xcdi.artificial.verdict import Truth
from xcdi.cli import commands, main
from xcdi.errors import SettingsError
from xcdi.kernels.calibration import PARAMETERS

MASK = "entry/instrument/detector/pixel_mask"
COUNTS = "entry/data/data"
TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small particle as one stack, and as an Eiger writes it."""
    home = tmp_path_factory.mktemp("made")
    small = {"detector": (48, 48), "peak_px": (24, 24), "gaps": (), "beamstop": (5, 5, 2)}
    for name, layout in (("stack", "stack"), ("raw", "eiger")):
        artificial.simulate("particle", home / name, profile="pico", seed=3, format=layout, **small)
    return home


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """Stand in a folder with both, to be spoiled."""
    for name in ("stack", "raw"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result(here, name="result.h5"):
    with h5py.File("stack/truth.h5") as file:
        return write_result(here / name, Truth(file))


def refused(capsys, *words):
    """The one line on standard error."""
    assert main(list(words)) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1, told
    return told[0]


# --- bad peaks


@pytest.mark.parametrize(("place", "value", "told"), [(MASK, 1, "gaps"), (COUNTS, 7, "no peak")])
def test_a_masked_peak_and_constant_frames_are_findings(here, capsys, place, value, told):
    with h5py.File("stack/particle_rocking.h5", "r+") as file:
        part = (slice(15, 33), slice(15, 33)) if place == MASK else (...,)
        file[place][part] = value
    main(["diagnose", "stack/particle_rocking.h5", "--beamline", "demo_stack"])
    out, err = capsys.readouterr()
    assert told in out
    assert "bug" not in out
    assert not err


def test_a_bug_fails_its_own_scan_and_keeps_its_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("toy.py").write_text(TOY.read_text().replace('"hopeless"', '"S1"').replace("raise XcdiError(", "raise ZeroDivisionError("))
    Path("toy.toml").write_text('name = "toy"\nformat = "hdf5"\n[layout]\ncounts = "{scan}/counts"\n')
    with h5py.File("night.h5", "w") as file:
        for name in ("S1", "S2"):
            file[f"{name}/counts"] = np.ones((9, 7, 5), np.uint16)
    assert main(["run", "./toy.py", "night.h5", "--beamline", "./toy.toml", "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert "S1   failed  bug in xcdi or toy.py: ZeroDivisionError: nothing can be made of this scan; report it" in out
    assert out.endswith("1 done, 1 failed\n")
    assert not err
    assert "Traceback" in Path("out/S1_toy_traceback.txt").read_text()
    Path("toy.py").write_text(TOY.read_text())
    assert main(["run", "./toy.py", "night.h5", "--beamline", "./toy.toml", "--workers", "1"]) == 0
    assert not Path("out/S1_toy_traceback.txt").exists()


# --- what can be told without frames


@pytest.mark.parametrize("words", [["check"], ["run", "--dry-run"]])
def test_a_scan_that_does_not_rock_is_told_without_frames(here, capsys, words):
    assert main([*words[:1], "bcdi_strain", "stack", "particle_series", "--beamline", "demo_stack", *words[1:]]) == 2
    assert "no motor of the sample moves" in capsys.readouterr().out


def test_too_few_frames_and_no_energy_are_told_without_frames(here):
    scan = io.open_scan("stack", "particle_rocking", "demo_stack")
    bcdi_strain.ready(scan, bcdi_strain.Settings())
    with pytest.raises(ValueError, match="1 frame; a rocking scan"):
        bcdi_strain.ready(scan.isel(frame=slice(1)), bcdi_strain.Settings())
    del scan.attrs["energy_kev"]
    with pytest.raises(ValueError, match="energy_kev"):
        superlattice.ready(scan, scan, superlattice.Settings())


# --- score


def test_a_truth_of_another_experiment_is_refused(here, capsys):
    path = result(here)
    with h5py.File(path, "r+") as file:
        file["entry_1/peak"].attrs["box"] = '{"frame": [0, 16], "y": [38, 88], "x": [0, 40]}'
    assert "truth is of another experiment" in refused(capsys, "score", str(path), "--truth", "stack/truth.h5")


def test_a_tensor_is_not_judged_and_does_not_fail(here, capsys):
    with h5py.File("tensor.h5", "w") as file:
        file["entry_1/strain_xx"] = np.zeros((3, 3, 3))
    told = refused(capsys, "score", "tensor.h5", "--truth", "stack/truth.h5")
    assert "strain tensor (no tensor component is compared)" in told


# --- settings


def test_settings_that_belong_together_are_checked_together():
    chosen = settings.override(bcdi_strain.Settings(), "strain.reference_d_nm=0.23545", "strain.reference_source=bulk")
    assert chosen.strain.reference_d_nm == 0.23545
    chosen = settings.override(
        bcdi_strain.Settings(), "strain.refraction.delta=3.6e-5", "strain.refraction.beta=1e-6", "strain.refraction.source=xop"
    )
    assert chosen.strain.refraction.delta == 3.6e-5


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("strain.hkl=[1,1]", r"strain\.hkl: expected three integers, as \[1, 1, 1\] \(found \[1, 1\]\)"),
        ("strain.hkl=111", r"strain\.hkl: expected three integers, as \[1, 1, 1\] \(found 111\)"),
        ("strain.refraction=3.6e-5", r'as \{delta = 3.6e-5, beta = 1.0e-6, source = "\.\.\."\}'),
        ("strain.refraction={beta = 1e-6}", r"delta: missing; expected a number, as in \{delta = 3.6e-5"),
        ("voxel_nm", r"expected key=value, as in --set recipe\.starts=5"),
        ("hkl=[1,1,1]", r"did you mean 'strain\.hkl'"),
        ("phasing.starts=5", r"did you mean 'recipe\.starts'"),
        ("structure=fc", r"expected 'fcc' or 'bcc' or 'sc'"),
        ("voxel_nm=0", r"expected a value greater than 0 \(found 0\)"),
    ],
)
def test_a_setting_that_does_not_fit_says_what_would(assignment, told):
    with pytest.raises(SettingsError, match=told):
        settings.override(bcdi_strain.Settings(), assignment)


@pytest.mark.parametrize(("structure", "hkl", "fine"), [("fcc", "2,0,0", 1), ("fcc", "2,1,0", 0), ("bcc", "2,1,0", 0), ("sc", "2,1,0", 1)])
def test_a_reflection_that_a_structure_does_not_have_is_refused(structure, hkl, fine):
    asked = f"structure={structure}", f"strain.hkl=[{hkl}]"
    if fine:
        settings.override(bcdi_strain.Settings(), *asked)
        return
    for kind, prefix in ((bcdi_strain.Settings, ""), (superlattice.Settings, "imaging.")):
        with pytest.raises(SettingsError, match="does not occur"):
            settings.override(kind(), *(prefix + one for one in asked))


# --- files


def test_a_file_cut_short_is_told_with_its_missing_bytes(here, capsys):
    whole = Path("stack/truth.h5").read_bytes()
    Path("short.h5").write_bytes(whole[: len(whole) // 2])
    for words in (["plot", "short.h5"], ["show", "file", "short.h5"], ["score", "short.h5", "--truth", "stack/truth.h5"]):
        assert "are missing; copy it again" in refused(capsys, *words)


def damaged(path):
    """Spoil the first packed chunk of a result."""
    with h5py.File(path) as file:
        found = []
        file.visititems(lambda name, item: found.append(item) if isinstance(item, h5py.Dataset) and item.chunks else None)
        name, place = found[0].name, found[0].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(place + 10)
        file.write(b"\xff" * 20)
    return name


def saved(path):
    import xarray as xr

    noise = np.random.default_rng(0).normal(size=(40, 40, 40))
    io.save({"object": xr.Dataset({"residual": ("start", [0.1]), "noise": (("z", "y", "x"), noise)})}, path, provenance={"settings": ""})
    return path


def test_a_damaged_dataset_is_named(here, capsys):
    name = damaged(saved(here / "damaged.h5"))
    told = refused(capsys, "plot", "damaged.h5")
    assert "damaged.h5" in told
    assert f"dataset {name!r} is damaged" in told
    assert "copy the file again" in told


def test_a_folder_of_results_is_plotted(here, capsys):
    (here / "out").mkdir()
    for name in "ab":
        saved(here / "out" / f"{name}.h5")
    assert main(["plot", "out"]) == 0
    assert capsys.readouterr().out.splitlines() == ["out/a_starts.png", "out/b_starts.png"]
    assert "is a folder; name the results" in refused(capsys, "run", "strain_tensor", "out")


@pytest.mark.parametrize(
    ("path", "beamline", "told"),
    [
        ("stack", "demo", "looks like one of 'demo_stack'"),
        ("raw", "demo_stack", "looks like one of 'demo'"),
        ("out", "demo", "these are results of xcdi, and raw data are expected"),
        ("out/a.h5", "demo_stack", "it is a result of xcdi, and raw data are expected"),
    ],
)
def test_another_beamline_or_a_result_is_told(here, capsys, path, beamline, told):
    (here / "out").mkdir()
    saved(here / "out" / "a.h5")
    assert main(["check", "bcdi_strain", path, "--beamline", beamline]) == 2
    out, err = capsys.readouterr()
    assert told in (err or out)


# --- the other commands


def test_what_calibrate_can_keep_is_listed():
    assert ", ".join(PARAMETERS) == commands.PARAMETERS


def test_calibrate_wants_a_detector_that_moves(here, capsys):
    told = refused(capsys, "calibrate", "stack", "particle_rocking", "--beamline", "demo_stack")
    assert "no motor of the detector moves in this scan" in told


def test_simulate_says_which_beamline_reads_it(tmp_path, capsys):
    assert main(["simulate", "speckle", str(tmp_path / "raw"), "--profile", "pico"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "read it with --beamline demo_speckle"


@pytest.mark.slow
def test_a_structure_without_hkl_is_noticed(here, capsys):
    """The Burgers vector is then the spacing along G, as without a structure."""
    words = [
        "run",
        "bcdi_strain",
        "stack/particle_rocking.h5",
        "--beamline",
        "demo_stack",
        "--set",
        "recipe.starts=2",
        "--set",
        "structure=fcc",
    ]
    assert main(words) == 0
    assert "notice   Burgers vector  spacing along G, as structure is given without strain.hkl" in capsys.readouterr().out
