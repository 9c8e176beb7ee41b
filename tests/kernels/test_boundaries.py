"""Boundaries, triple lines and the surface: what is measured is what was made, whatever the grid."""

import numpy as np
import pytest

from xcdi.kernels.avalanches import boundaries, triple_lines
from xcdi.kernels.avalanches.grains import faces

EDGE, G, RADIUS = 50.0, 1.374, 480.0
SQUARE = EDGE * np.eye(3)[:, ::-1]
SKEWED = np.array([[0.0, 8.0, 50.0], [4.0, 53.0, 9.0], [46.0, 0.0, 5.0]])
SHAPE = (23, 25, 27)
TETRAHEDRON = 150.0 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) + np.array(
    [[9, -30, 20], [0, 41, 7], [-23, 5, 11], [2, 8, -19]]
)
NORMAL = np.array([0.8, 0.5, np.sqrt(1 - 0.89)])


def places(basis):
    return np.einsum("ai,izyx->azyx", basis, np.indices(SHAPE) - np.reshape(np.array(SHAPE) // 2, (3, 1, 1, 1)))


X, Y, Z = places(SQUARE)
BALL = X**2 + Y**2 + Z**2 < RADIUS**2


def voronoi(sites, basis=SQUARE):
    """A ball of one grain per site."""
    at = places(basis)
    squares = np.stack([((at - site[:, None, None, None]) ** 2).sum(axis=0) for site in np.asarray(sites, float)])
    return np.where((at**2).sum(axis=0) < RADIUS**2, squares.argmin(axis=0) + 1, 0).astype(np.int16)


def halves(offset, basis=SQUARE):
    at = np.einsum("a,azyx->zyx", NORMAL, places(basis))
    return np.where((places(basis) ** 2).sum(axis=0) < RADIUS**2, np.where(at > offset, 2, 1), 0).astype(np.int16)


@pytest.mark.parametrize("basis", [SQUARE, SKEWED], ids=["square", "skewed"])
def test_the_boundary_is_where_and_what_it_is(basis):
    label, at = halves(90.0, basis), places(basis)
    away = np.einsum("a,azyx->zyx", NORMAL, at) - 90.0
    rho = (1 - 0.5 * np.exp(-((away / EDGE) ** 2))) * np.exp(1j * np.where(away > 0, 1.1 - G * 4e-3 * at[1], 0.0)) * (label > 0)
    (found,) = boundaries.boundaries(label, rho, basis)
    assert (found.i, found.j) == (1, 2)
    assert np.degrees(np.arccos(found.normal @ NORMAL)) < 3, "from 1 to 2, not back"
    assert found.area == pytest.approx(np.pi * (RADIUS**2 - 90.0**2), rel=0.05)
    assert found.flatness > 0.98
    np.testing.assert_allclose(found.centroid, 90.0 * NORMAL, atol=15.0)
    assert 0.2 < found.dip < 0.6
    assert found.order < 0.75
    assert found.phase_jump == pytest.approx(1.1 - G * 4e-3 * found.centroid[1], abs=0.05)
    assert found.jump_error < 0.05
    np.testing.assert_allclose(boundaries.phase_jumps(label, rho, basis), [found.phase_jump])


def test_a_bent_boundary_has_the_area_of_the_sphere_it_is():
    label = np.where(BALL, np.where(X**2 + Y**2 + Z**2 < 320.0**2, 2, 1), 0)
    (found,) = boundaries.boundaries(label, BALL + 0j, SQUARE)
    assert found.area == pytest.approx(4 * np.pi * 320.0**2, rel=0.05)
    assert found.flatness == pytest.approx(0.0, abs=1e-9)


def test_a_groove_of_the_support_takes_little_from_the_boundary():
    """One that takes 55 % of the faces: four fifths of them are given back."""
    whole = halves(90.0)
    away = np.einsum("a,azyx->zyx", NORMAL, places(SQUARE)) - 90.0
    cut = np.where((np.abs(away) < 35) & (X**2 + Y**2 + Z**2 > 330.0**2), 0, whole)
    areas = [boundaries.boundaries(label, BALL + 0j, SQUARE)[0].area for label in (whole, cut)]
    assert 0.88 * areas[0] < areas[1] < areas[0]
    np.testing.assert_array_equal(boundaries.filled(cut)[cut > 0], cut[cut > 0])


def test_the_plane_is_not_turned_by_a_few_faces_astray():
    label = halves(90.0)
    corner = BALL & (label == 1) & (X > 100) & (Y > 260)
    (found,) = boundaries.boundaries(np.where(corner, 2, label), BALL + 0j, SQUARE)
    (plain,) = boundaries.boundaries(label, BALL + 0j, SQUARE)
    assert np.degrees(np.arccos(min(found.normal @ plain.normal, 1.0))) < 8


def test_no_dip_is_zero_and_no_contact_is_no_boundary():
    label = np.where(BALL, np.where(X > 60, 2, 1), 0)
    assert boundaries.boundaries(label, BALL + 0j, SQUARE)[0].dip == pytest.approx(0, abs=1e-9)
    label[np.abs(X - 60) < 150] = 0
    assert boundaries.boundaries(label, BALL + 0j, SQUARE) == []


@pytest.mark.parametrize("basis", [SQUARE, SKEWED], ids=["square", "skewed"])
def test_the_surface_of_every_grain_is_closed(basis):
    label = voronoi(TETRAHEDRON, basis)
    pairs, met = faces(np.pad(label, 1) + 1)  # so that the outside is a region too
    steps = met[:, 1] - met[:, 0]
    for grain in (2, 3, 4, 5):
        out = steps[pairs[:, 0] == grain].sum(axis=0) - steps[pairs[:, 1] == grain].sum(axis=0)
        assert not out.any()
    assert boundaries.surface_areas(label, basis).sum() == pytest.approx(4 * np.pi * RADIUS**2, rel=0.03)


def test_half_a_ball_has_half_its_surface():
    np.testing.assert_allclose(boundaries.surface_areas(halves(0.0), SQUARE), 2 * np.pi * RADIUS**2, rtol=0.08)


@pytest.mark.parametrize("sites", [TETRAHEDRON, TETRAHEDRON[:3], TETRAHEDRON[:2], TETRAHEDRON[:1]], ids="4321")
def test_the_graph_of_a_ball_obeys_euler(sites):
    """Points less lines and faces less cells is -1 inside a ball: Euler's formula less that of its surface."""
    label = voronoi(sites)
    lines, faces = triple_lines.triple_lines(label, SQUARE), boundaries.boundaries(label, BALL + 0j, SQUARE)
    assert triple_lines.quadruple_points(label) - len(lines) + len(faces) - label.max() == -1


@pytest.mark.parametrize("basis", [SQUARE, SKEWED], ids=["square", "skewed"])
def test_a_triple_line_is_where_and_as_long_as_it_is(basis):
    sites = np.array([[240.0, 30, 0], [-150, 210, 60], [-120, -240, 30]])
    (line,) = triple_lines.triple_lines(voronoi(sites, basis), basis)
    along = np.cross(sites[1] - sites[0], sites[2] - sites[0])
    along /= np.linalg.norm(along)
    squares = (sites**2).sum(axis=1)
    middle = np.linalg.solve(np.array([*(sites[1:] - sites[0]), along]), np.array([*(squares[1:] - squares[0]) / 2, 0.0]))
    assert line.grains == (1, 2, 3)
    assert line.length == pytest.approx(2 * np.sqrt(RADIUS**2 - middle @ middle), rel=0.07)
    assert abs(line.direction @ along) > 0.998
    np.testing.assert_allclose(line.centroid, middle, atol=0.7 * EDGE)


def test_depth_is_the_way_to_the_nearest_face():
    label = np.zeros((11, 13, 17), np.int16)
    label[1:-1, 1:-1, 1:8], label[1:-1, 1:-1, 8:-1] = 1, 2
    depth = boundaries.depth(label, np.diag([10.0, 10.0, 10.0]))
    np.testing.assert_allclose(depth[5, 6, 1:-1], [5, 15, 25, 35, 25, 15, 5, 5, 15, 25, 35, 35, 25, 15, 5])
    assert not depth[label == 0].any()
