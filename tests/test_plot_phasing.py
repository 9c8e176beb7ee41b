"""Pictures of a phasing: what is kept, what agrees, what the object predicts, and what was known before."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.plot import phasing, preflight, reconstruction, report, style

SHAPE = (13, 17, 19)
LAB = ("z", "y", "x")
BASIS = np.array([[0, 0, 2e-3], [0, 2.5e-3, 0], [3e-3, 0, 1e-4]])
STARTS = 5


def labelled(dims, values, units="1"):
    return dims, np.asarray(values), {"units": units}


@pytest.fixture
def phased():
    """A box with a twist, and five starts of which 1 and 3 went elsewhere, as an older result has it."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    body = (abs(z) < 3) & (abs(y) < 4) & (abs(x) < 5)
    return xr.Dataset(
        {
            "rho": labelled(LAB, (30 * body * np.exp(0.02j * x * y)).astype(np.complex64)),
            "support": labelled(LAB, body, ""),
            "residual": labelled("start", [0.031, 0.052, 0.030, 0.050, 0.033]),
            "kept": labelled("start", [True, False, True, False, True], ""),
            "prtf": labelled("q", np.linspace(1.0, 0.5, 11)),
            "voxel_basis": labelled(("axis", "index"), 2 * np.pi * np.linalg.inv(BASIS * np.array(SHAPE)).T, "nm"),
            "q_basis": labelled(("axis", "index"), BASIS, "1/nm"),
            "q_peak": labelled("axis", [2.0, 0.0, 0.0], "1/nm"),
        },
        {"q": labelled("q", np.linspace(0.001, 0.011, 11), "1/nm")},
        attrs={"grade": "good", "agreement": 0.97, "ramp": [0.0, 0.0, 0.0]},
    )


@pytest.fixture
def known(phased):
    """The same with everything that can be stored of it."""
    cluster = np.array([0, 1, 0, 2, 0])
    matrix = np.where(cluster[:, None] == cluster, 0.97, 0.6)
    fall = np.stack([np.linspace(1.0, low, 11) for low in (0.0, 0.3, 0.8)])
    error = np.where(phased.support, 0.1, np.nan)
    return phased.assign(
        overlap=labelled(("start", "start2"), matrix),
        cluster=labelled("start", cluster, ""),
        prtf_axis=labelled(("direction", "q"), fall),
        resolution_nm=labelled("direction", [90.0, 75.0, np.nan], "nm"),
        phase_error=labelled(LAB, error, "rad"),
        amplitude_error=labelled(LAB, 2 * error),
    ).assign_coords(direction=["frame", "y", "x"])


@pytest.fixture
def peak(phased):
    """What the object scatters, with two columns that are not measured, and one finding."""
    valid = np.ones(SHAPE, bool)
    valid[:, :, 11:13] = False
    note = {"name": "gaps", "figure": [3.5, None], "unit": "%", "verdict": "warning", "sentence": "move the peak off the gap"}
    dims = ("frame", "y", "x")
    return xr.Dataset(
        {
            "counts": labelled(dims, np.where(valid, reconstruction.predicted(phased), 0).astype(np.float32)),
            "valid": labelled(dims, valid, ""),
            "q_basis": labelled(("axis", "index"), BASIS, "1/nm"),
        },
        attrs={"preflight": json.dumps([note])},
    )


def texts(made):
    return " ".join(text.get_text() for ax in made.axes for text in ax.texts)


def test_starts_of_one_answer_stand_together_best_answer_first(known):
    ax = phasing.overlaps(known)
    assert [int(label.get_text()) for label in ax.get_xticklabels()] == [2, 0, 4, 3, 1]
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_array_equal(shown[:3, :3], 0.97)
    np.testing.assert_array_equal(shown[:3, 3:], 0.6)
    assert "3 answers from 5 starts" in ax.get_title()


def test_every_answer_is_framed(known):
    frames = phasing.overlaps(known).patches
    assert sorted(frame.get_width() for frame in frames) == [1, 1, 3]


def test_kept_starts_have_bold_numbers(known):
    weight = {label.get_text(): label.get_fontweight() for label in phasing.overlaps(known).get_xticklabels()}
    assert {name for name, how in weight.items() if how == "bold"} == {"0", "2", "4"}


def test_overlap_colours_are_the_same_for_every_crystal(known):
    assert phasing.overlaps(known).images[0].get_clim() == (0, 1)
    assert phasing.overlaps(known.assign(overlap=known.overlap / 2)).images[0].get_clim() == (0, 1)


