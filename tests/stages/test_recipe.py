"""A recipe leaves nothing open once the data were looked at, and its steps are as it says."""

import numpy as np
import pytest

from xcdi.errors import SettingsError
from xcdi.kernels.phasing import moves
from xcdi.kernels.phasing.schedule import Advance, Average, Damp, Guard, Redraw, iterations
from xcdi.kernels.phasing.starts import Spread
from xcdi.settings import from_mapping, read, template
from xcdi.stages import phasing
from xcdi.stages.recipe import Look

SHAPE = (18, 20, 24)
SMALL = Look(SHAPE, Spread((0.0, 0.0, 0.0), (0.1, 0.11, 0.12)), (9, 10, 12))
LARGE = Look((60, 72, 80), Spread((0.0, 0.0, 0.0), (0.03, 0.04, 0.02)), (30, 36, 40))


@pytest.mark.parametrize("look", [SMALL, LARGE], ids=["small", "large"])
def test_a_chosen_recipe_leaves_nothing_of_the_search_open_and_choosing_again_changes_nothing(look):
    chosen = phasing.Recipe().chosen(look)
    assert [name for name, value in chosen if value is None] == ["beta", "background"]  # each move's own; from the data
    assert chosen.chosen(look) == chosen


def test_a_narrow_peak_of_a_large_object_is_searched_at_low_resolution_and_others_are_not():
    low, full = phasing.Recipe().chosen(LARGE), phasing.Recipe().chosen(SMALL)
    assert (low.low_resolution, full.low_resolution) == (True, False)
    assert np.prod(low.shape(LARGE)) <= np.prod(LARGE.shape) / 4
    assert full.shape(SMALL) == SHAPE
    assert low.starts > full.starts
    assert low.finalists < full.finalists == full.starts


def test_low_resolution_is_crop_and_none_whatever_it_saves():
    half = Look((60, 72, 80), Spread((0.0, 0.0, 0.0), (0.09, 0.09, 0.09)), (30, 36, 40))
    assert phasing.Recipe().chosen(half).shape(half) == half.shape
    assert np.prod(phasing.Recipe(low_resolution=True).chosen(half).shape(half)) < np.prod(half.shape)
    assert phasing.Recipe(low_resolution=False).chosen(LARGE).shape(LARGE) == LARGE.shape


@pytest.mark.parametrize(
    "setting",
    [
        {"starts": 5},
        {"finalists": 2},
        {"low_resolution": True},
        {"search": (("raar", 7),)},
        {"refine": (("rrr", 9),)},
        {"anneal_length": 11},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_what_is_set_is_not_chosen(setting):
    ((name, value),) = setting.items()
    assert getattr(phasing.Recipe(**setting).chosen(SMALL), name) == value


def test_no_more_starts_go_on_than_there_are():
    assert phasing.Recipe(starts=2, finalists=7).chosen(LARGE).finalists == 2


def test_the_search_damps_by_the_width_of_the_peak_leg_by_leg_and_ends_at_the_data():
    recipe = phasing.Recipe(damping=(1.0, 2.0), search=(("hio", 30),)).chosen(SMALL)
    peak = Spread((0.01, -0.02, 0.03), (0.1, 0.2, 0.05))
    steps = recipe.searching(peak, 1000)
    damped = [step for step in steps if isinstance(step, Damp)]
    assert [step.width for step in damped] == [peak.width, (0.2, 0.4, 0.1), (np.inf, np.inf, np.inf)]
    assert [step.centre for step in damped[:2]] == [peak.centre] * 2
    assert iterations(steps) == 2 * 30 + 15


def test_the_support_is_left_alone_in_the_first_leg_and_drawn_ever_sharper_then():
    recipe = phasing.Recipe().chosen(SMALL)
    steps = recipe.searching(SMALL.peak, 1000)
    drawn = [i for i, step in enumerate(steps) if isinstance(step, Redraw)]
    second = [i for i, step in enumerate(steps) if isinstance(step, Damp)][1]
    assert min(drawn) > second
    assert len(drawn) == 3 * 150 // recipe.shrink_every
    sigmas = [steps[i].sigma for i in drawn]
    assert sigmas == sorted(sigmas, reverse=True)
    assert recipe.shrink_sigma[0] > sigmas[0] > sigmas[-1] == recipe.shrink_sigma[1]
    assert {steps[i].floor for i in drawn} == {40}


def test_a_run_ends_with_guards_and_a_mean_of_annealed_objects():
    recipe = phasing.Recipe(anneal=(0.9, 0.6), average=5, worse=1.3).chosen(SMALL)
    steps = recipe.refining(1000)
    raar = [step for step in steps if isinstance(step, Advance) and step.move == "raar"]
    assert [sum(step.n for step in raar if step.beta == beta) for beta in (0.9, 0.6)] == [recipe.anneal_length] * 2
    assert [step.beta for step in raar] == sorted((step.beta for step in raar), reverse=True)
    assert [step for step in steps if isinstance(step, Guard)] == [Guard(1.3)] * 2
    assert steps[-1] == Average((Advance("raar", 8, 0.6), Advance("error_reduction", 2)), 5)
    assert iterations(steps) == 300 + 2 * recipe.anneal_length + 10 + 5 * 10


def test_pieces_add_up_to_the_moves_asked_for():
    recipe = phasing.Recipe(search=(("hio", 23), ("raar", 9)), shrink_every=10, damping=(1.0, 2.0, 3.0)).chosen(SMALL)
    assert iterations(recipe.searching(SMALL.peak, 1000)) == 3 * 32 + 15


def test_feedback_goes_to_the_moves_that_have_it():
    recipe = phasing.Recipe(beta=0.7, search=(("hio", 30), ("solvent_flip", 7))).chosen(SMALL)
    pairs = {(step.move, step.beta) for step in recipe.searching(SMALL.peak, 1000) if isinstance(step, Advance)}
    assert pairs == {("hio", 0.7), ("solvent_flip", None), ("error_reduction", None)}


@pytest.mark.parametrize("name", moves.__all__)
def test_every_move_may_be_named(name):
    named = phasing.Recipe(search=((name, 5),)).chosen(SMALL)
    assert Advance(name, 5) in named.searching(SMALL.peak, 1000)


def test_a_typo_in_a_move_is_told_with_the_nearest_name():
    with pytest.raises(SettingsError, match="offers no 'hoi'; did you mean 'hio'"):
        from_mapping(phasing.Recipe, {"search": [["hoi", 10]]})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shrink": "hio"}, "cannot be used to redraw supports"),
        ({"starts": 0}, "starts"),
        ({"held_out": 0.5}, "held_out"),
        ({"damping": []}, "damping"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        from_mapping(phasing.Recipe, values)


def test_the_template_reads_back(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(template(phasing.Recipe))
    assert read(phasing.Recipe, path) == phasing.Recipe()
