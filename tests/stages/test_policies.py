"""Further rounds of a search, by any policy, keep what was found, can be repeated, and end when nothing is left to gain."""

from typing import get_args

import numpy as np
import pytest

from xcdi.errors import SettingsError
from xcdi.kernels.fourier import forward, uncentre
from xcdi.kernels.phasing import alignment, quality
from xcdi.kernels.phasing.estimate import Estimate, Measured, random_start
from xcdi.kernels.phasing.fused import Fused, fits
from xcdi.kernels.phasing.inplace import InPlace
from xcdi.kernels.phasing.schedule import Damp, iterations, play
from xcdi.kernels.phasing.starts import autocorrelation_box, damp, spread
from xcdi.settings import from_mapping
from xcdi.stages import policies, recipe, searching
from xcdi.stages.policies import POLICIES, Ground, Population
from xcdi.stages.recipe import Recipe

SHAPE = (13, 17, 19)
FURTHER = [name for name in POLICIES if name != "independent"]
QUICK = Recipe(
    starts=4, finalists=1, low_resolution=False, search=(("hio", 10),), refine=(("hio", 1),), anneal=(), average=1, coherence="off"
)


def crystal(shape=SHAPE):
    """A lopsided crystal with a gentle strain, origin at index 0."""
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    body = (abs(z) < 2.7) & (abs(y) < 3.2) & (abs(x) < 3.7) & (z + y + x < 5) & (y - x < 4)
    return uncentre((body * np.exp(1j * (0.06 * x**2 - 0.05 * y * z))).astype(np.complex64))


def counted(rho, photons=1e5, seed=0):
    mean = np.abs(forward(rho)) ** 2
    counts = np.random.default_rng(seed).poisson(mean * photons / mean.sum())
    return Measured(np.sqrt(counts).astype(np.float32), np.ones(rho.shape, bool))


MEASURED = counted(crystal())
NONE = np.zeros(SHAPE, bool)


def searched(policy, *, starts=4, rounds=None, seed=5, told=None, **settings):
    """What the search finds by that policy; tells `told` of every start."""
    made = QUICK.model_copy(update={"policy": policy, "starts": starts, "rounds": rounds, **settings})
    progress = None if told is None else lambda done, of: told.append((done, of))
    return searching.search(
        MEASURED, NONE, made, seed=seed, machine=searching.Machine(workers=settings.get("workers", 1), progress=progress)
    )


@pytest.fixture(scope="module")
def first():
    return searched("independent")


@pytest.fixture(scope="module", params=FURTHER)
def further(request):
    return request.param, searched(request.param, agree=4)


def ground(**settings):
    seen, box = searching.look(MEASURED, QUICK)
    return Ground(MEASURED, box, seen.peak, QUICK.model_copy(update=settings).chosen(seen))


def population(*rhos, misfit=None):
    ends = [Estimate(rho, np.abs(rho) > 0) for rho in rhos]
    return Population(ends, np.full(len(ends), 0.1) if misfit is None else np.array(misfit))


def seeds(n, of=0):
    return np.random.SeedSequence(of).spawn(n)


def noise(seed=0):
    """Nothing like the crystal, of its energy, in its support."""
    a = np.random.default_rng(seed).standard_normal((2, *SHAPE))
    rho = np.where(np.abs(crystal()) > 0, a[0] + 1j * a[1], 0)
    return (rho * np.linalg.norm(crystal()) / np.linalg.norm(rho)).astype(np.complex64)


# what every policy keeps


def test_the_default_is_every_start_for_itself_bit_by_bit(first):
    """Played one by one, without any policy, the starts end at the same bits."""
    assert Recipe().policy == "independent"
    box = autocorrelation_box(MEASURED, threshold=QUICK.support_threshold)
    peak, chosen = spread(MEASURED), QUICK.chosen(searching.look(MEASURED, QUICK)[0])
    damped = damp(MEASURED, tuple(chosen.damping[0] * w for w in peak.width), peak.centre)
    runner = Fused if fits(SHAPE, MEASURED) else InPlace
    assert len(first.searched) == 4
    for found, misfit, seed in zip(first.searched, first.misfit, seeds(4, 5), strict=True):
        start = random_start(damped, box, np.random.default_rng(seed))
        end = play(runner(start, MEASURED, workers=1), MEASURED, chosen.searching(peak, int(box.sum())))
        np.testing.assert_array_equal(found.rho, np.where(end.support, end.rho, 0))
        assert misfit == quality.chi(found.rho, MEASURED)


