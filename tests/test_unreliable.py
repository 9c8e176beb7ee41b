"""A scan whose object cannot be believed: it is phased, drawn and reported, and no statistics are made of it."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

import xcdi
from xcdi import artificial
from xcdi.cli import main
from xcdi.stages.strain import STATISTICS

HASTY = ("recipe.starts=2", "recipe.anneal=[]", 'recipe.search=[["error_reduction", 2]]', 'recipe.refine=[["error_reduction", 2]]')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Result of a particle that is phased far too hastily, and what was said of it."""
    home = tmp_path_factory.mktemp("unreliable")
    artificial.simulate("particle", home / "raw", profile="pico", seed=3, frames=8)
    words = [word for setting in HASTY for word in ("--set", setting)]
    with redirect_stdout(StringIO()) as said:
        assert main(["run", "bcdi_strain", str(home / "raw"), "particle_rocking", "--beamline", "demo", "--out", str(home), *words]) == 0
    return home / "particle_rocking_bcdi_strain.h5", said.getvalue()


def test_the_result_is_whole_and_carries_no_statistics(made):
    result = xcdi.load(made[0])
    assert result["object"].attrs["grade"] == "unreliable"
    crystal, grains, lines = (result[name] for name in ("crystal", "grains", "dislocations"))
    assert not set(STATISTICS) & set(crystal.attrs)
    assert "no_statistics" in crystal.attrs
    assert np.isnan(grains.strain).all()
    assert not lines.sizes["line"]


def test_it_can_be_drawn(made, tmp_path):
    assert main(["plot", str(made[0]), "--out", str(tmp_path)]) == 0
    assert list(tmp_path.glob("*.png"))


def test_the_line_of_the_scan_says_so_and_why(made):
    assert "no strain: the object is unreliable" in made[1]
    assert "unreliable: " in made[1]
