"""Laws of slip vectors with labels: results of several reflections of one particle, with one slip on their common clock."""

import json

import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import slip_vectors as pipeline

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import kinematics
from xcdi.stages import slip_vectors

SHAPE = (11, 31, 37)
VOXEL = 20.0  # nm; index axes angle, row, column lie along z, y, x
G = np.array([[0.793, 1.122, 0.0], [1.587, 0.0, 0.0], [0.793, -1.122, 0.0]])  # 111, 002, 11-1 [1/nm]
SLIP = np.array([0.7, 0.4, 0.0])  # nm
BOX = {"frame": [0, SHAPE[0]], "y": [0, SHAPE[1]], "x": [0, SHAPE[2]]}
FRAMES, EVENT = 60, 30
LINES = {dim: (dim, VOXEL * (np.arange(n) - n // 2), {"units": "nm"}) for dim, n in zip("zyx", SHAPE, strict=True)}


def grains():
    z, y, x = np.indices(SHAPE)
    whole = (np.abs(z - 5) < 4) & (np.abs(y - 15) < 8 + (z > 5)) & (np.abs(x - 17) < 11 - (y > 18))
    return np.where(whole, 1 + (x > 16), 0)


def particle(g):
    """Object of a reflection: phase -G.u of two grains that are strained and turned differently."""
    z, y, x = (VOXEL * (n - s // 2) for n, s in zip(np.indices(SHAPE), SHAPE, strict=True))
    first, label = np.array([3e-3 * x + 1e-6 * y * z, -2e-3 * y + 4e-6 * x * z]), grains()
    second = np.array([-2e-3 * x + 3e-3 * y + 1.0, 4e-3 * y - 4e-3 * x + 5e-6 * y * x])
    u = np.where(label == 2, second, first)
    return (label > 0) * (1 - 0.5 * (label == 2) * (y > 60)) * np.exp(-1j * (g[0] * u[0] + g[1] * u[1]))


def moved():
    z, y, x = (VOXEL * (n - s // 2) for n, s in zip(np.indices(SHAPE), SHAPE, strict=True))
    return (grains() == 2) & (np.sqrt((x + 20) ** 2 + y**2 + z**2) < 125)


def series(g, slip, seed):
    states = [rho.sum(axis=0) for rho in (particle(g), particle(g) * np.exp(-1j * (g @ slip) * moved()))]
    pair = np.abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(states, axes=(1, 2))), axes=(1, 2))) ** 2
    counts = np.random.default_rng(seed).poisson(3 * pair[(np.arange(FRAMES) >= EVENT).astype(int)] / pair[0].mean())
    rows, columns = np.indices(SHAPE[1:]).reshape(2, -1)
    return xr.Dataset(
        {"counts": (("time", "pixel"), counts.reshape(FRAMES, -1)), "pixel_y": ("pixel", rows), "pixel_x": ("pixel", columns)},
        coords={"time": ("time", np.arange(FRAMES) * 0.5, {"units": "s"})},
    )


def events(frames=(EVENT,), flags=""):
    columns = {name: ("event", np.array(frames, int)) for name in ("frame", "first_frame", "last_frame")}
    kept = {"time": ("event", 0.5 * np.array(frames, float), {"units": "s"}), "flags": ("event", np.full(len(frames), flags))}
    return xr.Dataset(columns | kept, attrs={"window": 12, "speckle_px": 3.0, "view_offset": 0.0})


def result(number, slip=SLIP, **attrs):
    g, label = G[number], grains()
    crystal = {
        "rho": (("z", "y", "x"), particle(g).astype(np.complex64), {"units": "1"}),
        "support": (("z", "y", "x"), label > 0, {"units": ""}),
        "grain": (("z", "y", "x"), label.astype(np.int16), {"units": ""}),
    }
    known = {"q_peak": g.tolist(), "ramp": [0.0] * 3, "scan": f"peak{number}", "sample_rotation": np.eye(3).ravel().tolist()}
    steps = 2 * np.pi / (VOXEL * np.array(SHAPE)) * np.eye(3)[::-1]
    return {
        "peak": xr.Dataset({"q_basis": (("axis", "index"), steps, {"units": "1/nm"})}),
        "object": xr.Dataset(
            {
                "rho": crystal["rho"],
                "voxel_basis": (("axis", "index"), VOXEL * np.eye(3)[::-1], {"units": "nm"}),
            },
            attrs={"box": json.dumps(BOX), "grade": "good"} | attrs,
        ),
        "crystal": xr.Dataset(crystal, LINES, known),
        "boundaries": xr.Dataset({"i": ("boundary", [1]), "j": ("boundary", [2]), "normal": (("boundary", "axis"), [[1.0, 0.0, 0.0]])}),
        "correlation": series(g, np.asarray(slip), number),
        "events": events(),
    }


@pytest.fixture(scope="module")
def results():
    return [result(k) for k in range(3)]


@pytest.fixture(scope="module")
def found(results):
    return slip_vectors.combine(results, centres=2)


def changed(results, number, **parts):
    return [{**one, **(parts if k == number else {})} for k, one in enumerate(results)]


def angle(one, other):
    return np.degrees(np.arccos(np.clip(one @ other / np.linalg.norm(one) / np.linalg.norm(other), -1, 1)))


def test_the_slip_comes_back_with_its_sign(found):
    assert found.sizes["event"] == 1
    assert angle(found.slip.values[0], SLIP) < 5
    assert np.linalg.norm(found.slip.values[0]) == pytest.approx(np.linalg.norm(SLIP), rel=0.25)
    assert (int(found.grain[0]), int(found.boundary[0])) == (2, 0)
    assert 0 < float(found.direction_error[0]) < 10
    assert abs(np.linalg.norm(found.slip.values[0]) - np.linalg.norm(SLIP)) < 2 * np.linalg.norm(found.slip_error.values[0])
    assert found.slip.attrs["units"] == found.slip_error.attrs["units"] == "nm"


def test_the_drops_alone_give_its_line(found):
    off = angle(found.line.values[0], SLIP)
    assert min(off, 180 - off) < 15


def test_the_mode_follows_the_boundary(results):
    """The same slip is opening of a boundary across it, and shear of one along it."""
    across = SLIP / np.linalg.norm(SLIP)
    for normal, mode in ((across, "opening"), ([-across[1], across[0], 0.0], "shear")):
        table = results[0]["boundaries"].assign(normal=(("boundary", "axis"), [normal]))
        ds = slip_vectors.combine(changed(results[:2], 0, boundaries=table), centres=1)
        assert ds["mode"].values.tolist() == [mode]
        assert float(ds.shear_angle[0]) == pytest.approx(90.0 if mode == "opening" else 0.0, abs=10)


def test_what_no_reflection_sees_is_said(found):
    np.testing.assert_allclose(np.abs(found.attrs["unseen_along"]), [0, 0, 1], atol=1e-9)
    hidden = np.reshape(found.attrs["unseen_slips"], (-1, 3)) @ G.T / (2 * np.pi)
    np.testing.assert_allclose(hidden, np.rint(hidden), atol=0.05)
    assert found.attrs["longest_slip"] == pytest.approx(np.pi / np.linalg.norm(G, axis=1).max(), rel=1e-3)


def test_an_event_that_one_reflection_missed_still_counts(results, found):
    ds = slip_vectors.combine(changed(results, 1, events=events(())), centres=2)
    assert ds.seen.values.tolist() == [[True, False, True]]
    assert angle(ds.slip.values[0], SLIP) < 8
    np.testing.assert_allclose(ds["drop"].values, found["drop"].values)


@pytest.mark.slow
def test_events_at_times_that_differ_by_less_than_half_a_window_are_one(results):
    ds = slip_vectors.combine(changed(results, 2, events=events((EVENT + 2,))), centres=3)
    assert ds.sizes["event"] == 1
    assert ds.seen.values.all()


def test_without_a_reliable_object_the_drops_alone_speak(results):
    poor = [{**one, "object": one["object"].assign_attrs(grade="unreliable")} for one in results]
    ds = slip_vectors.combine(poor)
    assert np.isnan(ds.slip.values).all()
    assert ds["mode"].values.tolist() == ["unknown"]
    assert np.isfinite(ds.line.values).all()
    assert ds.attrs["model"].startswith("none: 0 of 3 objects")


@pytest.mark.slow
def test_two_reflections_are_enough_for_the_model_and_too_few_for_drops(results):
    ds = slip_vectors.combine(results[:2], centres=3)
    assert angle(ds.slip.values[0], SLIP) < 8
    assert np.isnan(ds.line.values).all()


def test_an_artefact_of_one_reflection_is_no_event(results):
    ds = slip_vectors.combine([{**one, "events": events(flags="artefact")} for one in results[:2]], centres=1)
    assert ds.sizes["event"] == 0


def test_patterns_that_move_tell_the_step_of_strain_and_the_turn(results):
    """Two reflections whose patterns move by a pixel, one down and one to the right."""
    some, moved = [], np.array([[1, 0], [0, 1]])
    for one, by, number in zip(results, moved, (0, 1), strict=False):
        frames = series(G[number], 0 * SLIP, number).counts.values.reshape(FRAMES, *SHAPE[1:])
        frames[EVENT:] = np.roll(frames[EVENT:], by, axis=(1, 2))
        counts = one["correlation"].assign(counts=(("time", "pixel"), frames.reshape(FRAMES, -1)))
        some.append({**one, "correlation": counts, "events": events(flags="rigid")})
    ds = slip_vectors.combine(some, centres=1)
    axes = np.reshape(ds.attrs["plane_axes"], (-1, 3))
    step = 2 * np.pi / (VOXEL * np.array(SHAPE[1:]))
    shift = np.array([[0.0, step[0], 0.0], [step[1], 0.0, 0.0]]) @ axes.T  # down is along y, right along x
    expected = kinematics.plane_distortion(shift, G[:2] @ axes.T, [1e-4, 1e-4])
    assert bool(ds.registered[0])
    for name, value in zip(("strain_xx", "strain_yy", "strain_xy", "rotation"), (*expected.strain, expected.rotation), strict=True):
        assert abs(float(ds[name][0]) - value) < 3 * float(ds[f"{name}_error"][0])
        assert float(ds[f"{name}_error"][0]) < 0.2 * np.abs(expected.matrix).max()
    assert np.isnan(ds.slip.values).all(), "what moves as a whole is no slip"


def test_what_cannot_be_put_together_is_refused_in_one_line(results):
    turned = results[1]["crystal"].assign_attrs(q_peak=(2 * G[0]).tolist())
    late = results[1]["correlation"].assign_coords(time=results[1]["correlation"].time + 100)
    slow = results[1]["correlation"].assign_coords(time=results[1]["correlation"].time * 3)
    small = results[1]["crystal"].assign(support=results[1]["crystal"].support & (results[1]["crystal"].grain == 1))
    lost = results[1]["crystal"].copy()
    del lost.attrs["q_peak"]
    bad = [
        (results[:1], "1 result; slip vectors need 2 or more reflections of one particle"),
        (changed(results[:2], 1, crystal=turned), "lie in one line"),
        (changed(results, 1, correlation=late), "give series that were taken at the same time"),
        (changed(results, 1, correlation=slow), "every 0.5 s, those of result 2 every 1.5 s"),
        (changed(results, 1, crystal=small), "give results of one particle"),
    ]
    for some, words in bad:
        with pytest.raises(XcdiError, match=words):
            slip_vectors.combine(some, centres=1)
    with pytest.raises(SchemaError, match="the crystal of result 2 has no 'q_peak'"):
        slip_vectors.combine(changed(results, 1, crystal=lost))


def test_series_whose_events_never_coincide_are_not_of_one_experiment(results):
    first, second = ([EVENT - 20 + 9 * k + shift for k in range(5)] for shift in (0, 4))
    some = changed(results, 0, events=events(first).assign_attrs(window=6))
    with pytest.raises(XcdiError, match="none at the same time"):
        slip_vectors.combine(changed(some, 1, events=events(second).assign_attrs(window=6)))


def test_a_pipeline_refuses_what_holds_no_events(results):
    without = {name: part for name, part in results[1].items() if name != "events"}
    with pytest.raises(XcdiError, match="result 2 of 2 holds no events; expected those of superlattice"):
        pipeline.ready([results[0], without], pipeline.Settings())
    with pytest.raises(XcdiError, match="1 result; slip vectors need 2"):
        pipeline.ready(results[:1], pipeline.Settings())


def test_summary_and_table_name_what_was_found(found):
    told, lines = pipeline.summary({"slips": found}), pipeline.table({"slips": found}).splitlines()
    assert told.startswith("3 reflections  1 events  1 ")
    assert lines[1].split()[:4] == ["15.0", "3", "of", "3"]
    assert any(line.startswith("not seen: slips along") for line in lines)