def test_as_many_ends_as_starts_are_kept_best_first_each_with_its_own_misfit(further):
    _, found = further
    assert len(found.searched) == len(found.misfit) == 4
    assert (np.diff(found.misfit) >= 0).all()
    assert found.misfit.tolist() == [quality.chi(end.rho, MEASURED) for end in found.searched]
    assert found.carried.tolist() == [0]


def test_no_further_round_loses_what_the_first_one_found(first, further):
    _, found = further
    assert (found.misfit <= np.sort(first.misfit)).all()
    assert found.misfit.sum() < first.misfit.sum()


def test_the_same_seed_gives_the_same_bits_for_any_number_of_workers(further):
    policy, found = further
    again = searched(policy, agree=4, workers=3)
    for one, other in zip([*found.searched, *found.ends], [*again.searched, *again.ends], strict=True):
        np.testing.assert_array_equal(one.rho, other.rho)
        np.testing.assert_array_equal(one.support, other.support)


def test_another_seed_gives_other_bits(further):
    policy, found = further
    assert not np.array_equal(searched(policy, agree=4, seed=6).searched[0].rho, found.searched[0].rho)


def test_greedy_keeps_the_better_half_of_twice_as_many_independent_starts(first, monkeypatch):
    monkeypatch.setattr(policies, "agreeing", lambda found: 0)
    half = searched("greedy", starts=2, rounds=2)
    np.testing.assert_array_equal(half.misfit, np.sort(first.misfit)[:2])
    best = int(np.argmin(first.misfit))
    np.testing.assert_array_equal(half.searched[0].rho, first.searched[best].rho)


def test_one_round_of_any_policy_is_that_of_independent_starts(first):
    for policy in FURTHER:
        np.testing.assert_array_equal(searched(policy, rounds=1).misfit, first.misfit)


def test_rounds_end_at_the_number_asked_for(monkeypatch):
    told = []
    monkeypatch.setattr(policies, "agreeing", lambda found: 0)
    searched("tree", starts=2, rounds=3, told=told)
    assert told == 3 * [(1, 2), (2, 2)] + [(1, 1)]


# when enough is found


@pytest.mark.parametrize("policy", FURTHER)
def test_no_further_round_is_needed_when_all_agree(policy):
    rho = crystal()
    alike = population(rho, np.roll(rho, (1, -2, 3), (0, 1, 2)), 1j * rho)
    assert POLICIES[policy](alike, ground(starts=3), seeds(3)) is None


@pytest.mark.parametrize("policy", FURTHER)
def test_a_further_round_is_as_large_as_the_first_where_starts_disagree(policy):
    batch = POLICIES[policy](population(crystal(), noise(1), noise(2)), ground(starts=3), seeds(3))
    assert len(batch.starts) == 3
    assert iterations(batch.steps) > 0


def test_greedy_has_enough_when_some_agree_and_the_others_not():
    some = population(crystal(), noise(1), crystal(), crystal(), noise(2))
    assert POLICIES["greedy"](some, ground(agree=3), seeds(5)) is None
    assert POLICIES["greedy"](some, ground(agree=4), seeds(5)) is not None
    for policy in ("evolutionary", "tree"):
        assert POLICIES[policy](some, ground(agree=3), seeds(5)) is not None


def test_independent_starts_have_no_further_round():
    assert POLICIES["independent"](population(crystal(), noise(1)), ground(), seeds(2)) is None


def test_a_search_that_agrees_stops_after_one_round(monkeypatch):
    told = []
    monkeypatch.setattr(policies, "agreeing", lambda found: len(found.ends))
    searched("evolutionary", starts=3, told=told)
    assert told == [(1, 3), (2, 3), (3, 3), (1, 1)]


def test_twins_and_shifted_objects_agree_and_those_that_fit_worse_do_not():
    rho = crystal()
    twin = np.conj(np.roll(np.flip(rho), 1, axis=(0, 1, 2)))
    found = population(rho, twin, np.roll(rho, 4, axis=2), rho, noise(), misfit=[0.100, 0.104, 0.104, 0.106, 0.100])
    assert policies.agreeing(found) == 3


# children and branches


def test_the_child_of_an_object_and_its_twin_is_that_object():
    rho = crystal()
    twin = 1j * np.conj(np.roll(np.flip(rho), (3, 0, -1), axis=(0, 1, 2)))
    best, child = policies.bred(population(rho, twin, misfit=[0.1, 0.2]), threshold=0.2)
    assert best.rho is rho
    assert alignment.overlap(child.rho, rho) > 0.9999
    assert np.abs(child.rho - rho).max() < 0.02
    np.testing.assert_array_equal(child.support, best.support)
    assert child.rho.dtype == np.complex64


