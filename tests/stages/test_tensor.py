"""Laws of putting reflections together: scans at other angles, of other places and hands, give one tensor in one frame."""

import json

import numpy as np
import pytest
import xarray as xr
from xcdi.pipelines import strain_tensor

from xcdi.errors import SchemaError, XcdiError
from xcdi.kernels import geometry
from xcdi.kernels import tensor as kernel
from xcdi.stages import reflections, tensor

SHAPE, VOXEL = (29, 31, 33), 20.0  # nm
G = np.array([[1.37, 0.0, 0.0], [0.46, -1.29, 0.1], [0.47, 0.65, 1.11], [0.44, 0.65, -1.13]])  # of the sample at rest [1/nm]
TURNS = [0.3, -0.5, 1.2, -1.1]  # rad about y, of the sample in each scan
NAMES = [f"strain_{a}" for a in ("xx", "yy", "zz", "xy", "xz", "yz")] + [f"rotation_{a}" for a in "xyz"]


def u_of(x, y, z):
    """Displacement [nm] of the sample, with every component of its gradient."""
    return np.stack(
        [
            0.5 * np.sin(x / 130) + 0.3 * np.cos(z / 150 + y / 170),
            0.4 * np.sin((x + y) / 160) + 0.2 * np.cos(z / 140),
            0.3 * np.cos((y - z) / 150) + 0.4 * np.sin(x / 170),
        ]
    )


def distortion_of(x, y, z, step=0.1):
    """Its derivatives, matrix[i, j] = du_i / dx_j."""
    ends = [(u_of(*np.add([x, y, z], d)) - u_of(*np.subtract([x, y, z], d))) / (2 * step) for d in step * np.eye(3)[:, :, None, None, None]]
    return np.stack(ends, axis=1)


def amplitude_of(x, y, z, lopsided):
    """A soft body; `lopsided` takes its centre of symmetry away."""
    body = np.exp(-((np.sqrt((x / 200) ** 2 + (y / 180) ** 2 + (z / 170) ** 2)) ** 6))
    return body * (1 + lopsided * np.tanh((x + y / 2 - z / 2) / 80))


def scan(n, *, turn=None, twin=False, offset=(0.0, 0.0, 0.0), lopsided=0.35, grade="good", errors=0.0):
    """CRYSTAL of reflection n as its own scan shows it."""
    turned = geometry.rotation("y+", TURNS[n] if turn is None else turn)
    z, y, x = (VOXEL * (np.arange(size) - size // 2) for size in SHAPE)
    lab = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1]) - np.reshape(offset, (3, 1, 1, 1))
    place = np.einsum("ji,j...->i...", turned, -lab if twin else lab)
    rho = amplitude_of(*place, lopsided) * np.exp(-1j * np.einsum("i,i...->...", G[n], u_of(*place)) + 0.7j * n)
    rho = np.conj(rho) if twin else rho
    maps = (
        {name: errors * np.ones(SHAPE) for name in ("strain_error", "tilt_1_error", "tilt_2_error", "displacement_error")} if errors else {}
    )
    support = np.abs(rho) > 0.35
    return xr.Dataset(
        {"rho": (("z", "y", "x"), rho, {"units": "1"}), "support": (("z", "y", "x"), support, {"units": ""})}
        | {name: (("z", "y", "x"), np.where(support, values, np.nan)) for name, values in maps.items()},
        {"z": z, "y": y, "x": x},
        attrs={
            "scan": f"S{n}",
            "grade": grade,
            "q_peak": (turned @ G[n]).tolist(),
            "ramp": [0.0, 0.0, 0.0],
            "sample_rotation": turned.ravel().tolist(),
        },
    )


def wrong_by(made, first=0):
    """Largest rms error of any component inside, against the truth in the laboratory of the first scan."""
    turned = geometry.rotation("y+", TURNS[first])
    lab = np.stack(np.meshgrid(made.z, made.y, made.x, indexing="ij")[::-1])
    true = np.einsum("ia,ab...,jb->ij...", turned, distortion_of(*np.einsum("ji,j...->i...", turned, lab)), turned)
    inside = kernel.calm(made.support.to_numpy().astype(int))
    errors = []
    for name, values in zip(NAMES, [*kernel.strain(true), *kernel.rotation(true)], strict=True):
        away = (made[name].to_numpy() - values)[inside]
        errors.append(np.sqrt(np.mean((away - away.mean()) ** 2)))
    return max(errors)


