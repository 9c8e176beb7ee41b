"""Before phasing it is said what stands in its way, and nothing that can be phased is stopped."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage as ndi

from xcdi import artificial, io
from xcdi.cli import main
from xcdi.stages import corrections, geometry, imaging, phasing, preflight

SHAPE = (36, 50, 45)
HALF = (5.2, 7.1, 6.3)
BEGIN = (4, 11, 7)  # of the box, in the scan


def intensity(blur=0.0, photons=1e7):
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    body = (np.abs(z) < HALF[0]) & (np.abs(y) < HALF[1]) & (np.abs(x) < HALF[2]) & (np.abs(z) + np.abs(y) + np.abs(x) < 14)
    wave = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(body * np.exp(0.02j * x**2 + 0.01j * x * y))))
    field = ndi.gaussian_filter(np.abs(wave) ** 2, blur) if blur else np.abs(wave) ** 2
    return field * photons / field.sum()


def peak_of(field, valid=None, **attrs):
    counts = np.random.default_rng(1).poisson(field).astype(np.float32)
    valid = np.ones(counts.shape, bool) if valid is None else valid
    box = {dim: [b, b + n] for dim, b, n in zip(("frame", "y", "x"), BEGIN, counts.shape, strict=True)}
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), np.where(valid, counts, 0), {"units": "1"}),
            "valid": (("frame", "y", "x"), valid, {"units": ""}),
            "rocking": ("frame", 0.01 * np.arange(len(counts)), {"units": "deg"}),
            "q_basis": (("axis", "index"), np.array([[0, 0, 2e-3], [0, 2e-3, 0], [3e-3, 0, 1e-4]]), {"units": "1/nm"}),
            "q_peak": ("axis", np.array([1.37, 0.0, 0.0]), {"units": "1/nm"}),
        },
        attrs={"box": json.dumps(box), **attrs},
    )


def scan_of(peak, **attrs):
    """The raw scan that the peak was cut from, with nothing around it."""
    whole = np.zeros([b + n + 3 for b, n in zip(BEGIN, peak.counts.shape, strict=True)], np.uint32)
    whole[tuple(slice(b, b + n) for b, n in zip(BEGIN, peak.counts.shape, strict=True))] = peak.counts.values
    return xr.Dataset(
        {"counts": (("frame", "y", "x"), whole, {"units": "1"}), "valid": (("y", "x"), np.ones(whole.shape[1:], bool), {"units": ""})},
        attrs=attrs,
    )


def found(peak, scan=None):
    return {finding.name: finding for finding in preflight.diagnose(scan, peak)}


@pytest.fixture(scope="module")
def fine():
    return found(peak_of(intensity()))


def test_a_good_peak_is_told_to_be_good(fine):
    assert {f.name: f.verdict for f in fine.values() if f.verdict != "ok"} == {}
    assert all(f.sentence and "\n" not in f.sentence for f in fine.values())


def test_every_second_frame_is_too_coarse_and_the_remedy_is_named(fine):
    coarse = found(peak_of(intensity()[::2]))["oversampling"]
    assert coarse.verdict in ("warning", "stop")
    assert coarse.figure[0] < 2 < fine["oversampling"].figure[0]
    assert "along frame" in coarse.sentence
    assert "finer rocking steps" in coarse.sentence


def test_a_rocking_curve_cut_at_half_is_a_warning():
    middle = SHAPE[0] // 2
    cut = found(peak_of(intensity()[: middle + 2]))
    assert cut["rocking ends"].verdict == "warning"
    assert "at its end; scan further" in cut["rocking ends"].sentence
    assert cut["rocking ends"].figure[0] < 2 < cut["rocking ends"].figure[1]


def test_a_box_that_cuts_the_rocking_curve_is_to_be_made_longer():
    short = peak_of(intensity()[: SHAPE[0] // 2 + 2])
    assert "longer box" in found(short, scan_of(short))["rocking ends"].sentence  # the scan goes on for three frames


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_peak_on_the_face_of_the_box_is_stopped(axis):
    half = tuple(slice(n // 2 if a == axis else 0, None) for a, n in enumerate(SHAPE))
    centring = found(peak_of(intensity()[half]))["centring"]
    assert centring.verdict == "stop"
    assert f"along {preflight.DIMS[axis]}" in centring.sentence


def test_a_peak_off_the_middle_is_told_by_how_much():
    moved = found(peak_of(np.roll(intensity(), (0, 8, 0), axis=(0, 1, 2))))["centring"]
    np.testing.assert_allclose(moved.figure, [0, 8, 0], atol=0.5)
    assert moved.verdict == "notice"


def test_a_gap_through_the_peak_is_seen(fine):
    valid = np.ones(SHAPE, bool)
    valid[:, 23:27, :] = False
    gappy = found(peak_of(intensity(), valid))
    lost = 100 * intensity()[~valid].sum() / intensity().sum()
    assert gappy["gaps"].verdict == "warning"
    assert 0.4 * lost < gappy["gaps"].figure[0] < 1.1 * lost, "judged by what is left around it"
    assert gappy["widest gap"].figure[0] == pytest.approx(4 / fine["oversampling"].figure[1], rel=0.4)
    assert not any(finding.verdict == "stop" for finding in gappy.values())


def test_a_gap_in_the_dark_is_no_matter():
    valid = np.ones(SHAPE, bool)
    valid[:, :3, :4] = False
    gappy = found(peak_of(intensity(), valid))
    assert gappy["gaps"].verdict == gappy["widest gap"].verdict == "ok"


def test_nonsense_in_a_gap_is_no_saturation():
    peak = peak_of(intensity())
    valid = np.ones(SHAPE, bool)
    valid[:, 23:25, :] = False
    counts = np.where(valid, peak.counts, 1e6).astype(np.float32)
    gappy = peak.assign(valid=(peak.valid.dims, valid, {"units": ""}), counts=(peak.counts.dims, counts, {"units": "1"}))
    assert found(gappy)["saturation"].verdict == "ok"


def test_a_saturated_pixel_is_found_where_it_is():
    peak = peak_of(intensity())
    at = np.unravel_index(int(peak.counts.values.argmax()), SHAPE)
    limit = float(np.sort(peak.counts.values.ravel())[-2])
    told = found(peak, scan_of(peak, saturation=limit))["saturation"]
    assert told.figure == (1.0,)
    assert f"frame {at[0] + BEGIN[0]}, y {at[1] + BEGIN[1]}, x {at[2] + BEGIN[2]}" in told.sentence
    assert "taken as true" in told.sentence
    valid = np.ones(SHAPE, bool)
    valid[at] = False
    masked = peak_of(intensity(), valid)
    assert found(masked, scan_of(peak, saturation=limit))["saturation"].verdict == "notice"


def test_a_pixel_that_the_mask_took_out_is_not_saturated():
    peak = peak_of(intensity())
    scan = scan_of(peak, saturation=1e6, sentinel=2**32 - 1)
    scan.counts.values[9, 20, 20] = 2**32 - 1
    assert found(peak, scan)["saturation"].verdict == "ok"


def test_a_counter_that_stops_is_seen_without_a_limit():
    peak = peak_of(intensity())
    clipped = peak.assign(counts=np.minimum(peak.counts, 0.5 * peak.counts.max()).assign_attrs(units="1"))
    assert found(clipped, scan_of(clipped))["saturation"].verdict == "warning"


def test_losses_by_dead_time_are_told():
    peak = peak_of(intensity())
    time = 0.2 / float(peak.counts.max())
    assert "20 %" in found(peak, scan_of(peak, dead_time_s=time, count_time_s=1.0))["saturation"].sentence


def test_blurred_data_lower_the_visibility(fine):
    blurred = found(peak_of(intensity(blur=0.7)))["fringe visibility"]
    assert blurred.verdict in ("notice", "warning")
    assert blurred.figure[0] < fine["fringe visibility"].figure[0] - 0.05


def test_few_counts_are_told(fine):
    dim = found(peak_of(intensity(photons=3e4)))
    assert dim["counts per speckle"].verdict == "warning"
    resolved, fully = (np.array(f["expected resolution"].figure) for f in (dim, fine))
    assert (resolved >= fully).all()
    assert resolved.max() > 1.2 * fully.max()


def test_stray_light_is_told():
    assert found(peak_of(intensity() + 60.0))["background"].verdict in ("notice", "warning")


def test_a_frame_that_was_lost_is_named_and_leaves_the_oversampling(fine):
    field = intensity()
    field[21] = 0
    lost = found(peak_of(field))
    assert lost["dark frames"].verdict == "warning"
    assert f"frame {21 + BEGIN[0]} " in lost["dark frames"].sentence
    assert lost["oversampling"].figure[1] == pytest.approx(fine["oversampling"].figure[1], rel=0.1)


def test_uneven_steps_are_told():
    peak = peak_of(intensity())
    rocking = peak.rocking.values.copy()
    rocking[17:] += 0.005
    assert found(peak.assign(rocking=("frame", rocking, {"units": "deg"})))["rocking steps"].verdict == "warning"


def test_nothing_to_phase_is_stopped():
    (only,) = preflight.diagnose(None, peak_of(np.zeros(SHAPE)))
    assert only.verdict == "stop"


def test_the_findings_travel_with_the_peak(tmp_path):
    findings = preflight.diagnose(None, peak_of(intensity()))
    io.save({"peak": preflight.noted(peak_of(intensity()), findings)}, tmp_path / "peak.h5", provenance={})
    again = preflight.recalled(io.load(tmp_path / "peak.h5")["peak"])
    assert [f.sentence for f in again] == [f.sentence for f in findings]
    np.testing.assert_array_equal([f.figure[0] for f in again], [f.figure[0] for f in findings])


def test_only_what_is_bad_enough_is_told():
    findings = [preflight.Finding(word, (1.0,), "px", word, "do this") for word in preflight.VERDICTS]
    assert len(preflight.told(findings)) == 4
    assert [line.split()[0] for line in preflight.told(findings, least="warning")] == ["warning", "stop"]


def test_the_data_are_left_as_they_were():
    peak = peak_of(intensity())
    before = peak.copy(deep=True)
    preflight.diagnose(scan_of(peak), peak)
    xr.testing.assert_identical(peak, before)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return artificial.simulate("crystal", tmp_path_factory.mktemp("preflight") / "crystal", profile="pico", seed=3)


def test_a_simulated_crystal_may_be_phased(experiment):
    scan = io.open_scan(experiment / "crystal.h5", "crystal", "demo_crystal")
    frames = corrections.apply(corrections.find_bad_pixels(scan), imaging.usable_corrections(scan))
    verdicts = {f.name: f.verdict for f in preflight.diagnose(scan, phasing.crop_to_peak(geometry.with_q(frames)))}
    assert "stop" not in verdicts.values()
    assert verdicts["fringe visibility"] == verdicts["rocking ends"] == verdicts["saturation"] == "ok"


def test_the_command_prints_the_findings_and_draws_them(experiment, tmp_path, capsys):
    assert main(["diagnose", str(experiment / "crystal.h5"), "--beamline", "demo_crystal", "--out", str(tmp_path), "--workers", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "can be phased" in out[0]
    assert any("oversampling" in line and "px/fringe" in line for line in out)
    assert (tmp_path / "crystal_bcdi_strain_preflight.png").stat().st_size > 10_000


def test_a_scan_that_is_not_there_is_one_line_and_status_2(experiment, capsys):
    assert main(["diagnose", str(experiment / "crystal.h5"), "S99", "--beamline", "demo_crystal"]) == 2
    assert "S99  failed" in capsys.readouterr().out


@pytest.mark.slow
def test_the_measured_crystal_may_be_phased(measured_data):
    scan = io.open_scan(measured_data / "34idc_scan54" / "scan54_frames.h5", "scan54_frames", "34idc")
    frames = corrections.apply(corrections.find_bad_pixels(scan), imaging.usable_corrections(scan))
    verdicts = {f.name: f.verdict for f in preflight.diagnose(scan, phasing.crop_to_peak(geometry.with_q(frames)))}
    assert not {"stop", "warning"} & set(verdicts.values())
