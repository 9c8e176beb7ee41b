"""Pictures of slips: every event has its arrow and its angle, and what has none is said."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.plot import slips

MODES = ["shear", "opening", "unknown", "shear"]


def found(vector=True):
    turn = np.array([0.3, 1.9, 4.0, 5.5])
    ends = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1) if vector else np.full((4, 3), np.nan)
    return xr.Dataset(
        {
            "time": ("event", [3.0, 9.5, 20.0, 31.0], {"units": "s"}),
            "slip": (("event", "axis"), ends, {"units": "nm"}),
            "slip_error": (("event", "axis"), np.full((4, 3), 0.05), {"units": "nm"}),
            "direction_error": ("event", np.full(4, 2.0), {"units": "deg"}),
            "shear_angle": ("event", [5.0, 88.0, 40.0, np.nan], {"units": "deg"}),
            "shear_angle_error": ("event", [4.0, 5.0, 9.0, np.nan], {"units": "deg"}),
            "mode": ("event", MODES, {"units": ""}),
        },
        attrs={"plane_axes": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "g": [0.8, 1.1, 0.0, 1.6, 0.0, 0.0, 0.8, -1.1, 0.0]},
    )


def test_every_slip_is_an_arrow_to_its_end_in_the_colour_of_its_mode():
    ax = slips.arrows(found())
    drawn = [note for note in ax.texts if not note.get_text()]
    ends = [note.xy for note in drawn]
    np.testing.assert_allclose(ends, found().slip.values[:, :2])
    colours = [note.arrow_patch.get_edgecolor() for note in drawn]
    assert colours[0] == colours[3]
    assert len(set(colours)) == len(set(MODES))


def test_every_reflection_is_named_on_its_line():
    ax = slips.arrows(found())
    names = {note.get_text(): note.get_position() for note in ax.texts if note.get_text()}
    assert list(names) == ["G1", "G2", "G3"]
    for place, g in zip(names.values(), np.reshape(found().attrs["g"], (-1, 3))[:, :2], strict=True):
        assert abs(place[0] * g[1] - place[1] * g[0]) < 1e-9
        assert max(map(abs, place)) < ax.get_xlim()[1]


def test_the_legend_of_the_angles_counts_the_modes():
    ax = slips.angles(found())
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shear (2)", "opening (1)", "unknown (1)"]


def test_without_a_model_the_picture_says_so():
    made = slips.overview(found(vector=False))
    assert "no slip vector" in [text.get_text() for text in made.axes[0].texts]


def test_something_else_is_refused():
    with pytest.raises(SchemaError, match="make them with the pipeline slip_vectors"):
        slips.overview(xr.Dataset())