SPREAD = 2e-3  # what the components vary by, about
BAR = 1.5e-4


def test_scans_at_other_angles_give_one_tensor_in_the_frame_of_the_first():
    made = tensor.combine([scan(n) for n in range(4)])
    assert wrong_by(made) < BAR
    assert made.attrs["grade"] == "good"
    assert made.attrs["hands_by"] == "amplitude"


def test_without_the_turns_of_the_sample_the_tensor_would_be_wrong():
    still = [scan(n).assign_attrs(sample_rotation=np.eye(3).ravel().tolist()) for n in range(4)]
    assert wrong_by(tensor.combine(still)) > 5 * BAR


def test_place_and_hand_of_each_object_do_not_matter():
    offsets = [(0, 0, 0), (13.0, -27.0, 8.0), (-9.0, 31.0, 22.0), (5.0, 5.0, -25.0)]
    made = tensor.combine([scan(n, offset=offsets[n], twin=n in (1, 3)) for n in range(4)])
    assert made.attrs["twins"] == [0, 1, 0, 1]
    assert wrong_by(made) < BAR


@pytest.mark.parametrize("twin", [False, True])
def test_a_centre_that_is_off_is_put_right_by_the_amplitude(twin):
    scans = [scan(0), scan(2, twin=twin), scan(3)]
    seen = [reflections.seen_of(one, scans[0]) for one in scans]
    wrong = np.array([17.0, -29.0, 23.0])
    off = seen[1]._replace(centre=seen[1].centre + wrong)
    placed, _ = reflections.registered([seen[0], off, seen[2]], reflections.grid_of(seen, None))
    assert placed[1].twin == twin
    np.testing.assert_allclose(placed[1].shift, (-1 if twin else 1) * seen[1].turn @ wrong, atol=0.15 * VOXEL)
    amplitudes = [np.abs(one.rho[placed[0].support]) for one in placed]
    np.testing.assert_allclose(
        amplitudes[1], amplitudes[0], atol=0.06
    )  # slopes of 0.02 per nm at the surface, times the error of the place


def test_the_order_of_the_scans_only_chooses_the_frame():
    made = tensor.combine([scan(n) for n in (2, 0, 3, 1)])
    assert wrong_by(made, first=2) < BAR


def test_three_reflections_are_enough_and_four_check_one_another():
    three = tensor.combine([scan(n) for n in (0, 1, 2)])
    assert wrong_by(three) < BAR
    assert "no check is possible" in three.attrs["held_out"]
    assert "misfit" not in three
    assert "held_rms" not in three.attrs
    four = tensor.combine([scan(n) for n in range(4)])
    assert min(four.attrs["held_inner_correlation"]) > 0.99
    assert float(four.misfit.where(four.support).median()) < BAR


def test_a_scan_of_another_state_is_noticed_by_the_check():
    other = scan(3)
    x, y, z = (other[axis] for axis in "xyz")
    twist = (np.exp(0.9j * np.sin(x / 70)) * (1 + 0 * y + 0 * z)).transpose("z", "y", "x")
    made = tensor.combine([scan(0), scan(1), scan(2), other.assign(rho=(other.rho * twist).assign_attrs(units="1"))])
    assert min(made.attrs["held_inner_correlation"]) < 0.7
    assert made.attrs["grade"] == "unreliable"
    assert "the reflections do not foretell one another" in made.attrs["warning"]


def other_particle(n):
    """What reflection n sees of a particle of another shape and strain."""
    one = scan(n, lopsided=-0.35)
    away = np.exp(1j * np.sin((one.y + one.z) / 60)) * (np.abs(one.x + one.z) < 160)
    rho = (one.rho * away).transpose("z", "y", "x").assign_attrs(units="1")
    return one.assign(rho=rho, support=(rho.dims, np.abs(rho.to_numpy()) > 0.3, {"units": ""}))


@pytest.mark.parametrize(
    ("which", "odd", "grade"), [((0, 1, 2, 3), 0, "unreliable"), ((0, 1, 2, 3), 3, "unreliable"), ((0, 2, 3), 0, "limited")]
)
def test_a_reflection_of_another_particle_is_named(which, odd, grade):
    made = tensor.combine([other_particle(n) if n == odd else scan(n) for n in which])
    assert made.attrs["alike"][which.index(odd)] == min(made.attrs["alike"]) < 0.955
    assert made.attrs["grade"] == grade
    assert f"S{odd} does not fit the others (amplitude overlap 0." in made.attrs["warning"]
    assert strain_tensor.table({"crystal": made}).startswith(made.attrs["warning"])


