"""Laws of the pictures of a strain tensor: shared limits, errors printed, hatches, and what cannot be drawn is said."""

import numpy as np
import pytest
import xarray as xr

from xcdi.errors import SchemaError
from xcdi.plot import report, tensor


@pytest.fixture
def crystal():
    z, y, x = (10.0 * np.arange(n) for n in (5, 7, 11))
    rng, dims = np.random.default_rng(1), ("z", "y", "x")
    support = np.pad(np.ones((3, 5, 9), bool), 1)
    maps = {
        name: (dims, np.where(support, (k + 1) * 1e-3 * rng.standard_normal((5, 7, 11)), np.nan)) for k, name in enumerate(tensor.STRAINS)
    }
    maps |= {name: (dims, np.where(support, 1e-3 * rng.standard_normal((5, 7, 11)), np.nan)) for name in tensor.ROTATIONS}
    maps |= {f"{name}_error": (dims, np.where(support, 2e-4, np.nan)) for name in (*tensor.STRAINS, *tensor.ROTATIONS)}
    held = {"held_rms": [1e-3, 2e-3], "held_spread": [3e-3, 4e-3], "held_correlation": [0.9, 0.8], "reflections": "S1, S2", "grade": "good"}
    return xr.Dataset(maps | {"support": (dims, support)}, {"z": z, "y": y, "x": x}, attrs=held)


def limits(made):
    return [ax.images[0].get_clim() for ax in made.axes if ax.images]


@pytest.mark.parametrize("seen", [("y", "x"), ("y", "z"), ("z", "x")])
def test_all_strains_share_one_symmetric_scale_and_all_rotations_another(crystal, seen):
    found = limits(tensor.components(crystal, seen=seen))
    assert len(found) == 9
    assert len(set(found[:6])) == len(set(found[6:])) == 1
    assert found[0] != found[6]
    assert all(low == -high for low, high in found)


def test_a_panel_shows_its_own_component_in_thousandths(crystal):
    made = tensor.components(crystal, at=(50.0, 30.0, 20.0))
    shown = made.axes[1].images[0].get_array()
    cut = crystal["strain_yy"].sel(z=20.0) * 1e3
    np.testing.assert_allclose(shown.filled(np.nan), cut.values)
    assert "±0.2" in [text.get_text() for text in made.axes[1].texts]


def test_an_unreliable_tensor_is_hatched_and_says_so(crystal):
    made = tensor.components(crystal.assign_attrs(grade="unreliable"))
    assert "UNRELIABLE" in made.get_suptitle()
    assert all(any(patch.get_hatch() for patch in ax.patches) for ax in made.axes if ax.images)


def test_the_forecast_is_drawn_reflection_by_reflection(crystal):
    ax = tensor.forecast(crystal)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S1", "S2"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([3.0, 4.0, 1.0, 2.0])
    assert [text.get_text() for text in ax.texts] == ["r = 0.900", "r = 0.800"]


def test_a_reflection_that_the_others_cannot_foretell_has_words_instead_of_a_number(crystal):
    ax = tensor.forecast(crystal.assign_attrs(held_correlation=[0.9, np.nan]))
    assert [text.get_text() for text in ax.texts] == ["r = 0.900", "not foretold:\nothers in one plane"]


def test_it_is_said_where_the_plane_cuts_and_what_the_numbers_are(crystal):
    assert tensor.components(crystal, at=(0.0, 0.0, 10.0)).get_supxlabel() == "cut at $z$ = 10 nm; ±: median standard error"


def test_volume_and_equivalent_strain_have_a_picture(crystal):
    known = crystal.assign(strain_volume=crystal.strain_xx, strain_equivalent=abs(crystal.strain_xx))
    assert "tensor_volume" in report.figures({"crystal": known})
    assert "tensor_volume" not in report.figures({"crystal": crystal})
    assert "tensor_volume" in report.CAPTIONS


def test_what_cannot_be_drawn_is_said(crystal):
    with pytest.raises(SchemaError, match="without strain_xz"):
        tensor.components(crystal.drop_vars("strain_xz"))
    bare = crystal.drop_attrs().assign_attrs(held_out="no check is possible")
    with pytest.raises(SchemaError, match="no check is possible"):
        tensor.forecast(bare)
