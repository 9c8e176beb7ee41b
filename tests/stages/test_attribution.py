"""Laws of attribution with labels: a small particle of two grains and a third, one slip, and what is refused."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels.avalanches import attribution, views
from xcdi.kernels.avalanches.regions import Region
from xcdi.kernels.avalanches.views import View
from xcdi.stages.attribution import attribute, grains_in_data_frame, series_offset
from xcdi.stages.imaged_particle import on_box, same_experiment
from xcdi.stages.patterson import difference_patterson
from xcdi.stages.series import movie

SHAPE = (15, 29, 31)
STEPS = (20.0, 10.0, 11.0)  # nm, of angle (z), row (y) and column (x)
BASIS = np.array([[0.0, 0.0, STEPS[2]], [0.0, STEPS[1], 0.0], [STEPS[0], 0.0, 0.0]])
PAIRS = [(1, 2), (1, 3), (2, 3)]
CORNER = (100, 200)
SLIP, FRAMES = 20, 40


def particle(seed=0):
    label = np.zeros(SHAPE, int)
    label[4:11, 8:21, 9:22] = 1
    label[4:11, 8:14, 16:22] = 2
    label[4:11, 14:21, 16:22] = 3
    z, y, x = np.indices(SHAPE)
    slopes = np.random.default_rng(seed).uniform(-0.25, 0.25, (4, 3))
    phase = np.einsum("zyxi,zyxi->zyx", slopes[label], np.stack([z, y, x], axis=-1))
    return label, np.where(label > 0, np.exp(1j * (phase + label)), 0)


def phased(rho, **attrs):
    box = json.dumps({"frame": [0, SHAPE[0]], "y": [CORNER[0], CORNER[0] + SHAPE[1]], "x": [CORNER[1], CORNER[1] + SHAPE[2]]})
    return xr.Dataset(
        {
            "rho": (("z", "y", "x"), rho, {"units": "1"}),
            "voxel_basis": (("axis", "index"), BASIS, {"units": "nm"}),
            "q_peak": ("axis", [1.4, 0.0, 0.0], {"units": "1/nm"}),
            "q_basis": (("axis", "index"), np.diag([1e-3, 1e-3, 1e-3]), {"units": "1/nm"}),
        },
        attrs={"box": box, "energy_kev": 9.65, **attrs},
    )


def crystal(label):
    axes = {dim: (dim, (np.arange(n) - n // 2) * step) for dim, n, step in zip("zyx", SHAPE, STEPS, strict=True)}
    return xr.Dataset({"grain": (("z", "y", "x"), label)}, coords=axes)


def boundaries():
    i, j = np.array(PAIRS).T
    return xr.Dataset({"i": ("boundary", i), "j": ("boundary", j), "area_nm2": ("boundary", [1.0, 1.0, 1.0])})


def series(rho, after, later=None, **attrs):
    one = View(0.3, (0.0, 0.0), 1.0, 1.0)
    pair = [np.abs(views.wave(field, view)) ** 2 for field, view in ((rho, one), (after, later or one))]
    mean = np.stack([pair[0]] * SLIP + [pair[1]] * (FRAMES - SLIP)) * 3 / pair[0].mean()
    counts = np.random.default_rng(5).poisson(mean).reshape(FRAMES, -1)
    y, x = np.indices(SHAPE[1:]).reshape(2, -1)
    seen = x != 29
    return xr.Dataset(
        {
            "counts": (("time", "pixel"), counts[:, seen].astype(np.uint16)),
            "pixel_y": ("pixel", y[seen] + CORNER[0]),
            "pixel_x": ("pixel", x[seen] + CORNER[1]),
        },
        coords={"time": ("time", np.arange(FRAMES) * 0.5, {"units": "s"})},
        attrs={"q_peak": [1.4, 0.0, 0.0], "dq": [2 * np.pi / (SHAPE[1] * 10), 2 * np.pi / (SHAPE[2] * 11)], "energy_kev": 9.65, **attrs},
    )


def events(flags=("",)):
    n = len(flags)
    return xr.Dataset(
        {
            "time": ("event", np.full(n, SLIP / 2.0), {"units": "s"}),
            "frame": ("event", np.full(n, SLIP), {"units": "1"}),
            "drop": ("event", np.full(n, 0.1), {"units": "1"}),
            "flags": ("event", np.array(flags, dtype="U32")),
        }
    )


TRUE = Region(1, 3, (7, 17, 18), 35.0)


@pytest.fixture(scope="module")
def slipped():
    label, rho = particle()
    return label, rho, attribution.slip(rho, label, TRUE, BASIS, 2.0, PAIRS)


@pytest.fixture(scope="module")
def told(slipped):
    label, rho, after = slipped
    return attribute(events(), series(rho, after), phased(rho), crystal(label), boundaries(), offset=0.3)


def test_the_event_is_on_its_boundary_with_units(told):
    assert int(told.boundary[0]) == TRUE.boundary
    assert (int(told.boundary_i[0]), int(told.boundary_j[0]), int(told.grain[0])) == (1, 3, 3)
    assert int(told.ranked[0, 0]) == int(told.boundary[0])
    assert np.all(np.diff(told.ranked_probability[0]) <= 0)
    units = {name: told[name].attrs["units"] for name in ("phase_jump", "region_volume", "region_centre", "region_radius")}
    assert units == {"phase_jump": "rad", "region_volume": "nm3", "region_centre": "nm", "region_radius": "nm"}
    assert told.view_likeness > 0.95


def test_the_centre_of_the_region_is_in_the_laboratory(told):
    true = BASIS @ (np.array(TRUE.centre) - np.array(SHAPE) // 2)
    assert np.linalg.norm(told.region_centre[0].values - true) < 60
    assert told.region_centre.dims == ("event", "axis")


def test_the_angle_of_the_series_is_refined(slipped):
    label, rho, after = slipped
    found = attribute(events(), series(rho, after), phased(rho), crystal(label), boundaries(), offset=0.1)
    assert found.attrs["view_offset"] == pytest.approx(0.3, abs=0.1)


def test_slow_relaxation_before_an_event_is_followed(slipped):
    """Phases over the projection grow to 3 rad before the slip; the frames just before it, alone, would not find them."""
    label, rho, _ = slipped
    _, y, x = np.indices(SHAPE)
    slow = 3.0 * np.sin((y - 8) / 3.0) * np.cos((x - 9) / 4.0)
    slip, one = 80, View(0.3, (0.0, 0.0), 1.0, 1.0)
    aged = [rho * np.exp(1j * slow * min(k / slip, 1.0)) for k in range(slip + 1)]
    after = attribution.slip(aged[-1], label, TRUE, BASIS, 2.0, PAIRS)
    mean = np.stack([np.abs(views.wave(field, one)) ** 2 for field in [*aged[:slip], *[after] * 20]])
    counts = np.random.default_rng(5).poisson(mean * 3 / mean[0].mean()).reshape(len(mean), -1)
    seen = np.indices(SHAPE[1:])[1].ravel() != 29
    scan = series(rho, rho).drop_dims("time").assign(counts=(("time", "pixel"), counts[:, seen].astype(np.uint16)))
    scan = scan.assign_coords(time=("time", np.arange(len(mean)) * 0.5, {"units": "s"}))
    found = attribute(events().assign(frame=("event", [slip], {"units": "1"})), scan, phased(rho), crystal(label), boundaries(), offset=0.3)
    assert (int(found.boundary[0]), int(found.grain[0])) == (TRUE.boundary, TRUE.grain)


def test_a_ramp_that_was_taken_off_the_object_is_put_back(slipped, told):
    """The object as stored lacks a ramp of a pixel and a half along the columns."""
    label, rho, after = slipped
    x = np.arange(SHAPE[2]) - SHAPE[2] // 2
    flat = phased(rho * np.exp(-2j * np.pi * 1.5 * x / SHAPE[2]), ramp=[1.5 * 2 * np.pi / (SHAPE[2] * STEPS[2]), 0.0, 0.0])
    again = attribute(events(), series(rho, after), flat, crystal(label), boundaries(), offset=0.3)
    xr.testing.assert_allclose(again[["boundary", "grain", "phase_jump"]], told[["boundary", "grain", "phase_jump"]])


def test_without_boundaries_nothing_is_ascribed(slipped):
    label, rho, after = slipped
    alone = attribute(events(), series(rho, after), phased(rho), crystal(label), boundaries().isel(boundary=[]), offset=0.3)
    assert alone.boundary.values.tolist() == [-1]
    assert np.isnan(alone.probability.values).all()
    assert "no boundary" in str(alone.attribution_note[0].item())


def test_grains_come_back_from_a_finer_laboratory_grid(slipped):
    label, rho, _ = slipped
    fine = crystal(label).interp(x=np.arange(-165, 166, 7.0), y=np.arange(-140, 141, 7.0), z=np.arange(-140, 141, 7.0), method="nearest")
    fine["grain"] = fine.grain.fillna(0).astype(np.int16)
    assert np.mean(grains_in_data_frame(fine, phased(rho))[label > 0] == label[label > 0]) > 0.95


@pytest.mark.parametrize(("flag", "word"), [("rigid", "rigid"), ("artefact, short window", "artefact")])
def test_what_is_no_avalanche_carries_no_boundary_and_says_why(slipped, flag, word):
    label, rho, after = slipped
    found = attribute(events((flag,)), series(rho, after), phased(rho), crystal(label), boundaries(), offset=0.3)
    assert int(found.boundary[0]) == -1
    assert word in str(found.attribution_note[0].item())


@pytest.mark.parametrize("later", [View(0.3, (0.0, 0.6), 1.0, 1.0), View(0.5, (0.0, 0.0), 1.0, 1.0)], ids=["shift", "tilt"])
def test_rigid_motion_that_nobody_flagged_is_no_slip(slipped, later):
    label, rho, _ = slipped
    found = attribute(events(), series(rho, rho, later), phased(rho), crystal(label), boundaries(), offset=0.3)
    assert int(found.boundary[0]) == -1
    assert str(found.attribution_note[0].item())


def test_a_crystal_of_another_particle_is_refused(slipped):
    label, rho, after = slipped
    with pytest.raises(XcdiError, match=r"like the first .* expected 0.9"):
        attribute(events(), series(rho, after), phased(particle(seed=3)[1]), crystal(label), boundaries(), offset=0.3)


@pytest.mark.parametrize(
    ("attrs", "words"), [({"energy_kev": 8.0}, "energy_kev of the series is 8"), ({"q_peak": [0.0, 1.4, 0.0]}, "one reflection")]
)
def test_a_crystal_of_another_set_up_is_refused(slipped, attrs, words):
    _, rho, after = slipped
    with pytest.raises(XcdiError, match=words):
        same_experiment(series(rho, after, **attrs), phased(rho))


def test_a_series_of_other_pixels_is_refused(slipped):
    _, rho, after = slipped
    data = series(rho, after)
    with pytest.raises(XcdiError, match="0% of the pixels"):
        on_box(movie(data.assign(pixel_x=data.pixel_x + 500)), phased(rho))


def test_an_object_of_unknown_pixels_is_refused(slipped):
    _, rho, after = slipped
    plain = phased(rho)
    del plain.attrs["box"]
    with pytest.raises(SchemaError, match="'box'"):
        on_box(movie(series(rho, after)), plain)


def test_without_the_rocking_motor_the_angle_is_unknown():
    peak = xr.Dataset({"rocking": ("frame", [0.0, 0.1, 0.2])}, attrs={"rocking_motor": "omega"})
    with pytest.raises(SchemaError, match="no motor 'omega'"):
        series_offset(peak, xr.Dataset())
    assert series_offset(peak, xr.Dataset({"omega": ("frame", [0.25, 0.25])})) == pytest.approx(1.5)


def test_no_event_gives_empty_columns(slipped):
    label, rho, after = slipped
    empty = events().isel(event=slice(0, 0))
    found = attribute(empty, series(rho, after), phased(rho), crystal(label), boundaries())
    assert found.sizes["event"] == 0
    assert {"boundary", "region_centre", "region_shape", "attribution_note"} <= set(found.variables)


def test_grains_keep_their_place_in_the_data_frame(slipped):
    label, rho, _ = slipped
    np.testing.assert_array_equal(grains_in_data_frame(crystal(label), phased(rho)), label)


def test_the_quick_look_stands_out_of_the_noise_and_is_symmetric(slipped):
    _, rho, after = slipped
    quick = difference_patterson(events(), series(rho, after), reach_nm=120.0)
    still = difference_patterson(events(), series(rho, rho), reach_nm=120.0)
    assert quick.patterson.dims == ("event", "row_nm", "column_nm")
    assert float(quick.patterson.max()) > 8 > float(still.patterson.max())
    odd = quick.patterson.isel(event=0).to_numpy()
    np.testing.assert_allclose(odd, odd[::-1, ::-1], atol=1e-3)
    assert float(abs(quick.row_nm).max()) <= 120.0


def test_the_quick_look_needs_the_steps_of_the_pixels(slipped):
    _, rho, after = slipped
    data = series(rho, after)
    del data.attrs["dq"]
    with pytest.raises(SchemaError, match="'dq'"):
        difference_patterson(events(), data)
