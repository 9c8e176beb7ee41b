"""A page per suite shows what was simulated: nothing on it is empty, and every axis says what it counts."""

import h5py
import numpy as np
import pytest
from matplotlib.image import imread

from xcdi.artificial import reading, simulate
from xcdi.cli.plot import plot
from xcdi.errors import XcdiError
from xcdi.plot import simulation

SUITES = sorted(reading.SUITES)


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """The smallest experiment of each suite."""
    return {suite: simulate(suite, tmp_path_factory.mktemp("simulated") / suite, profile="pico", seed=6) for suite in SUITES}


@pytest.fixture(scope="module")
def pages(experiments):
    read = {suite: reading.read_experiment(folder / "truth.h5") for suite, folder in experiments.items()}
    return {suite: (parts, simulation.draw(named, parts)) for suite, (named, parts) in read.items()}


def drawn_axes(page):
    """Axes that frame something, colour bars aside."""
    every = [*page.axes, *(child for ax in page.axes for child in ax.child_axes)]
    return [ax for ax in every if ax.axison and not hasattr(ax, "_colorbar") and type(ax).__name__ != "SecondaryAxis"]


@pytest.mark.parametrize("suite", SUITES)
def test_every_axis_has_its_label_and_every_panel_something_in_it(pages, suite):
    _, page = pages[suite]
    panels = drawn_axes(page)
    assert len(panels) >= 3
    for ax in panels:
        assert ax.get_xlabel(), f"{ax.get_title(loc='left')!r} says nothing of its x axis"
        assert ax.images or ax.lines or ax.collections, f"{ax.get_title(loc='left')!r} is empty"


@pytest.mark.parametrize("suite", SUITES)
def test_no_panel_is_left_out_where_all_files_are_there(pages, suite):
    assert all(ax.axison for ax in pages[suite][1].axes)


@pytest.mark.parametrize("suite", SUITES)
def test_the_command_writes_a_picture_as_wide_as_a_screen(experiments, suite, tmp_path, capsys):
    assert plot([experiments[suite]], tmp_path) == 0
    picture = imread(tmp_path / f"{suite}_{suite}.png")
    assert 1200 <= picture.shape[1] <= 1800
    assert picture.std() > 0.05
    assert f"{suite}_{suite}.png" in capsys.readouterr().out


def test_the_rocking_curve_is_that_without_noise_within_noise(pages):
    """Photons of the truth and counts of the files are of the same pixels, whatever is masked or lies."""
    curve = pages["particle"][0]["rocking"]
    bright = curve["clean"] > 1000
    assert abs(float((curve["counts"] / curve["clean"])[bright.values].mean()) - 1) < 0.03


def test_the_true_map_falls_across_an_event_by_its_drop(pages):
    """The map is in units of its contrast, in which the drop of an event is measured."""
    parts, _ = pages["particle"]
    plane, events = parts["correlation"]["two_time"][0].values, parts["events"]
    k = int(np.nanargmax(events["drop"].values))
    frame = int(events["frame"][k])
    assert 1 - plane[frame - 1, frame] == pytest.approx(float(events["drop"][k]), abs=0.1)


def test_the_law_of_sizes_is_followed_within_the_noise_of_counting(pages):
    parts, _ = pages["catalogue"]
    size, law = np.sort(parts["catalogue"]["size"].values), parts["law"]
    share = 1 - np.arange(size.size) / size.size
    assert np.abs(np.interp(size, law["size"], law["ccdf"]) - share).max() < 2 / np.sqrt(size.size)


def test_the_axes_of_a_strain_map_are_symmetric_about_zero(pages):
    for suite in ("particle", "crystal"):
        (strain,) = {ax.images[0].get_clim() for ax in pages[suite][1].axes if ax.get_title(loc="left").startswith("strain")}
        assert strain[0] == -strain[1] < 0


def test_without_raw_files_the_truth_is_drawn_and_their_panels_say_so(experiments, tmp_path):
    alone = tmp_path / "truth.h5"
    alone.write_bytes((experiments["particle"] / "truth.h5").read_bytes())
    suite, parts = reading.read_experiment(alone)
    assert "frame" not in parts
    words = [text.get_text() for ax in simulation.draw(suite, parts).axes for text in ax.texts]
    assert "no raw files of the series" in words


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """An experiment without events whose detector writes 255 both for many photons and for no pixel."""
    folder = simulate("particle", tmp_path_factory.mktemp("quiet"), profile="pico", seed=6, variant="rollover", events=False, frames=20)
    return reading.read_experiment(folder / "truth.h5")[1]


def test_an_experiment_in_which_nothing_happens_has_a_page(quiet):
    words = [text.get_text() for ax in simulation.particle(quiet).axes for text in ax.texts]
    assert "no event" in words


def test_gaps_and_beamstop_are_grey_whatever_number_they_hold(quiet, pages):
    for frame in ("frame", "series_frame"):
        np.testing.assert_array_equal(quiet[frame]["counts"].isnull(), pages["particle"][0][frame]["counts"].isnull())
        assert 0 < int(quiet[frame]["counts"].isnull().sum()) < quiet[frame]["counts"].size / 2


def test_a_folder_without_a_truth_is_named_in_one_line(tmp_path, capsys):
    assert plot([tmp_path], None) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{tmp_path}: holds no truth.h5" in said


def test_a_file_that_is_neither_truth_nor_result_is_named_in_one_line(tmp_path, capsys):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["something"] = 1
    assert plot([tmp_path / "other.h5"], None) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "holds no result of xcdi" in said


def test_a_truth_of_an_unknown_suite_says_which_there_are(tmp_path):
    with h5py.File(tmp_path / "truth.h5", "w") as file:
        file["seed"], file["config"] = 1, '{"suite": "weather"}'
    with pytest.raises(XcdiError, match=r"'weather'.*catalogue"):
        reading.read_experiment(tmp_path / "truth.h5")