def test_a_small_strain_within_its_errors_is_not_held_against_the_tensor():
    rng = np.random.default_rng(5)
    flat = [scan(n, errors=1e-3) for n in range(4)]
    noisy = [
        one.assign(rho=(one.rho.dims, np.abs(one.rho.to_numpy()) * np.exp(0.02j * rng.normal(size=SHAPE)), {"units": "1"})) for one in flat
    ]
    made = tensor.combine(noisy)
    assert min(made.attrs["held_inner_correlation"]) < 0.5
    assert made.attrs["grade"] == "good"


def test_twins_that_go_against_the_data_are_unreliable():
    made = tensor.combine([scan(n, twin=n == 1) for n in range(3)], twins=[False, False, False])
    assert made.attrs["grade"] == "unreliable"
    assert made.attrs["warning"].startswith("amplitude or phases go against the twins that are stated")


@pytest.mark.parametrize("places", [(0, 0, 0), (0, 1, 1, 2), (1, 0, 1, 2)])
def test_a_reflection_given_twice_is_refused_by_its_place(places):
    i, k = [n for n, place in enumerate(places, 1) if places.count(place) > 1][:2]
    with pytest.raises(XcdiError, match=f"results {i} and {k} .* are of one reflection; give each once"):
        tensor.combine([scan(n) for n in places])


def test_a_symmetric_crystal_needs_four_reflections_or_a_word_of_the_user():
    scans = [scan(n, lopsided=0.0, twin=n == 1) for n in range(4)]
    four = tensor.combine(scans)
    assert (four.attrs["hands_by"], four.attrs["twins"], four.attrs["grade"]) == ("phase", [0, 1, 0, 0], "good")
    assert wrong_by(four) < BAR
    three = tensor.combine(scans[:3])
    assert three.attrs["grade"] == "unreliable"
    assert three.attrs["warning"].startswith("S1, S2 may be turned inside out against S0")
    told = tensor.combine(scans[:3], twins=[False, True, False])
    assert (told.attrs["hands_by"], told.attrs["grade"]) == ("user", "limited")
    assert told.attrs["warning"] == "nothing but the stated twins says which of S1, S2 are turned inside out against S0"
    assert wrong_by(told) < BAR
    with pytest.raises(XcdiError, match="twins has 2 entries for 3 crystals"):
        tensor.combine(scans[:3], twins=[False, True])


def test_the_displacement_vector_comes_back_up_to_a_constant():
    made = tensor.combine([scan(n) for n in range(4)])
    turned = geometry.rotation("y+", TURNS[0])
    lab = np.stack(np.meshgrid(made.z, made.y, made.x, indexing="ij")[::-1])
    true = np.einsum("ij,j...->i...", turned, u_of(*np.einsum("ji,j...->i...", turned, lab)))
    inside = kernel.calm(made.support.to_numpy().astype(int))
    design = np.column_stack([lab[:, inside].T, np.ones(inside.sum())])  # its mean gradient is that of the mean crystal
    for found, expected in zip((made.u_x, made.u_y, made.u_z), true, strict=True):
        away = (found.to_numpy() - expected)[inside]
        assert (away - design @ np.linalg.lstsq(design, away, rcond=None)[0]).std() < 0.01


def test_unreliable_scans_are_left_out_or_refused_by_name():
    scans = [scan(0), scan(1, grade="unreliable"), scan(2, grade="limited"), scan(3)]
    made = tensor.combine(scans)
    assert (made.attrs["left_out"], made.attrs["grade"], made.attrs["reflections"]) == ("S1", "limited", "S0, S2, S3")
    with pytest.raises(XcdiError, match="S1 unreliable, which leaves 2"):
        tensor.combine(scans[:3])


def test_reflections_in_one_plane_and_scans_without_an_attitude_are_refused():
    flat = [scan(0), scan(1), scan(2).assign_attrs(q_peak=(geometry.rotation("y+", TURNS[2]) @ (G[0] + G[1])).tolist())]
    with pytest.raises(XcdiError, match="S0, S1, S2 lie nearly in one plane"):
        tensor.combine(flat)
    lost = scan(1)
    del lost.attrs["sample_rotation"]
    with pytest.raises(SchemaError, match="crystal S1 has no attribute 'sample_rotation'"):
        tensor.combine([scan(0), lost, scan(2)])


