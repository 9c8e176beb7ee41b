"""Pictures of a crystal: profiles, histograms and hatching say what the maps say."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.plot import strain, style

LAB = ("z", "y", "x")


def labelled(dims, values, units="1"):
    return dims, np.asarray(values), {"units": units}


@pytest.fixture
def crystal():
    """Two grains in a box, strained +1e-3 and -1e-3, in a grid of unequal sides."""
    shape, step = (7, 11, 13), 20.0
    axes = {d: (np.arange(n) - n // 2) * step for d, n in zip(LAB, shape, strict=True)}
    support = np.zeros(shape, bool)
    support[1:-1, 2:-2, 2:-2] = True
    grain = np.where(support, np.where(np.arange(13) < 6, 1, 2), 0).astype("int16")
    known = np.where(support, np.where(grain == 1, 1e-3, -1e-3), np.nan)
    return xr.Dataset(
        {
            "amplitude": labelled(LAB, support * 1.0),
            "phase": labelled(LAB, known * 1e3, "rad"),
            "strain": labelled(LAB, known),
            "support": labelled(LAB, support, ""),
            "grain": labelled(LAB, grain, ""),
        },
        axes,
        attrs={"noise_floor": 2e-4, "grade": "good", "q_peak": [1.37, 0.0, 0.1]},
    )


@pytest.mark.parametrize("draw", [strain.plane, strain.isosurface, strain.histogram, strain.profile, strain.slices])
def test_every_picture_of_an_unreliable_crystal_is_hatched_and_that_of_a_good_one_is_not(crystal, draw):
    def hatches(made):
        made = getattr(made, "figure", made)
        patches = [*made.patches, *(patch for ax in made.axes for patch in ax.patches), *made.artists]
        return [patch for patch in patches if patch.get_hatch()]

    assert hatches(draw(crystal.assign_attrs(grade="unreliable")))
    assert not hatches(draw(crystal))


def test_an_unreliable_crystal_has_no_bars_in_its_histogram_and_says_why(crystal):
    ax = strain.histogram(crystal.assign_attrs(grade="unreliable"))
    assert [patch for patch in ax.patches if not patch.get_hatch()] == []
    assert "no distribution" in ax.texts[0].get_text()
    assert "UNRELIABLE" in ax.get_title()


def test_the_surface_has_the_colours_of_the_slices(crystal):
    noisy = crystal.assign(strain=crystal.strain * xr.DataArray(np.linspace(0.1, 1, 13), {"x": crystal.x}, ("x",)))
    flat = strain.slices(noisy, names=("strain",))
    image = flat.axes[0].images[0]
    bar = strain.isosurface(noisy).figure.axes[-1]
    assert bar.get_ylim() == pytest.approx(image.get_clim())


def test_the_largest_strain_that_can_be_told_is_marked_where_it_is_in_sight(crystal):
    near, far = (crystal.assign_attrs(max_reportable=[limit, 1.0, 1.0]) for limit in (1.2e-3, 0.9))
    places = [sorted(line.get_xdata()[0] for line in strain.histogram(one).lines if len(line.get_xdata())) for one in (near, far)]
    assert places == [[pytest.approx(-1.2), pytest.approx(1.2)], []]
    told = [" ".join(text.get_text() for text in strain.histogram(one).get_legend().get_texts()) for one in (near, far)]
    assert ["reportable" in words for words in told] == [True, False]


@pytest.fixture
def sloped(crystal):
    """Strain that is 1e-5 per nm along x and has an error that grows along y; amplitude as it was."""
    x, y = crystal.x, crystal.y
    slope = (1e-5 * x).broadcast_like(crystal.amplitude).where(crystal.support)
    return crystal.assign(strain=slope, strain_error=(1e-6 * (200 + y)).broadcast_like(crystal.amplitude).where(crystal.support))


def test_a_profile_along_g_is_the_strain_over_the_distance_in_nm(sloped):
    along_x = sloped.drop_vars("grain").assign_attrs(q_peak=[1.37, 0.0, 0.0])
    distance, value = strain.profile(along_x, names=("strain",)).axes[0].lines[0].get_data()
    known = np.isfinite(value)
    assert known.sum() > 10
    np.testing.assert_allclose(value[known], 1e3 * 1e-5 * distance[known], atol=1e-6)


def test_a_profile_against_g_is_turned_round(sloped):
    one = sloped.drop_vars("grain").assign_attrs(q_peak=[-1.37, 0.0, 0.0])
    distance, value = strain.profile(one, names=("strain",)).axes[0].lines[0].get_data()
    known = np.isfinite(value)
    np.testing.assert_allclose(value[known], -1e3 * 1e-5 * distance[known], atol=1e-6)


def test_a_profile_goes_from_start_to_end_and_not_along_another_axis(sloped):
    start, end = (-60.0, -40.0, 20.0), (60.0, 40.0, -20.0)
    distance, value = strain.profile(sloped, start, end, names=("strain",)).axes[0].lines[0].get_data()
    assert distance[-1] - distance[0] == pytest.approx(np.linalg.norm(np.subtract(end, start)))
    np.testing.assert_allclose(value, np.linspace(-0.6, 0.6, len(value)), atol=1e-6)


def test_the_band_of_a_profile_is_one_standard_error(sloped):
    band = strain.profile(sloped, (0.0, -60.0, 0.0), (0.0, 60.0, 0.0), names=("strain",)).axes[0].collections[0]
    edge = band.get_paths()[0].vertices
    ends = [np.abs(edge[np.isclose(edge[:, 0], place), 1]).max() for place in (-60.0, 60.0)]
    assert ends == pytest.approx([0.14, 0.26])


def test_a_profile_marks_the_boundary_where_the_grain_changes(crystal):
    made = strain.profile(crystal, (-80.0, 0.0, 0.0), (80.0, 0.0, 0.0), names=("amplitude", "strain"))
    for ax in made.axes:
        dashed = [float(line.get_xdata()[0]) for line in ax.lines if line.get_linestyle() == "--"]
        assert dashed == [pytest.approx(-10.0, abs=5.0)]
    assert [text.get_text() for text in made.axes[0].texts if text.get_text().startswith("grain")] == ["grain 1", "grain 2"]


def test_a_profile_runs_through_the_middle_of_the_largest_grain_and_says_so(crystal):
    along_y = crystal.assign_attrs(q_peak=[0.0, 1.37, 0.0])
    made = strain.profile(along_y, names=("amplitude", "strain"))
    value = made.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(value[np.isfinite(value)], -1.0)  # grain 2, and not the boundary in the middle
    assert "grain 2 at (x, y, z) = (40, 0, 0) nm" in made.axes[1].get_xlabel()


def test_a_grain_that_is_crossed_twice_is_named_once(crystal):
    twice = crystal.assign(grain=crystal.grain.where(crystal.grain != 2, xr.where(crystal.x > 60, 1, 2)))
    made = strain.profile(twice, (-80.0, 0.0, 0.0), (80.0, 0.0, 0.0), names=("strain",))
    assert sorted(text.get_text() for text in made.axes[0].texts) == ["grain 1", "grain 2"]


def test_a_profile_of_what_is_not_known_has_no_ticks_and_says_so(crystal):
    blank = crystal.assign(strain=crystal.strain * np.nan)
    ax = strain.profile(blank, names=("amplitude", "strain")).axes[1]
    assert len(ax.get_yticks()) == 0
    assert "not known on this line" in [text.get_text() for text in ax.texts]


def test_a_profile_of_an_unreliable_crystal_is_its_amplitude(crystal):
    made = strain.profile(crystal.assign_attrs(grade="unreliable"))
    assert [ax.get_ylabel().split("\n")[0] for ax in made.axes] == ["amplitude"]
    assert not made.axes[0].texts


def test_the_frames_of_a_row_have_one_height_and_one_scale(crystal):
    made = strain.slices(crystal, names=("amplitude", "strain"))
    made.draw_without_rendering()
    for row in (made.axes[:3], made.axes[3:6]):
        boxes = [ax.get_position() for ax in row]
        np.testing.assert_allclose([[box.y0, box.y1] for box in boxes], [[boxes[0].y0, boxes[0].y1]] * 3, atol=2e-3)
        scales = [ax.bbox.width / np.ptp(ax.get_xlim()) for ax in row]
        np.testing.assert_allclose(scales, scales[0], rtol=0.02)


def test_marks_on_black_are_white_and_on_grey_black(crystal):
    made = strain.slices(crystal, names=("amplitude", "strain"))
    assert made.axes[0].texts[0].get_color() == "white"
    assert strain.plane(crystal, name="strain").texts[0].get_color() == "black"


def test_a_phase_is_drawn_from_its_mean(crystal):
    turned = crystal.assign(phase=crystal.phase * 0.3 + 3.0)
    shown = strain.plane(turned, name="phase").images[0].get_array()
    assert np.ptp(shown.compressed()) == pytest.approx(0.6)
    assert abs(shown.mean()) < 0.1


def test_a_profile_needs_a_line(crystal):
    with pytest.raises(SchemaError, match="q_peak"):
        strain.profile(crystal.drop_attrs(deep=False))
    with pytest.raises(SchemaError, match="no length"):
        strain.profile(crystal, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    with pytest.raises(SchemaError, match="a profile needs one of"):
        strain.profile(crystal[["grain", "support"]], names=("strain",))


def test_one_wild_error_does_not_hide_the_others():
    errors = np.append(np.full(99, 1e-4), 1.0)
    assert style.limits(errors, "error") == (0.0, pytest.approx(1e-4))
