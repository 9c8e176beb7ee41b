"""Units: what is converted keeps its meaning, and every shipped beamline is written in units xcdi knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xcdi.beamline import beamline_names, load_beamline
from xcdi.errors import SchemaError
from xcdi.io import units
from xcdi.io.units import convert

SAME_KIND = [(a, b) for a in units.UNITS for b in units.UNITS if units.UNITS[a].kind == units.UNITS[b].kind]


@pytest.mark.parametrize(("one", "other"), SAME_KIND)
def test_there_and_back_is_the_same(one, other):
    np.testing.assert_allclose(convert(convert(3.7, one, other), other, one), 3.7, rtol=1e-14)


@given(st.floats(0.05, 500.0))
def test_a_wavelength_is_the_energy_it_comes_from(energy):
    np.testing.assert_allclose(convert(units.HC_KEV_NM / energy, "nm", "keV"), energy, rtol=1e-12)
    np.testing.assert_allclose(convert(units.HC_KEV_NM / energy * 10, "Angstrom", "eV"), 1e3 * energy, rtol=1e-12)


def test_half_a_turn():
    assert float(convert(np.pi, "radians", "deg")) == pytest.approx(180.0)
    assert float(convert(250.0, "ms", "s")) == 0.25
    assert float(convert(75.0, "µm", "m")) == pytest.approx(75e-6)


def test_what_measures_something_else_is_refused():
    with pytest.raises(SchemaError, match="'s' measures time, expected length as 'm'"):
        convert(1.0, "s", "m")


@pytest.mark.parametrize("name", beamline_names())
def test_every_beamline_is_written_in_known_units(name):
    home = load_beamline(name)
    layout = [getattr(home.layout, part) for part in ("time", "monitor", "frame_time", "count_time")]
    quantities = [*home.quantities.values(), *home.motors.values(), *(q for q in layout if q)]
    assert [q.units for q in quantities if not units.known(q.units)] == []


@pytest.mark.parametrize("name", sorted(set(beamline_names()) - {"demo_speckle"}))  # statistical speckle comes from no place
def test_every_circle_turns_with_a_motor_of_its_beamline(name):
    home = load_beamline(name)
    circles = [c.motor for c in (*home.geometry.sample, *home.geometry.detector)]
    assert set(circles) <= set(home.motors)
