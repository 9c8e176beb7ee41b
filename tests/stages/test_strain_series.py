"""Laws of a series of states: what was done to a crystal comes back, whatever phasing left open, and bad states say nothing."""

import numpy as np
import pytest
import xarray as xr
from particle_states import DIMS, FREE, SHAPE, VOXEL, G, again, bent_strain, inside, on_body, places, rho_of, state
from xcdi.pipelines import strain_series as pipeline

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches import boundaries
from xcdi.stages import strain, strain_series


@pytest.fixture(scope="module")
def one():
    """A series of two states: the second slipped, bent, strained as a whole, its boundary moved; and it is a moved twin."""
    return strain_series.series([state(), state(1, slip=0.9, bent=1.0, cut=24.0, free=FREE)])


def test_a_moved_twin_is_brought_to_the_hand_and_place_of_the_first(one):
    assert one.twin.values.tolist() == [False, True]
    np.testing.assert_allclose(one["shift"][1], VOXEL * np.array([0.48, -2.61, 1.37]) * -1, atol=3.0)  # a turned object moves the other way
    assert "warning" not in one.attrs


def test_a_known_change_of_strain_comes_back_map_and_mean_together(one):
    found, there = on_body(one, "strain_change")
    away = (found + float(one.strain_step[1]) - bent_strain())[there]
    assert bent_strain()[there].std() > 5e-4
    assert np.sqrt(np.mean(away**2)) < 1e-4
    assert abs(away.mean()) < 2e-5


def test_a_known_slip_comes_back_as_jump_and_displacement(one):
    assert float(one.jump_change[1, 0]) == pytest.approx(-0.9, abs=0.05)  # grain 2 lost 0.9 rad against grain 1
    assert float(one.slip[1, 0]) == pytest.approx(0.9 / G[0], abs=0.04)
    assert 0 < float(one.slip_error[1, 0]) < 0.1


def test_a_boundary_moved_by_a_voxel_and_a_fifth_comes_back(one):
    assert float(one.boundary_shift[1, 0]) == pytest.approx(24.0, abs=2 * float(one.boundary_shift_error[1, 0]))
    assert 0 < float(one.boundary_shift_error[1, 0]) < 6
    assert float(one.swept_volume[1, 0]) == pytest.approx(float(one.boundary_shift[1, 0] * one.area[0]), rel=1e-6)
    np.testing.assert_allclose(one["normal"][0], np.array([1, 0.5, 0.3]) / np.sqrt(1.34), atol=0.05)


def test_the_first_state_has_not_changed_at_all(one):
    for name in ("strain_step", "strain_step_error", "boundary_shift", "boundary_shift_error", "jump_change", "slip"):
        np.testing.assert_array_equal(one[name][0], 0)
    assert not one.displaced[0].any()
    assert not one.strained[0].any()


@pytest.mark.parametrize("slip", [0.7, -2.2])
def test_a_slip_alone_displaces_one_grain_and_strains_nothing(slip):
    ds = strain_series.series([state(), state(1, slip=slip, free=FREE)])
    grain, displaced = ds.grain[1].to_numpy(), ds.displaced[1].to_numpy()
    assert displaced[inside(ds) & (grain == 2)].mean() > 0.99
    assert displaced[inside(ds) & (grain == 1)].mean() < 0.01
    assert float(ds.strained[1].sum() / ds.support[1].sum()) < 0.01
    assert abs(float(ds.strain_step[1])) < 2e-5
    assert abs(float(ds.boundary_shift[1, 0])) < 3 * float(ds.boundary_shift_error[1, 0])