def test_a_child_has_the_geometric_mean_of_the_moduli_and_a_phase_in_between():
    """Of objects that lie upon each other already; the energy is that of the best."""
    rho = crystal()
    gain = 1 + 0.4 * np.cos(2 * np.pi * np.arange(19) / 19)
    turn = 0.3 * np.sin(2 * np.pi * np.arange(17) / 17)[:, None]
    _, child = policies.bred(population(rho, (rho * gain * np.exp(1j * turn)).astype(np.complex64), misfit=[0.1, 0.2]), threshold=0.2)
    modulus = np.abs(rho) * np.sqrt(gain)
    np.testing.assert_allclose(np.abs(child.rho), modulus * np.linalg.norm(rho) / np.linalg.norm(modulus), atol=0.05)
    between = np.angle(child.rho * np.conj(rho))[np.abs(rho) > 0]
    weight = gain / (1 + gain)  # the phase of a sum is nearer to that of the larger
    wanted = np.broadcast_to(weight * turn, SHAPE)[np.abs(rho) > 0]
    np.testing.assert_allclose(between - between.mean(), wanted - wanted.mean(), atol=0.03)
    assert np.linalg.norm(child.rho) == pytest.approx(np.linalg.norm(rho), rel=1e-5)


def test_a_branch_has_the_modulus_of_its_parent_and_phases_turned_a_little_or_much():
    parent = Estimate(crystal(), np.abs(crystal()) > 0)
    branches = [policies.perturbed(parent, np.random.default_rng(seed)) for seed in seeds(12)]
    for branch in branches:
        np.testing.assert_allclose(np.abs(branch.rho), np.abs(parent.rho), atol=1e-6)
        np.testing.assert_array_equal(branch.support, parent.support)
    likeness = [alignment.overlap(branch.rho, parent.rho) for branch in branches]
    assert len(set(likeness)) == 12
    assert min(likeness) < 0.7 < 0.9 < max(likeness) < 0.99


def test_a_tree_branches_the_best_starts():
    flat = [np.full(SHAPE, level, np.complex64) for level in (1, 2, 3, 4, 5)]
    found = population(*flat, misfit=[0.5, 0.3, 0.1, 0.4, 0.2])
    batch = POLICIES["tree"](found, ground(branches=2, agree=5), seeds(5))
    moduli = [float(np.abs(start.rho).mean()) for start in batch.starts]
    np.testing.assert_allclose(moduli, [3, 3, 5, 5, 2], rtol=1e-5)
    assert not np.array_equal(batch.starts[0].rho, batch.starts[1].rho)


def test_of_equal_ends_the_older_is_kept():
    one, other = population(crystal(), misfit=[0.2]), population(noise(), noise(), misfit=[0.2, 0.1])
    kept = policies.fittest(one, other, 2)
    assert kept.misfit.tolist() == [0.1, 0.2]
    assert kept.ends[1] is one.ends[0]


# settings


def test_every_policy_that_may_be_set_is_there():
    assert set(get_args(recipe.Policy)) == set(POLICIES)


def test_rounds_not_set_are_three_of_a_policy_that_has_rounds():
    look, _ = searching.look(MEASURED, QUICK)
    assert Recipe().chosen(look).rounds == 1
    assert {Recipe(policy=name).chosen(look).rounds for name in FURTHER} == {3}
    assert Recipe(policy="tree", rounds=2).chosen(look).rounds == 2


def test_rounds_of_independent_starts_are_refused():
    with pytest.raises(SettingsError, match="rounds is 2, but independent starts have one round; set policy to greedy"):
        from_mapping(Recipe, {"rounds": 2})


@pytest.mark.parametrize(("damping", "legs"), [((1.0, 1.5, 2.5, 4.0), 2), ((1.0, 2.0), 1), ((3.0,), 1)])
def test_a_search_is_taken_up_again_at_its_last_legs(damping, legs):
    look, box = searching.look(MEASURED, QUICK)
    chosen = QUICK.model_copy(update={"damping": damping}).chosen(look)
    whole, again = (steps(look.peak, int(box.sum())) for steps in (chosen.searching, chosen.searching_again))
    assert whole[-len(again) :] == again
    assert isinstance(again[0], Damp)
    assert iterations(again) == legs * 10 + 15
