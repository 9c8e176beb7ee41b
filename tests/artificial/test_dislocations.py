import numpy as np
import pytest

from xcdi.artificial import dislocations, particle
from xcdi.artificial.instrument import reciprocal_vector, sampling
from xcdi.artificial.profiles import profile
from xcdi.artificial.streams import streams

PICO = profile("pico", screws=1, edges=1)


@pytest.fixture(scope="module")
def grown():
    return particle.build(PICO, streams(3))


def circuit(line, radius, count=400):
    """Points once around a line, right-handed about it as the displacement's angle is."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    one, other, *_ = dislocations._plane(line, line.point[None])
    return line.point + radius * (np.outer(np.cos(angle), one) + np.outer(np.sin(angle), other))


@pytest.mark.parametrize("kind", ["screw", "edge"])
def test_once_around_a_line_is_one_burgers_vector(grown, kind):
    line = next(line for line in grown.lines if line.kind == kind)
    path = circuit(line, 80.0)
    u, _ = dislocations.displaced(line, PICO, np.tile(path[None, None], (2, 2, 1, 1)))
    steps = np.diff(u[:, 0, 0], axis=1, append=u[:, 0, 0, :1])
    steps[:, np.linalg.norm(steps, axis=0).argmax()] = 0  # the jump back behind the line
    np.testing.assert_allclose(steps.sum(axis=1), line.burgers, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("kind", ["screw", "edge"])
def test_the_first_peak_sees_one_turn_of_phase(grown, kind):
    line = next(line for line in grown.lines if line.kind == kind)
    assert sampling(PICO).peak @ line.burgers == pytest.approx(2 * np.pi)


def test_the_gradient_is_that_of_the_displacement(grown):
    points = grown.axes.points()
    for line in grown.lines:
        u, gradient = dislocations.displaced(line, PICO, points)
        _, _, x, y = dislocations._plane(line, points)
        away = np.hypot(x, y) > 150
        wave = np.exp(1j * u)  # the jump behind a line is no whole period of this wave, and is left out
        for component in range(3):
            slopes = np.stack([(wave[component].conj() * g).imag for g in np.gradient(wave[component], PICO.voxel_nm)[::-1]])
            plain = away & (x > 0) & (abs(np.stack(slopes)).max(axis=0) < 0.5 / PICO.voxel_nm)
            assert plain.sum() > 1000
            np.testing.assert_allclose(slopes[:, plain], gradient[component][:, plain], atol=2e-3)


def test_no_amplitude_is_left_on_a_line(grown):
    plain = particle.build(profile("pico"), streams(3))
    for line in grown.lines:
        _, _, x, y = dislocations._plane(line, grown.axes.points())
        near = (np.hypot(x, y) < 0.3 * PICO.edge_nm) & (grown.cell == line.grain)
        assert near.any()
        assert (grown.amplitude[near] < 0.3 * plain.amplitude[near]).all()
    np.testing.assert_array_equal(plain.label, grown.label)


def test_a_wall_turns_one_side_against_the_other_by_its_tilt():
    p = profile("pico", grains=1, wall_deg=1.2, smooth_strain=0.0, tilt_deg=0.0, strain=0.0, size_nm=(900.0, 900.0, 300.0))
    grown = particle.build(p, streams(0))
    one, other, along, up = dislocations._plane(grown.lines[0], grown.axes.points() + grown.lines[0].point)
    one, other = grown.directions @ one, grown.directions @ other
    turn = np.einsum("i,ijzyx,j->zyx", other, grown.distortion, one) - np.einsum("i,ijzyx,j->zyx", one, grown.distortion, other)
    spacing = np.linalg.norm(grown.lines[0].burgers) / np.deg2rad(p.wall_deg)
    sides = [(along * side > 0.7 * spacing) & (grown.label > 0) & (abs(up) < 1.0 * spacing) for side in (-1, 1)]
    assert min(side.sum() for side in sides) > 100
    left, right = (turn[side].mean() / 2 for side in sides)
    assert abs(right - left) == pytest.approx(np.deg2rad(p.wall_deg), rel=0.15)


@pytest.mark.parametrize("hkl", [(0, 0, 2), (1, 1, -1), (2, 2, 0)])
def test_a_burgers_vector_is_a_lattice_vector_for_every_peak(hkl):
    p = profile("pico", reflections=((1, 1, 1), hkl))
    for burgers in dislocations.burgers_vectors(p):
        assert reciprocal_vector(p, (1, 1, 1)) @ burgers == pytest.approx(2 * np.pi)
        turns = reciprocal_vector(p, hkl) @ burgers / (2 * np.pi)
        assert turns == pytest.approx(round(turns), abs=1e-9)


def test_one_kind_of_line_leaves_the_other_as_it_was():
    both = particle.build(profile("pico", screws=1, edges=1), streams(3)).lines
    (edge,) = particle.build(profile("pico", edges=1), streams(3)).lines
    np.testing.assert_array_equal(both[1].point, edge.point)
    np.testing.assert_array_equal(both[1].burgers, edge.burgers)