def test_a_mean_strain_is_told_wherever_it_was_put():
    """Phasing may leave it in the object, or it was taken off as a ramp, or the detector had been moved after it."""
    much = 4e-4
    ramp = state(1).assign_attrs(ramp=[-much * G[0], 0.0, 0.0])
    for second in (state(1, strained=much), state(1, q=G * (1 - much)), ramp):
        ds = strain_series.series([state(), second])
        assert float(ds.strain_step[1]) == pytest.approx(much, abs=5e-6)
        assert float(np.nanmax(abs(ds.strain_change[1]))) < 5e-5
        if second is not ramp:  # whose q_mean is older
            spacing = ds.mean_d_spacing.to_numpy()
            assert spacing[1] / spacing[0] - 1 == pytest.approx(much, abs=5e-6)


def test_the_errors_of_the_states_are_carried_into_the_changes():
    small, large = (strain_series.series([state(error=e), state(1, error=e)]) for e in (0.01, 0.03))
    for name in ("strain_change_error", "displacement_change_error"):
        np.testing.assert_allclose((large[name][1] / small[name][1]).to_numpy()[inside(small)], 3.0, rtol=1e-4)


def test_noise_of_the_states_is_what_their_errors_say():
    rng, pulls = np.random.default_rng(2), []
    noisy = [state(k, error=0.03) for k in range(2)]
    for k, one in enumerate(noisy):
        values = one.rho.to_numpy() + 0.03 / 2**0.5 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
        noisy[k] = one.assign(rho=(DIMS, np.where(one.support, values, 0), {"units": "1"}))
    ds = strain_series.series(noisy)
    for name in ("displacement_change", "strain_change"):
        pulls.append((ds[name][1] / ds[f"{name}_error"][1]).to_numpy()[inside(ds)].std())
    assert min(pulls) > 0.8
    assert max(pulls) < 1.3
    assert float(ds.displaced[1].sum() / ds.support[1].sum()) < 0.02


def test_disorder_lowers_the_order_and_healing_brings_it_back():
    ds = strain_series.series([state(), state(1, rough=1.0), state(2)])
    assert float(ds.order[1]) < 0.7 * float(ds.order[0])
    assert float(ds.order[2]) == pytest.approx(float(ds.order[0]))
    assert float(ds.perfect[1]) < float(ds.perfect[0])


def test_brightness_does_not_matter():
    plain, bright = (strain_series.series([state(), state(1, slip=0.9, free=FREE, bright=b)]) for b in (1.0, 7.0))
    for name in ("shift", "strain_step", "jump_change", "boundary_shift", "overlap", "order"):
        np.testing.assert_allclose(bright[name], plain[name], rtol=1e-3, atol=2e-3)


def test_one_state_says_nothing_about_another():
    """Each is laid upon the first alone; no state in between has a part in it."""
    first, odd, last = state(), state(1, slip=2.5, rough=0.3), state(2, slip=0.9, free=FREE)
    three, two = strain_series.series([first, odd, last]), strain_series.series([first, last])
    for name in ("strain_change", "displacement_change", "strain_step", "slip", "order", "boundary_shift"):
        np.testing.assert_array_equal(three[name][2], two[name][1])


def test_changes_against_the_previous_state_add_up():
    states = [state(), state(1, slip=0.6, free=FREE), state(2, slip=1.5)]
    ds = strain_series.series(states, against="previous")
    np.testing.assert_allclose(ds.jump_change[:, 0], [0, -0.6, -0.9], atol=0.06)


def test_unreliable_states_give_no_numbers():
    ds = strain_series.series([state(), state(1, slip=0.6, grade="unreliable"), state(2, slip=0.9)])
    for name in ("order", "overlap", "strain_step", "strain_step_error", "mean_d_spacing", "twin_margin", "boundary_area", "grains"):
        assert np.isnan(ds[name][1]), name
    for name in ("shift", "boundary_shift", "jump_change", "slip", "area_change"):
        assert np.isnan(ds[name][1]).all(), name
    assert np.isnan(ds.strain_change[1]).all()
    assert not ds.displaced[1].any()
    assert float(ds.amplitude[1].max()) > 0  # to be looked at
    others = strain_series.series([state(), state(2, slip=0.9)])
    np.testing.assert_array_equal(ds.slip[2], others.slip[1])