def test_errors_of_the_scans_are_carried_into_the_tensor():
    small, large = (tensor.combine([scan(n, errors=e) for n in range(4)]) for e in (1e-4, 3e-4))
    inside = kernel.calm(small.support.to_numpy().astype(int))
    for name in (*NAMES, "u_x", "strain_volume"):
        ratio = (large[f"{name}_error"] / small[f"{name}_error"]).to_numpy()[inside]
        np.testing.assert_allclose(ratio, 3.0, rtol=1e-5)
    g = np.reshape(small.attrs["g"], (-1, 3))
    expected = 1e-4 * np.sqrt(np.linalg.inv(sum(np.outer(one, one) / (one @ one) for one in g))[0, 0])
    np.testing.assert_allclose(small.strain_xx_error.to_numpy()[inside], expected, rtol=1e-3)


def peak(omega, motors=("omega",)):
    layout = {"sample": [{"motor": name, "axis": axis} for name, axis in (("omega", "y+"), ("chi", "z-"))][: len(motors) or 1]}
    layout |= {"columns": "x+", "rows": "y+"}
    frames = {name: ("frame", value * np.ones(5)) for name, value in zip(motors, omega, strict=True)}
    return xr.Dataset(frames | {"counts": (("frame", "y", "x"), np.zeros((5, 2, 2)))}, attrs={"geometry": json.dumps(layout)})


def test_the_attitude_of_the_sample_is_that_of_all_its_circles():
    turned = reflections.oriented(scan(0), peak([90.0, 90.0], ("omega", "chi"))).attrs["sample_rotation"]
    expected = geometry.rotation("y+", np.pi / 2) @ geometry.rotation("z-", np.pi / 2)
    np.testing.assert_allclose(np.reshape(turned, (3, 3)), expected, atol=1e-12)
    with pytest.raises(SchemaError, match="no motor 'omega'"):
        reflections.oriented(scan(0), peak([], ()))
    with pytest.raises(SchemaError, match="motor 'chi' has no angle"):
        reflections.oriented(scan(0), peak([90.0, np.nan], ("omega", "chi")))


def test_the_pipeline_tells_what_it_found():
    results = [{"crystal": scan(n), "peak": peak([float(np.degrees(TURNS[n]))])} for n in range(4)]
    made = strain_tensor.run(results)
    assert wrong_by(made["crystal"]) < BAR
    assert strain_tensor.summary(made).startswith("4 reflections  condition 1.")
    assert [line.split()[0] for line in strain_tensor.table(made).splitlines()] == [
        "inside",
        "S0",
        "S1",
        "S2",
        "S3",
        "all",
        "S0",
        "S1",
        "S2",
        "S3",
    ]
    with pytest.raises(XcdiError, match="result 2 of 2 holds no crystal with its peak"):
        strain_tensor.run([results[0], {"crystal": results[1]["crystal"]}])


def test_an_unreliable_tensor_tells_no_numbers():
    scans = [scan(n, lopsided=0.0) for n in range(3)]
    made = {"crystal": tensor.combine(scans)}
    assert strain_tensor.summary(made).endswith("no strain: the tensor is unreliable")
    assert strain_tensor.table(made).splitlines()[-1].startswith("no check is possible")


def test_a_reflection_that_nothing_foretells_is_left_out_of_the_summary():
    crystal = xr.Dataset({"strain_volume": ("x", [0.0, 1e-3]), **{f"rotation_{a}": ("x", [0.0, 0.0]) for a in "xyz"}})
    notes = {"twins": [0] * 4, "condition": 2.0, "grade": "good", "left_out": "none", "reflections": "A, B, C, D"}
    held = {"held_rms": [np.nan, 1e-4, 1e-4, 1e-4], "held_spread": [np.nan, 1e-3, 1e-3, 1e-3]}
    one = {"crystal": crystal.assign_attrs(notes | held, held_correlation=[np.nan, 0.9, 0.95, 0.99])}
    assert "correlation 0.900 or more" in strain_tensor.summary(one)
    assert "A  not foretold: the others lie in one plane" in " ".join(strain_tensor.table(one).split("\n"))
    none = {"crystal": crystal.assign_attrs(notes, held_correlation=[np.nan] * 4)}
    assert "no held-out check" in strain_tensor.summary(none)
