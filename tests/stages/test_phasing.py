"""A peak is cut out where it is, and phased the same way twice."""

import json

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError, SettingsError, XcdiError
from xcdi.kernels.fourier import centre, forward, uncentre
from xcdi.kernels.phasing import moves, quality
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Redraw
from xcdi.settings import from_mapping, read, template
from xcdi.stages import geometry, phasing

SHAPE = (18, 20, 24)
QUICK = phasing.Recipe(
    starts=4,
    cycles=3,
    cycle=(("error_reduction", 10), ("hio", 50)),
    finish=(("error_reduction", 40),),
    damping=(0.15, 0.25),
    shrink_first=60,
)
GEOMETRY = {
    "sample": [{"motor": "omega", "axis": "y+"}],
    "detector": [],
    "columns": "x+",
    "rows": "y+",
}


def crystal():
    """A lopsided crystal of 6 x 7 x 8 voxels with a gentle strain."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    body = (abs(z) < 3.2) & (abs(y) < 3.7) & (abs(x) < 4.2) & (z + y + x < 6) & (y - x < 5)
    return (body * np.exp(1j * (0.04 * x**2 - 0.03 * y * z))).astype(np.complex64)


def peak_of(rho, photons=1e7, seed=0):
    intensity = np.abs(forward(uncentre(rho))) ** 2
    counts = np.random.default_rng(seed).poisson(centre(intensity) * photons / intensity.sum())
    index = {"units": "1/nm"}
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts.astype(np.float32), {"units": "1"}),
            "valid": (("frame", "y", "x"), np.ones(SHAPE, bool), {"units": ""}),
            "q_basis": (("axis", "index"), np.array([[0, 0, 2e-3], [0, 2e-3, 0], [3e-3, 0, 1e-4]]), index),
            "q_peak": ("axis", np.array([1.37, 0.0, 0.0]), index),
        }
    )


@pytest.fixture(scope="module")
def phased():
    return phasing.reconstruct(peak_of(crystal()), QUICK, seed=3)


def restored(phased):
    """The object with the ramp that was taken off put back."""
    rho = phased.rho.to_numpy()
    slope = np.linalg.solve(phased.q_basis.to_numpy(), phased.attrs["ramp"]) / np.array(rho.shape) * 2 * np.pi
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in rho.shape), indexing="ij"))
    return rho * np.exp(1j * np.tensordot(slope, index, axes=1))


def test_a_crystal_comes_back(phased):
    rho = restored(phased)
    assert quality.overlap(quality.align(rho, crystal()), crystal()) > 0.98
    assert phased.attrs["grade"] == "good"
    assert phased.attrs["n_good"] == int(phased.kept.sum())
    assert phased.attrs["residual"] < 0.05


def test_the_object_is_centred_flat_and_labelled(phased):
    rho = phased.rho.to_numpy()
    assert rho.dtype == np.complex64
    weight = np.abs(rho) / np.abs(rho).sum()
    np.testing.assert_allclose([(weight * i).sum() for i in np.indices(SHAPE)], [n // 2 for n in SHAPE], atol=0.6)
    assert phased.solutions.shape == (phased.attrs["n_good"], *SHAPE)
    np.testing.assert_allclose(phased.solutions.mean("solution"), rho, atol=1e-5 * np.abs(rho).max())
    assert (phased.rho_error.where(phased.support).max() < 0.5 * np.abs(rho).max()).item()
    assert "unknown from one reflection" in phased.attrs["twin"]


def test_the_voxels_are_dual_to_the_reciprocal_steps(phased):
    edges = phased.q_basis.to_numpy() * np.array(SHAPE)
    np.testing.assert_allclose(phased.voxel_basis.to_numpy().T @ edges, 2 * np.pi * np.eye(3), atol=1e-9)


def test_any_number_of_workers_gives_the_same_bits(phased):
    again = phasing.reconstruct(peak_of(crystal()), QUICK, seed=3, workers=3)
    xr.testing.assert_identical(again, phased)


def test_another_seed_gives_the_same_crystal_as_it_stands(phased):
    """Twin and place are rules, not luck: no alignment is needed."""
    other = phasing.reconstruct(peak_of(crystal()), QUICK, seed=8)
    assert quality.overlap(other.rho, phased.rho) > 0.98


def test_the_twins_data_give_the_same_object(phased):
    """Inverted, conjugated, the crystal scatters the same; so the answer must be the same."""
    turned = centre(np.conj(np.roll(np.flip(uncentre(crystal())), 1, axis=(0, 1, 2))))
    other = phasing.reconstruct(peak_of(turned), QUICK, seed=5)
    assert quality.overlap(other.rho, phased.rho) > 0.98


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tilted_crystal_keeps_its_tilt_in_the_ramp(axis, phased):
    """The wave vector q_peak + ramp follows the crystal; the object does not change."""
    index = np.arange(SHAPE[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    turned = crystal() * np.exp(2j * np.pi * 1.5 * index / SHAPE[axis])
    other = phasing.reconstruct(peak_of(turned.astype(np.complex64)), QUICK, seed=3)
    assert quality.overlap(other.rho, phased.rho) > 0.97
    moved = np.array(other.attrs["ramp"]) - phased.attrs["ramp"]
    np.testing.assert_allclose(moved, 1.5 * phased.q_basis.to_numpy()[:, axis], atol=2e-4)


def test_gaps_are_left_free():
    """Two dead lines through the peak, holding nonsense, hardly change the crystal."""
    peak = peak_of(crystal())
    valid, counts = peak.valid.to_numpy().copy(), peak.counts.to_numpy().copy()
    valid[:, 9, :] = valid[:, :, 15] = False
    counts[~valid] = 1e6
    gappy = peak.assign(counts=(peak.counts.dims, counts, peak.counts.attrs), valid=(peak.valid.dims, valid, peak.valid.attrs))
    rho = restored(phasing.reconstruct(gappy, QUICK, seed=3))
    assert quality.overlap(quality.align(rho, crystal()), crystal()) > 0.95


def test_progress_is_told_after_each_start():
    told = []
    recipe = QUICK.model_copy(update={"starts": 2, "cycles": 1})
    phasing.reconstruct(peak_of(crystal()), recipe, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_a_users_move_runs_by_the_name_of_its_file(tmp_path):
    rule = tmp_path / "my_moves.py"
    rule.write_text(
        "from xcdi.kernels.phasing.moves import hio\n\n\ndef gentle(estimate, measured):\n    return hio(estimate, measured, beta=0.7)\n"
    )
    by_file = QUICK.model_copy(update={"cycle": ((f"{rule}:gentle", 50),)})
    by_name = QUICK.model_copy(update={"cycle": (("hio", 50),), "beta": 0.7})
    ours, theirs = (phasing.reconstruct(peak_of(crystal()), recipe, seed=1) for recipe in (by_name, by_file))
    assert quality.overlap(ours.rho, theirs.rho) > 0.97


def test_a_peak_without_counts_is_refused():
    peak = peak_of(crystal())
    with pytest.raises(XcdiError, match="no valid pixel with a count"):
        phasing.reconstruct(peak.assign(valid=(peak.valid.dims, np.zeros(SHAPE, bool), {"units": ""})))


# the schedule


def iterations(steps):
    return sum(step.n for step in steps if isinstance(step, (Advance, Average)))


def test_the_default_schedule_is_as_written():
    steps = phasing.Recipe().schedule()
    assert iterations(steps) == 6 * (20 + 180) + 100
    assert [step.width for step in steps if isinstance(step, Damp)] == [*phasing.Recipe().damping, float("inf")]
    assert steps[-1] == Average("error_reduction", 20, None)


def test_the_support_is_left_alone_at_first_and_at_last():
    recipe = phasing.Recipe()
    done, redrawn, sigmas = 0, [], []
    for step in recipe.schedule():
        done += step.n if isinstance(step, (Advance, Average)) else 0
        if isinstance(step, Redraw):
            redrawn.append(done)
            sigmas.append(step.sigma)
    assert redrawn == list(range(recipe.shrink_first, 1300 - recipe.frozen_last + 1, recipe.shrink_every))
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigmas[-1] == recipe.shrink_sigma[1]


def test_feedback_goes_to_the_moves_that_have_it():
    recipe = phasing.Recipe(beta=0.7, cycle=(("hio", 30), ("solvent_flip", 7)), shrink_every=10)
    pairs = {(step.move, step.beta) for step in recipe.schedule() if isinstance(step, Advance)}
    assert pairs == {("hio", 0.7), ("solvent_flip", None), ("error_reduction", None)}
    assert iterations(recipe.schedule()) == 6 * 37 + 100


@pytest.mark.parametrize("name", moves.__all__)
def test_every_move_may_be_named(name):
    assert phasing.Recipe(cycle=((name, 5),)).schedule()


def test_a_typo_in_a_move_is_told_with_the_nearest_name():
    with pytest.raises(SettingsError, match="offers no 'hoi'; did you mean 'hio'"):
        from_mapping(phasing.Recipe, {"cycle": [["hoi", 10]]})


@pytest.mark.parametrize(("values", "words"), [({"shrink": "hio"}, "redraws no support"), ({"average_last": 500}, "finish ends with 100")])
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        from_mapping(phasing.Recipe, values)


def test_the_template_reads_back(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(template(phasing.Recipe))
    assert read(phasing.Recipe, path) == phasing.Recipe()


# the box


def scan_with_peak(at=(15, 40, 55), shape=(31, 90, 101)):
    """Counts of a Gaussian peak, float with NaN, and the sampling that with_q gives."""
    grid = np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, at, strict=True)), indexing="ij")
    counts = np.round(1000 * np.exp(-sum((g / w) ** 2 for g, w in zip(grid, (4, 6, 8), strict=True)))).astype(np.float32)
    counts[:, 20, 30] = np.nan
    still = {"energy_kev": 9.65, "distance_m": 1.9, "pixel_size_m": [75e-6, 75e-6], "centre_px": [40.0, -600.0]}
    scan = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts, {"units": "1"}),
            "valid": (("y", "x"), np.ones(shape[1:], bool), {"units": ""}),
            "frame_ok": ("frame", np.arange(shape[0]) != 17, {"units": ""}),
        },
        {
            "rocking": ("frame", 0.1 * np.arange(shape[0]), {"units": "deg"}),
            "omega": ("frame", 0.1 * np.arange(shape[0]), {"units": "deg"}),
        },
        {**still, "rocking_motor": "omega", "geometry": json.dumps(GEOMETRY)},
    )
    return geometry.with_q(scan, reference=at)


def test_the_peak_is_in_the_middle_of_the_box():
    peak = phasing.crop_to_peak(scan_with_peak(), (16, 30, 40))
    assert np.unravel_index(np.argmax(peak.counts.to_numpy()), peak.counts.shape) == (8, 15, 20)
    assert json.loads(peak.attrs["box"]) == {"frame": [7, 23], "y": [25, 55], "x": [35, 75]}


def test_the_box_holds_the_signal_in_lengths_that_transform_fast():
    scan = scan_with_peak()
    peak = phasing.crop_to_peak(scan)
    assert peak.counts.sum() > 0.99 * scan.counts.where(scan.frame_ok).sum()
    for n in (peak.sizes[dim] for dim in ("frame", "y", "x")):
        assert n % 2 == 0
        assert 2**10 * 3**6 * 5**4 % n == 0
    assert max(peak.sizes.values()) < 60


def test_missing_pixels_and_bad_frames_are_not_valid():
    peak = phasing.crop_to_peak(scan_with_peak(), (16, 50, 60))
    missing = ~peak.valid.to_numpy()
    assert missing[10].all()  # frame 17
    assert missing[:, 5, 5].all()  # the pixel that holds NaN
    assert missing.sum() == 50 * 60 + 15
    assert np.isfinite(peak.counts).all()
    assert peak.counts.dtype == np.float32


def test_q_is_that_of_the_middle_of_the_box():
    scan = scan_with_peak()
    at_peak, moved = phasing.crop_to_peak(scan, (16, 30, 40)), phasing.crop_to_peak(scan, (30, 30, 40))
    np.testing.assert_allclose(at_peak.q_peak, scan.q_peak, atol=1e-12)
    off = json.loads(moved.attrs["box"])["frame"][0] + 15 - 15
    np.testing.assert_allclose(moved.q_peak, scan.q_peak + off * scan.q_basis.isel(index=0), atol=2e-5)
    assert at_peak.attrs["d_spacing_nm"] == pytest.approx(2 * np.pi / np.linalg.norm(at_peak.q_peak), rel=1e-6)


def test_a_box_just_over_the_edge_is_moved_in_and_one_far_over_refused():
    scan = scan_with_peak(at=(12, 40, 55))
    assert json.loads(phasing.crop_to_peak(scan, (26, 30, 40)).attrs["box"])["frame"] == [0, 26]
    with pytest.raises(XcdiError, match=r"leaves the data along 'frame' \(-4:28 of 31\)"):
        phasing.crop_to_peak(scan, (32, 30, 40))
    with pytest.raises(XcdiError, match=r"leaves the data along 'y' \(-20:100 of 90\); choose a smaller box"):
        phasing.crop_to_peak(scan, (16, 120, 40))


def test_a_box_chosen_for_a_peak_far_off_the_middle_stays_in_the_data():
    scan = scan_with_peak(at=(6, 40, 55))
    start, stop = json.loads(phasing.crop_to_peak(scan).attrs["box"])["frame"]
    assert 0 <= start <= 6 < stop <= scan.sizes["frame"]


def test_a_scan_without_q_says_what_to_run():
    scan = scan_with_peak().drop_vars("q_basis")
    with pytest.raises(SchemaError, match=r"run stages\.geometry\.with_q"):
        phasing.crop_to_peak(scan)


def test_a_peak_that_is_all_masked_is_refused():
    scan = scan_with_peak()
    with pytest.raises(XcdiError, match="check the mask"):
        phasing.crop_to_peak(scan.assign(valid=(("y", "x"), np.zeros((90, 101), bool), {"units": ""})), (16, 30, 40))