def turned_by(degrees):
    """G as a scan of another reflection has it."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0]) * G[0]


def another(k):
    """A particle of the same size and grains, with a shape and strain of its own."""
    z, y, x = places()
    phase = 0.012 * np.abs(y + 0.5 * x) + 0.9 * np.cos(x / 40 - z / 50)
    body = 1 / (1 + np.exp((np.maximum(np.abs(z + 0.6 * y), np.maximum(np.abs(y), np.abs(x))) - 150) / 14))
    rho = body * np.exp(1j * phase)
    label = np.where(body > 0.4, np.where(x > 40, 2, 1), 0).astype(np.int16)
    like = state(k)
    maps = {"rho": (DIMS, rho, {"units": "1"}), "support": (DIMS, label > 0, {"units": ""}), "grain": (DIMS, label, {"units": ""})}
    return like.assign(maps)


@pytest.mark.parametrize("what", [{"slip": 2.2}, {"cut": 40.0}, {"bent": 3.0}, {"strained": 2e-3}, {"rough": 0.6}])
def test_a_state_looks_like_itself_whatever_happened_inside(what):
    ds = strain_series.series([state(), state(1, free=FREE, **what)])
    assert float(max(ds.amplitude_overlap[1] - 0.96, ds.local_overlap[1] - 0.7)) > 0.02
    assert "does not look" not in ds.attrs.get("warning", "")
    assert np.isfinite(ds.slip[1]).all()


def test_another_particle_among_the_states_has_no_numbers_and_is_warned_of():
    ds = strain_series.series([state(), another(1), state(2, slip=0.9)], against="previous")
    assert "state 1 does not look like the particle of state 0" in ds.attrs["warning"]
    assert float(ds.amplitude_overlap[1]) < 0.96
    assert np.isnan(ds.slip[1]).all()
    assert np.isnan(ds.order[1])
    assert float(ds.slip[2, 0]) == pytest.approx(0.9 / G[0], abs=0.04)


def test_the_reference_is_the_first_state_that_can_be_relied_on():
    ds = strain_series.series([state(grade="unreliable"), state(1), state(2, slip=0.9)], against="previous")
    assert ds.attrs["reference"] == 1
    assert float(ds.jump_change[2, 0]) == pytest.approx(-0.9, abs=0.05)
    assert np.isnan(ds.order[0])


def test_crystals_on_boxes_of_other_sizes_and_places_are_compared():
    whole = state(1, slip=0.9)
    cut, far = whole.isel(z=slice(1, None), y=slice(0, -2), x=slice(2, -1)), whole.assign_coords(x=whole.x + 300.0)
    for other in (cut, far):
        ds = strain_series.series([state(), other])
        assert float(ds.slip[1, 0]) == pytest.approx(0.9 / G[0], abs=0.01)
        assert float(ds.boundary_shift[1, 0]) == pytest.approx(0, abs=1.0)


def test_one_grain_has_no_boundaries():
    single = [state(k).assign(grain=state(k).support.astype(np.int16)) for k in range(2)]
    ds = strain_series.series(single)
    assert ds.sizes["boundary"] == 0
    assert pipeline.summary({"series": ds}).endswith("0 boundaries  no slip beyond 3 errors")


def test_a_crystal_that_fits_either_way_is_warned_of():
    z, y, x = places()
    even = np.exp(-(((z / 150) ** 2 + (y / 150) ** 2 + (x / 150) ** 2) ** 2))
    round_ = state().assign(rho=(DIMS, even.astype(complex), {"units": "1"}), support=(DIMS, even > 0.3, {"units": ""}))
    ds = strain_series.series([round_, again(round_)])
    assert "the hand of state 1 is a guess" in ds.attrs["warning"]
    assert pipeline.table({"series": ds}).startswith("the hand of state 1 is a guess")


def test_times_come_from_the_scans_or_from_the_user():
    states = [state(), state(1)]
    assert strain_series.started(states[1]) - strain_series.started(states[0]) == 600
    assert strain_series.series(states, times=[5.0, 8.0]).time.values.tolist() == [0, 3]
    lost = strain_series.series([states[0], states[1].assign_attrs(start_time="?")])
    assert "1 states have no known time" in lost.attrs["time_from"]


def test_times_say_what_they_are():
    states = [state(), state(1)]
    assert strain_series.series(states).attrs["time_from"] == "start of each scan"
    assert strain_series.series(states, times=[5.0, 8.0]).attrs["time_from"] == "as given"
    peaks = [xr.Dataset(coords={"time": ("frame", np.arange(n) + 0.5)}) for n in (4, 10)]
    results = [{"crystal": one, "grains": xr.Dataset(), "peak": peak} for one, peak in zip(states, peaks, strict=True)]
    ds = pipeline.run(results)["series"]
    assert ds.attrs["time_from"] == "middle of each scan"
    assert ds.time.values.tolist() == [0, 603]
    results[1].pop("peak")
    assert pipeline.run(results)["series"].attrs["time_from"] == "middle of each scan; start of state 1, whose frames have no times"


def test_times_with_and_without_a_zone_are_not_compared():
    states = [state(), state(1).assign_attrs(start_time="2024-01-01T00:10:00+02:00")]
    for ds in (strain_series.series(states), pipeline.run([{"crystal": one, "grains": xr.Dataset()} for one in states])["series"]):
        assert np.isnan(ds.time).all()
        assert "some start times have a time zone and others have none" in ds.attrs["time_from"]
    zoned = [state(k).assign_attrs(start_time=f"2024-01-01T0{k}:00:00+0{k}:00") for k in range(2)]
    assert strain_series.series(zoned).time.values.tolist() == [0, 0]


def test_a_crystal_without_errors_says_nothing_of_what_is_displaced():
    ds = strain_series.series([state(error=0.0), state(1, error=0.0, slip=0.9)])
    for name in ("displaced", "strained", "displacement_change_error", "strain_change_error"):
        assert name not in ds
    assert float(ds.jump_change[1, 0]) == pytest.approx(-0.9, abs=0.05)


def test_the_error_of_the_phase_is_that_of_the_ensemble_where_it_is_known():
    crystal, rng = state(), np.random.default_rng(6)
    noise = np.exp(1j * 0.05 * rng.normal(size=(3, *SHAPE)))
    told = {
        "solutions": (("solution", *DIMS), crystal.rho.to_numpy() * noise),
        "phase_error": (DIMS, np.full(SHAPE, 0.2), {"units": "rad"}),
    }
    made = strain.field(crystal.assign(told)).drop_vars("solutions")
    ds = strain_series.series([made, again(made)])
    error = ds.displacement_change_error[1].to_numpy()[inside(ds)]
    np.testing.assert_allclose(error, 0.2 * 2**0.5 / np.linalg.norm(ds.attrs["q_mean"]), rtol=1e-5)


def test_the_error_of_a_step_is_not_known_without_those_of_the_wave_vectors():
    known = state().assign_attrs(q_mean_error=[1e-4, 0, 0])
    for states in ([state(), state(1)], [known, state(1)], [state(), again(known)]):
        ds = strain_series.series(states)
        for name in ("strain_step_error", "tilt_1_step_error", "tilt_2_step_error"):
            assert np.isnan(ds[name][1]), name
    ds = strain_series.series([known, again(known)])
    assert float(ds.strain_step_error[1]) == pytest.approx(2**0.5 * 1e-4 / G[0], rel=0.01)


def test_a_grain_within_another_has_a_boundary():
    """And its area is that of the table of boundaries."""
    z, y, x = places()
    rho, label = rho_of()
    label = np.where((label > 0) & (z**2 + y**2 + (x + 50) ** 2 < 70**2), 2, label > 0).astype(np.int16)
    states = [state(k).assign(grain=(DIMS, label, {"units": ""})) for k in range(2)]
    ds = strain_series.series(states)
    (found,) = boundaries.boundaries(label, rho, strain.basis_of(states[0]))
    assert ds.area.values == pytest.approx([found.area])
    assert float(ds.boundary_area[0]) == pytest.approx(found.area)
    assert found.area == pytest.approx(4 * np.pi * 70**2, rel=0.1)
    assert np.isnan(ds["normal"][0]).all()
    assert float(ds.boundary_shift[1, 0]) == 0
    assert np.isfinite(ds.boundary_shift_error[1, 0])


@pytest.mark.parametrize(
    ("states", "options", "told"),
    [
        ([state()], {}, "1 state of a particle; a series needs two or more"),
        ([state(1), state()], {}, "state 1 of the series began before state 0"),
        ([state(), state(1)], {"times": [0.0]}, "1 times of 2 states"),
        ([state(grade="unreliable"), state(1, grade="unreliable")], {}, "all 2 states are unreliable"),
        ([state(grade="unreliable"), state(1)], {}, "state 1 alone of 2 is reliable, and nothing can be compared with it"),
        ([state(), state(1), state(1, grade="unreliable")], {}, "states 1 and 2 are one result, identical to the last bit"),
        ([state(), state(1, q=turned_by(20.0))], {}, "G of state 1 points 20 degrees away from that of state 0, 5 at most"),
        ([state(), another(1)], {}, "state 1 does not look like the particle of state 0 .amplitude overlap 0.8"),
        ([state(), state(1, q=1.3 * G)], {}, "these are different reflections"),
    ],
)
def test_what_cannot_be_a_series_is_refused(states, options, told):
    with pytest.raises(XcdiError, match=told):
        strain_series.series(states, **options)


def test_crystals_that_lack_something_are_refused_by_its_name():
    with pytest.raises(SchemaError, match="grain"):
        strain_series.series([state(), state(1).drop_vars("grain")])
    with pytest.raises(XcdiError, match="empty"):
        strain_series.series([state(), state(1).assign(rho=state().rho * 0)])


def test_solutions_tell_how_sure_order_and_wave_vector_are():
    crystal, rng = state(), np.random.default_rng(4)
    turns = [np.exp(1j * (a * places()[2] + 0.02 * rng.normal(size=SHAPE))) for a in (-1e-4, 0, 1e-4)]
    basis = (("axis", "index"), VOXEL * np.eye(3)[:, ::-1])
    solutions = (("solution", "i", "j", "k"), np.stack([crystal.rho.to_numpy() * turn for turn in turns]))
    phased = xr.Dataset({"solutions": solutions, "support": (("i", "j", "k"), crystal.support.to_numpy()), "voxel_basis": basis})
    made = strain_series.with_ensemble(crystal, phased)
    assert made.attrs["q_mean_error"][0] == pytest.approx(1e-4, rel=0.2)
    assert 0 < made.attrs["order_error"] < 0.02
    assert "order_error" not in strain_series.with_ensemble(crystal, phased.isel(solution=[0])).attrs
    ds = strain_series.series([made, again(made)])
    assert float(ds.order_error[1]) == pytest.approx(made.attrs["order_error"])


def test_the_pipeline_tells_what_it_found():
    states = [state(), state(1, slip=0.9, free=FREE), state(2, grade="unreliable")]
    results = [{"crystal": one, "grains": xr.Dataset()} for one in states]
    made = pipeline.run(results)
    assert pipeline.summary(made).startswith("3 states  2 reliable  1 boundaries  largest slip +0.")
    assert float(made["series"].slip[1, 0]) > 0
    assert " nm along G at boundary 1-2 in state 1" in pipeline.summary(made)
    lines = pipeline.table(made).splitlines()
    assert [line.split()[0] for line in lines] == ["state", "0", "1", "2"]
    assert lines[3].split()[3:6] == ["-", "-", "±"]
    with pytest.raises(XcdiError, match="result 2 of 2 holds no crystal with grains"):
        pipeline.run([results[0], {"crystal": states[1]}])
