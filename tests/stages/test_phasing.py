"""A peak is phased the same way twice, and what is told of the object is true."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import XcdiError
from xcdi.kernels.fourier import centre, forward, uncentre
from xcdi.kernels.phasing import alignment, memory
from xcdi.kernels.phasing.estimate import Estimate, Measured
from xcdi.kernels.phasing.likelihood import held_out
from xcdi.settings import from_mapping
from xcdi.stages import phasing, searching, solutions

SHAPE = (18, 20, 24)
QUICK = phasing.Recipe(starts=4, search=(("hio", 30),), refine=(("hio", 60),), anneal_length=20)
FITTED = ("amplitude_error", "phase_error", "rho", "rho_error", "solutions")


def crystal(shape=SHAPE, size=1.0):
    """A lopsided crystal, of 6 x 7 x 8 voxels times `size`, with a gentle strain."""
    z, y, x = np.meshgrid(*((np.arange(n) - n // 2) / size for n in shape), indexing="ij")
    body = (abs(z) < 3.2) & (abs(y) < 3.7) & (abs(x) < 4.2) & (z + y + x < 6) & (y - x < 5)
    return (body * np.exp(1j * (0.04 * x**2 - 0.03 * y * z))).astype(np.complex64)


def peak_of(rho, photons=1e7, seed=0, background=0.0, blur=0.0):
    """PEAK of an object, its light blurred by a Gaussian of so many pixels."""
    intensity = np.abs(forward(uncentre(rho))) ** 2
    lags = sum(np.square(np.fft.fftfreq(n)).reshape([-1 if a == axis else 1 for a in range(3)]) for axis, n in enumerate(rho.shape))
    intensity = np.fft.ifftn(np.fft.fftn(intensity) * np.exp(-2 * (np.pi * blur) ** 2 * lags)).real.clip(0)
    counts = np.random.default_rng(seed).poisson(centre(intensity) * photons / intensity.sum() + background)
    index = {"units": "1/nm"}
    return xr.Dataset(
        {
            "counts": (("frame", "y", "x"), counts.astype(np.float32), {"units": "1"}),
            "valid": (("frame", "y", "x"), np.ones(rho.shape, bool), {"units": ""}),
            "q_basis": (("axis", "index"), np.array([[0, 0, 2e-3], [0, 2e-3, 0], [3e-3, 0, 1e-4]]), index),
            "q_peak": ("axis", np.array([1.37, 0.0, 0.0]), index),
        }
    )


def changed(peak, counts=None, valid=None):
    """The peak with other counts or other valid pixels."""
    new = {name: value for name, value in (("counts", counts), ("valid", valid)) if value is not None}
    return peak.assign({name: (peak[name].dims, value, peak[name].attrs) for name, value in new.items()})


@pytest.fixture(scope="module")
def phased():
    return phasing.reconstruct(peak_of(crystal()), QUICK, seed=3)


def restored(phased):
    """The object with the ramp that was taken off put back."""
    rho = phased.rho.to_numpy()
    slope = np.linalg.solve(phased.q_basis.to_numpy(), phased.attrs["ramp"]) / np.array(rho.shape) * 2 * np.pi
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in rho.shape), indexing="ij"))
    return rho * np.exp(1j * np.tensordot(slope, index, axes=1))


def likeness(phased, rho):
    """Overlap with the truth, up to what no data can tell."""
    return alignment.overlap(alignment.align(restored(phased), rho), rho)


def as_it_stands(one, other):
    """Overlap without alignment but for one voxel: where a centre of mass lies between two voxels, noise rounds it."""
    steps = np.array(np.meshgrid(*3 * [(-1, 0, 1)])).reshape(3, -1).T
    return max(alignment.overlap(np.roll(one.rho.to_numpy(), step, axis=(0, 1, 2)), other.rho.to_numpy()) for step in steps)


def test_a_crystal_comes_back(phased):
    assert likeness(phased, crystal()) > 0.98
    assert phased.attrs["grade"] == "good"
    assert phased.attrs["n_good"] == int(phased.kept.sum())
    assert phased.attrs["residual"] < 1.15 * phased.attrs["residual_noise"]


def test_the_object_is_centred_flat_and_labelled(phased):
    rho = phased.rho.to_numpy()
    assert rho.dtype == np.complex64
    weight = np.abs(rho) / np.abs(rho).sum()
    np.testing.assert_allclose([(weight * i).sum() for i in np.indices(SHAPE)], [n // 2 for n in SHAPE], atol=0.6)
    assert phased.solutions.shape[1:] == SHAPE
    np.testing.assert_allclose(phased.solutions.mean("solution"), rho, atol=1e-5 * np.abs(rho).max())
    assert (phased.rho_error.where(phased.support).max() < 0.5 * np.abs(rho).max()).item()
    assert "unknown from one reflection" in phased.attrs["twin"]


def test_every_start_is_told_of(phased):
    assert phased.overlap.shape == (4, 4)
    np.testing.assert_allclose(np.diag(phased.overlap), 1, atol=1e-5)
    np.testing.assert_array_equal(phased.overlap, phased.overlap.T)
    np.testing.assert_array_equal(phased.kept, phased.cluster == phased.cluster[int(np.nanargmin(phased.residual))])
    assert phased.search_residual.shape == phased.residual.shape == (4,)
    assert phased.residual.min() == phased.attrs["residual"]


def test_solutions_that_agree_have_errors_where_the_crystal_is(phased):
    inside = phased.support.to_numpy()
    assert phased.sizes["solution"] >= 2
    assert phased.phase_error.units == "rad"
    for error in (phased.phase_error.to_numpy(), phased.amplitude_error.to_numpy() / np.abs(phased.rho.to_numpy()).max()):
        known = np.isfinite(error)
        assert (known & inside).sum() > 0.8 * inside.sum()
        assert 1e-4 < np.median(error[known & inside]) < 0.2


def test_a_single_solution_has_no_errors_and_is_believed_by_no_grade():
    alone = phasing.reconstruct(peak_of(crystal()), QUICK.model_copy(update={"starts": 1}), seed=3)
    assert likeness(alone, crystal()) > 0.95
    assert "phase_error" not in alone
    assert alone.attrs["grade"] == "unreliable"
    assert "single solution" in alone.attrs["grade_why"]


def test_the_resolution_is_two_to_a_few_voxels_along_each_axis(phased):
    assert list(phased.direction.values) == ["x", "y", "z"]
    assert phased.prtf_axis.dims == ("direction", "q")
    assert phased.prtf_axis.shape == (3, *phased.prtf.shape)
    voxels = np.linalg.norm(phased.voxel_basis.to_numpy(), axis=1)
    assert (phased.resolution_nm.to_numpy() >= 1.9 * voxels).all()
    assert (phased.resolution_nm.to_numpy() <= 4 * voxels).all()


def test_the_voxels_are_dual_to_the_reciprocal_steps(phased):
    edges = phased.q_basis.to_numpy() * np.array(SHAPE)
    np.testing.assert_allclose(phased.voxel_basis.to_numpy().T @ edges, 2 * np.pi * np.eye(3), atol=1e-9)


@pytest.mark.parametrize("workers", [3, 9])
def test_any_number_of_workers_gives_the_same_bits(workers, phased):
    again = phasing.reconstruct(peak_of(crystal()), QUICK, seed=3, workers=workers)
    same = {"memory": ""}  # says how many starts ran at once
    xr.testing.assert_identical(again.assign_attrs(same), phased.assign_attrs(same))


def test_another_seed_gives_the_same_crystal_as_it_stands(phased):
    """Twin and place are rules, not luck: no alignment is needed."""
    other = phasing.reconstruct(peak_of(crystal()), QUICK, seed=8)
    assert not np.array_equal(other.rho, phased.rho)
    assert as_it_stands(other, phased) > 0.98


def test_the_twins_data_give_the_same_object(phased):
    """Inverted, conjugated, the crystal scatters the same; so the answer must be the same."""
    turned = centre(np.conj(np.roll(np.flip(uncentre(crystal())), 1, axis=(0, 1, 2))))
    other = phasing.reconstruct(peak_of(turned), QUICK, seed=5)
    assert as_it_stands(other, phased) > 0.98


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_tilted_crystal_keeps_its_tilt_in_the_ramp(axis, phased):
    """The wave vector q_peak + ramp follows the crystal; the object does not change."""
    index = np.arange(SHAPE[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    turned = crystal() * np.exp(2j * np.pi * 1.5 * index / SHAPE[axis])
    other = phasing.reconstruct(peak_of(turned.astype(np.complex64)), QUICK, seed=3)
    assert as_it_stands(other, phased) > 0.97
    moved = np.array(other.attrs["ramp"]) - phased.attrs["ramp"]
    np.testing.assert_allclose(moved, 1.5 * phased.q_basis.to_numpy()[:, axis], atol=2e-4)


def test_gaps_are_left_free():
    """Two dead lines through the peak, holding nonsense, hardly change the crystal."""
    peak = peak_of(crystal())
    valid, counts = peak.valid.to_numpy().copy(), peak.counts.to_numpy().copy()
    valid[:, 9, :] = valid[:, :, 15] = False
    counts[~valid] = 1e6
    assert likeness(phasing.reconstruct(changed(peak, counts, valid), QUICK, seed=3), crystal()) > 0.95


def test_pixels_held_out_are_never_fitted():
    """Whatever they hold, the object and its errors are the same bits; only what is told of these pixels changes."""
    peak, recipe = peak_of(crystal()), QUICK.model_copy(update={"background": 0.0, "coherence": "off", "held_out": 0.05})
    counts = peak.counts.to_numpy()
    seen = Measured(uncentre(np.sqrt(counts)), np.ones(SHAPE, bool))
    held = centre(held_out(seen, np.random.default_rng([3, 1]), share=0.05))
    assert 0.02 < held.mean() < 0.05
    one, other = (phasing.reconstruct(changed(peak, np.where(held, n, counts)), recipe, seed=3) for n in (counts, 1000))
    xr.testing.assert_identical(one[list(FITTED)].drop_attrs(deep=False), other[list(FITTED)].drop_attrs(deep=False))
    assert one.attrs["fitted_deviance"] == other.attrs["fitted_deviance"]
    assert other.attrs["free_deviance"] > 50 * one.attrs["free_deviance"]
    assert other.attrs["overfit"] == other.attrs["free_deviance"] / other.attrs["fitted_deviance"]


def test_without_pixels_held_out_nothing_is_told_of_them():
    bare = phasing.reconstruct(peak_of(crystal()), QUICK.model_copy(update={"held_out": 0.0}), seed=3)
    assert likeness(bare, crystal()) > 0.98
    assert np.isnan(bare.attrs["free_deviance"])
    assert bare.attrs["coherence"] == "not modelled"


def test_a_background_is_taken_as_it_is_told_or_else_found_and_either_is_better_than_none():
    """The tail of a crystal this small reaches the edge, so that what is found is rough."""
    peak = peak_of(crystal(), background=20.0)
    told, found, none = (
        phasing.reconstruct(peak, QUICK.model_copy(update={"background": level, "coherence": "off"}), seed=3) for level in (20.0, None, 0.0)
    )
    assert told.attrs["background"] == 20
    assert found.attrs["background"] == pytest.approx(20, rel=0.3)
    assert told.attrs["free_deviance"] < found.attrs["free_deviance"] < 0.7 * none.attrs["free_deviance"]
    assert likeness(told, crystal()) > likeness(none, crystal())
    assert likeness(found, crystal()) > 0.96


def test_the_search_at_low_resolution_finds_what_the_full_one_finds():
    shape, few = (30, 32, 36), QUICK.model_copy(update={"finalists": 2})
    rho = crystal(shape, 2.0)
    peak = peak_of(rho)
    told = []
    low, full = (
        phasing.reconstruct(peak, few.model_copy(update={"low_resolution": on}), seed=1, progress=lambda *done: told.append(done))
        for on in (True, False)
    )
    assert told == 2 * [(1, 4), (2, 4), (3, 4), (4, 4), (1, 2), (2, 2)]
    for one in (low, full):
        assert likeness(one, rho) > 0.97
        assert one.attrs["grade"] == "good"
        assert np.isfinite(one.residual).sum() == 2
        assert one.overlap.shape == (4, 4)
    assert not np.array_equal(low.rho, full.rho)


@pytest.mark.parametrize(("photons", "carried"), [(1e7, 3), (1e4, 8)], ids=["alike", "apart"])
def test_where_the_best_starts_end_apart_all_are_carried_on(photons, carried):
    peak = peak_of(crystal((30, 32, 36), 2.0), photons=photons)
    recipe = QUICK.model_copy(update={"starts": 8, "low_resolution": True, "coherence": "off"})
    found = phasing.reconstruct(peak, recipe, seed=1)
    assert np.isfinite(found.residual).sum() == carried
    assert f'"finalists":{carried}' in found.attrs["recipe"]
    asked = phasing.reconstruct(peak, recipe.model_copy(update={"finalists": 3}), seed=1)
    assert np.isfinite(asked.residual).sum() == 3


def test_progress_is_told_after_each_start():
    told = []
    recipe = QUICK.model_copy(update={"starts": 3, "finalists": 2, "coherence": "off"})
    phasing.reconstruct(peak_of(crystal()), recipe, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3), (1, 2), (2, 2)]


def test_a_users_move_runs_by_the_name_of_its_file(tmp_path):
    rule = tmp_path / "my_moves.py"
    rule.write_text(
        "from xcdi.kernels.phasing.moves import hio\n\n\ndef gentle(estimate, measured):\n    return hio(estimate, measured, beta=0.7)\n"
    )
    bare = QUICK.model_copy(update={"starts": 2})
    by_file = from_mapping(phasing.Recipe, {**bare.model_dump(exclude_none=True), "search": [[f"{rule}:gentle", 30]]})
    by_name = bare.model_copy(update={"beta": 0.7})
    ours, theirs = (phasing.reconstruct(peak_of(crystal()), recipe, seed=1) for recipe in (by_name, by_file))
    assert alignment.overlap(ours.rho, theirs.rho) > 0.97


def test_light_blurred_by_partial_coherence_is_modelled_where_it_is_asked_for():
    peak, few = peak_of(crystal(), blur=0.45), QUICK.model_copy(update={"starts": 3, "held_out": 0.03})
    off, on = (phasing.reconstruct(peak, few.model_copy(update={"coherence": word}), seed=0) for word in ("off", "gaussian"))
    assert off.attrs["coherence"] == "not modelled"
    assert on.attrs["coherence"].startswith("gaussian, 0.")
    assert on.attrs["free_deviance"] < 0.3 * off.attrs["free_deviance"]
    assert likeness(on, crystal()) > max(0.95, likeness(off, crystal()))


def test_light_that_is_not_blurred_is_not_modelled_and_the_words_say_why(phased):
    assert phased.attrs["coherence"].startswith("not modelled: 0.")
    assert "too little to matter" in phased.attrs["coherence"]
    off = phasing.reconstruct(peak_of(crystal()), QUICK.model_copy(update={"coherence": "off"}), seed=3)
    np.testing.assert_array_equal(off.rho, phased.rho)


def test_a_wrong_object_is_unreliable():
    """Two moves cannot find a crystal, and nothing that is told may say that they did."""
    hasty = phasing.Recipe(starts=4, damping=(4.0,), search=(("hio", 1),), refine=(("hio", 1),), anneal=(), average=1, coherence="off")
    wrong = phasing.reconstruct(peak_of(crystal()), hasty, seed=3)
    assert likeness(wrong, crystal()) < 0.9
    assert wrong.attrs["grade"] == "unreliable"
    assert wrong.attrs["residual"] > 2 * wrong.attrs["residual_noise"]


def test_what_is_told_of_a_start_is_told_in_the_order_of_the_starts():
    """The finalists come best first: of starts 1, 2 and 0, the last found something else."""
    rho, rng = uncentre(crystal()), np.random.default_rng(0)
    other = uncentre(np.where(crystal() != 0, np.exp(2j * np.pi * rng.random(SHAPE)), 0)).astype(np.complex64)
    measured = Measured(np.abs(forward(rho)), np.ones(SHAPE, bool))
    ends = [Estimate(each, each != 0) for each in (rho, rho * np.complex64(1.01), other)]
    searched, carried = [ends[2], ends[0], ends[1]], np.array([1, 2, 0])
    found = searching.Found(searched, np.zeros(3), carried, ends, measured, QUICK, "", "")
    choice = solutions.choose(found)
    assert choice.cluster.tolist() == [1, 0, 0]
    assert choice.kept.tolist() == [False, True, True]
    assert np.argsort(choice.residual).tolist() == [1, 2, 0]
    assert choice.overlap[1, 2] > 0.99 > 0.9 > choice.overlap[0, 1]


@pytest.mark.parametrize("voxels", ["none", "all"])
def test_supports_that_hold_nothing_or_everything_are_refused(voxels):
    rho = uncentre(crystal())
    found = [Estimate(rho, np.full(SHAPE, voxels == "all"))] * 2
    measured = Measured(np.abs(forward(rho)), np.ones(SHAPE, bool))
    with pytest.raises(XcdiError, match="support of more than half of the array, or none"):
        solutions.choose(searching.Found(found, np.zeros(2), np.arange(2), found, measured, QUICK, "", ""))


def test_a_peak_without_counts_is_refused():
    peak = peak_of(crystal())
    with pytest.raises(XcdiError, match="no valid pixel with a count"):
        phasing.reconstruct(changed(peak, valid=np.zeros(SHAPE, bool)))


def test_a_memory_that_is_too_small_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 10_000)
    with pytest.raises(XcdiError, match=r"18 x 20 x 24 voxels .* needs .* GB for one start at a time"):
        phasing.reconstruct(peak_of(crystal()), QUICK)


def test_no_more_starts_run_at_once_than_there_is_memory_for(monkeypatch, phased):
    two = memory.plan(SHAPE, 4, available=10**9, runner="fused", workers=2)
    assert two.at_once == 2
    monkeypatch.setattr(memory, "available_memory", lambda device: two.needed)
    tight = phasing.reconstruct(peak_of(crystal()), QUICK, seed=3, workers=4)
    assert tight.attrs["memory"].startswith("2 at once, 2 rounds")
    np.testing.assert_array_equal(tight.rho, phased.rho)


def test_a_first_look_sees_the_object_and_its_peak():
    seen = Measured(uncentre(np.sqrt(peak_of(crystal()).counts.to_numpy())), np.ones(SHAPE, bool))
    look, box = searching.look(seen, phasing.Recipe())
    assert look.shape == SHAPE
    assert all(true <= across <= true + 4 for true, across in zip((7, 7, 9), look.across, strict=True))
    assert look.across == tuple(box.any(axis=other).sum() for other in ((1, 2), (0, 2), (0, 1)))
    assert all(0.05 < width < 0.15 for width in look.peak.width)