def test_the_gap_after_the_kept_starts_is_told(known):
    ax = phasing.residuals(known)
    assert any("gap 52 %" in text.get_text() for text in ax.texts)  # 0.050 over 0.033


def test_no_gap_is_claimed_where_a_dropped_start_fits_better(phased):
    swapped = phased.assign(kept=("start", [False, True, True, True, True]))
    ax = phasing.residuals(swapped)
    assert not any("gap" in text.get_text() for text in ax.texts)
    assert any("look different" in text.get_text() for text in ax.get_legend().get_texts())


def test_the_line_of_photon_noise_is_in_sight_and_nothing_is_written_over_the_points(phased):
    ax = phasing.residuals(phased.assign_attrs(residual_noise=0.08, agreement=np.nan))
    (noise,) = [line for line in ax.lines if line.get_label() == "photon noise"]
    assert noise.get_ydata()[0] < ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts] == ["gap 52 %"]
    assert "nan" not in ax.get_title()


def test_each_direction_has_its_crossing_and_its_resolution(known):
    ax = phasing.prtf(known)
    marks = [line for line in ax.lines if line.get_marker() == "v"]
    crossings = [float(mark.get_xdata()[0]) for mark in marks]
    level = np.exp(-1)
    np.testing.assert_allclose(crossings, [0.001 + 0.01 * (1 - level), 0.001 + 0.01 * (1 - level) / 0.7], rtol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shells", "frame: 90 nm", "y: 75 nm", "x"]


def test_a_resolution_that_the_data_limit_is_no_more_than_a_bound(known):
    high = known.assign(prtf_axis=known.prtf_axis * 0 + 1.04)
    ax = phasing.prtf(high)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shells", "frame: ≤ 90 nm", "y: ≤ 75 nm", "x"]
    assert "above 1/e" in ax.get_legend().get_title().get_text()
    assert ax.get_ylim()[1] > 1.04


def test_a_curve_is_joined_where_it_is_not_known_and_crosses_1_e_where_it_falls(known):
    fall = known.prtf_axis.values.copy()
    fall[:, 3:5] = np.nan
    fall[:, 0] = 0.1  # the innermost shell is often dark
    ax = phasing.prtf(known.assign(prtf_axis=(("direction", "q"), fall)))
    assert all(np.isfinite(line.get_ydata()).all() for line in ax.lines)
    assert len([line for line in ax.lines if line.get_marker() == "v"]) == 2


def test_an_unreliable_object_has_no_resolution_and_is_hatched(known):
    bad = known.assign_attrs(grade="unreliable")
    ax = phasing.prtf(bad)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shells", "frame", "y", "x"]
    assert "UNRELIABLE" in ax.get_title()
    for panel in [ax, *(ax for ax in reconstruction.slices(bad).axes if ax.images)]:
        assert [patch for patch in panel.patches if patch.get_hatch()]
    assert "UNRELIABLE" in reconstruction.slices(bad).get_suptitle()


@pytest.mark.parametrize(
    ("coherence", "title"), [("not modelled: too little", "grade: good"), ("a blur", "grade: good\ncoherence: a blur")]
)
def test_coherence_is_told_where_it_is_modelled(phased, coherence, title):
    assert reconstruction.slices(phased.assign_attrs(coherence=coherence)).get_suptitle() == title


def test_the_phase_that_is_drawn_does_not_depend_on_its_offset(phased):
    turned = phased.assign(rho=phased.rho * np.exp(2j).astype(np.complex64))
    first, second = (reconstruction.slices(one).axes[3].images[0].get_array() for one in (phased, turned))
    np.testing.assert_allclose(first.filled(0), second.filled(0), atol=1e-5)
    assert abs(first.mean()) < 0.2


def test_the_grey_around_a_phase_is_none_of_its_colours():
    look = style.LOOKS["phase"]
    colours, grey = style.colormap(look)(np.linspace(0, 1, 101))[:, :3], style.colormap(look).get_bad()[:3]
    assert np.linalg.norm(colours - grey, axis=1).min() > 0.15


def test_an_older_result_has_one_curve_and_no_legend(phased):
    ax = phasing.prtf(phased)
    assert ax.get_legend() is None
    assert len(phasing.starts(phased).axes) == 1


def test_the_planes_of_a_row_share_their_scale_and_the_phase_runs_over_one_turn(phased):
    images = [ax.images[0] for ax in reconstruction.slices(phased).axes if ax.images]
    assert len(images) == 6
    assert len({image.get_clim() for image in images[:3]}) == 1
    assert {image.get_clim() for image in images[3:]} == {(-np.pi, np.pi)}


def test_the_phase_outside_the_support_is_grey(phased):
    phase = [ax.images[0] for ax in reconstruction.slices(phased).axes if ax.images][3].get_array()
    assert phase.mask[0, 0]
    assert not phase.mask[phase.shape[0] // 2, phase.shape[1] // 2]


def test_a_plane_is_as_wide_as_its_voxels(phased):
    made = reconstruction.slices(phased)
    left, right, bottom, top = made.axes[0].images[0].get_extent()
    rows, columns = made.axes[0].images[0].get_array().shape
    lengths = np.linalg.norm(phased.voxel_basis, axis=0)
    np.testing.assert_allclose([(right - left) / columns, (top - bottom) / rows], [lengths[2], lengths[1]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_ramp_that_was_taken_off_moves_the_predicted_peak_back(axis, phased):
    """A ramp of two steps along an index puts the peak two pixels up that index."""
    moved = reconstruction.predicted(phased.assign_attrs(ramp=(2 * BASIS[:, axis]).tolist()))
    np.testing.assert_allclose(moved, np.roll(reconstruction.predicted(phased), 2, axis=axis), atol=1e-4 * moved.max())


def test_predicted_counts_have_the_energy_of_the_object(phased):
    assert reconstruction.predicted(phased).sum() == pytest.approx(float(np.prod(SHAPE) * (np.abs(phased.rho) ** 2).sum()), rel=1e-5)


def test_measured_and_predicted_share_one_scale_and_gaps_are_hatched(phased, peak):
    made = reconstruction.intensity(phased, peak)
    planes = [ax for ax in made.axes if ax.images]
    assert len(planes) == 6
    assert len({(ax.images[0].norm.vmin, ax.images[0].norm.vmax) for ax in planes}) == 1
    hatched = [bool([c for c in ax.collections if getattr(c, "hatches", None)]) for ax in planes]
    assert hatched == 2 * [True, True, False]  # the plane across x lies beside the gap
    measured, seen = (np.ma.getmaskarray(planes[k].images[0].get_array()) for k in (0, 3))
    assert measured.any()
    assert not seen.any()


def test_hatching_moves_no_axis(phased, peak):
    whole = peak.assign(valid=peak.valid | True)
    with_gap, without = (reconstruction.intensity(phased, p).axes[0].axis() for p in (peak, whole))
    assert with_gap == without


def test_around_an_error_there_is_grey_and_around_a_modulus_nothing(known):
    grey, black = (draw(known).axes[0].get_facecolor()[:3] for draw in (reconstruction.errors, reconstruction.slices))
    np.testing.assert_allclose(grey, float(style.GREY), atol=0.01)
    assert max(black) < 0.02


def test_the_phase_error_is_told_as_a_displacement(known):
    made = reconstruction.errors(known)
    assert "0.1 rad, 0.05 nm" in made.get_suptitle()
    assert len([ax for ax in made.axes if ax.images]) == 6
    assert len([ax for ax in reconstruction.errors(known.drop_vars("amplitude_error")).axes if ax.images]) == 3


def test_the_card_says_every_finding(peak):
    made = preflight.card(peak)
    assert "move the peak off the gap" in texts(made)
    assert "3.5 – %" in texts(made)
    shown = [text for ax in made.axes for text in ax.texts if text.get_text() == "warning"]
    assert shown[0].get_color() == preflight.COLOURS["warning"]


def test_an_older_peak_has_a_card_without_text(peak):
    bare = peak.drop_attrs()
    assert texts(preflight.card(bare)) == ""
    assert "preflight" not in report.figures({"peak": bare})


def test_a_result_gets_the_pictures_it_has_data_for(phased, known, peak):
    old, new = (report.figures({"object": o, "peak": peak}) for o in (phased, known))
    assert {"starts", "prtf", "slices", "fit", "preflight"} <= set(old)
    assert set(new) - set(old) == {"errors"}
    assert set(new) <= set(report.CAPTIONS)


def test_drawing_leaves_the_data_as_they_were(known, peak):
    before = known.copy(deep=True), peak.copy(deep=True)
    report.figures({"object": known, "peak": peak})
    xr.testing.assert_identical(known, before[0])
    xr.testing.assert_identical(peak, before[1])


def test_one_start_and_an_empty_support_can_be_drawn(known):
    phasing.starts(known.isel(start=[0], start2=[0]))
    reconstruction.slices(known.assign(support=known.support & False))
