"""Lines of phase residues: they balance, they end at the surface or nowhere, and their charge is that of the displacement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xcdi.kernels import dislocations, geometry

SHAPE = (13, 17, 19)
EDGE = 20.0
BASIS = geometry.lab_basis([EDGE] * 3)  # index z, y, x
Z, Y, X = np.meshgrid(*(EDGE * (np.arange(n) - n // 2) for n in SHAPE), indexing="ij")
BALL = X**2 / 180**2 + Y**2 / 150**2 + Z**2 / 110**2 < 1


def screw(along, point, *, turns=1, soft=30.0):
    """Object of a lattice whose displacement along G gains `turns` periods, right-handed about `along` through `point`."""
    along = np.asarray(along, float) / np.linalg.norm(along)
    one = np.cross(along, [0.3, 0.5, -0.8])
    one /= np.linalg.norm(one)
    other = np.cross(along, one)
    away = np.stack([X, Y, Z], axis=-1) - point
    a, b = away @ one, away @ other
    return BALL * (1 - np.exp(-(a**2 + b**2) / soft**2)) * np.exp(-1j * turns * np.arctan2(b, a))


def found(rho, support=BALL, basis=BASIS):
    chains = dislocations.chains(dislocations.residues(rho, dislocations.interior(support)))
    return [line for line in dislocations.lines(chains, rho.shape, basis) if line.length > 4 * EDGE]


def noise(seed, shape=(7, 5, 11)):
    rng = np.random.default_rng(seed)
    return np.exp(2j * np.pi * rng.random(shape)), rng.random(shape) < 0.9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_what_flows_into_a_cube_flows_out(seed):
    rho, _ = noise(seed)
    residue = dislocations.residues(rho, np.ones(rho.shape, bool)).astype(int)
    assert residue.any()
    outflow = sum(np.diff(residue[a], axis=a)[tuple(slice(0, n - 1) for n in rho.shape)] for a in range(3))
    assert not outflow.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_line_closes_or_leaves_but_never_ends_inside(seed):
    rho, inside = noise(seed)
    residue = dislocations.residues(rho, inside)
    chains = dislocations.chains(residue)
    assert sum(len(chain.nodes) for chain in chains) == np.abs(residue.astype(int)).sum()
    padded = np.pad(inside, 1)
    for chain in chains:
        steps = np.abs(np.diff(chain.nodes, axis=0, append=chain.nodes[:1])).max(axis=1)
        assert steps[: None if chain.closed else -1].max(initial=0) <= 2
        for node in () if chain.closed else chain.nodes[[0, -1]]:
            low = np.floor(node - 0.5).astype(int)  # cubes on both sides of the plaquette
            around = padded[tuple(slice(n + 1, n + 3 + (v % 1 == 0)) for n, v in zip(low, node, strict=True))]
            assert not around.all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_conjugate_winds_the_other_way(seed):
    rho, inside = noise(seed)
    np.testing.assert_array_equal(dislocations.residues(rho.conj(), inside), -dislocations.residues(rho, inside))


def test_a_plaquette_counts_only_if_its_four_corners_are_inside():
    rho, _ = noise(3)
    inside = np.ones(rho.shape, bool)
    inside[3, 2, 5] = False
    less, all_ = dislocations.residues(rho, inside), dislocations.residues(rho, inside | True)
    assert not less[0, 3, 1:3, 4:6].any()
    assert not less[1, 2:4, 2, 4:6].any()
    assert not less[2, 2:4, 1:3, 5].any()
    changed = np.argwhere(less != all_)
    assert len(changed) > 0
    assert (np.abs(changed[:, 1:] - (3, 2, 5)) <= 1).all()


@pytest.mark.parametrize("turns", [1, -1])
@pytest.mark.parametrize("along", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0.3, 0.2, 0.9)])
def test_a_screw_is_found_with_its_place_direction_and_the_sign_of_its_displacement(along, turns):
    along, point = np.array(along) / np.linalg.norm(along), np.array([27.0, -14.0, 9.0])
    (line,) = found(screw(along, point, turns=turns))
    assert line.charge == turns
    assert not line.closed
    assert line.direction @ along > 0.98
    away = line.nodes - point
    assert np.linalg.norm(away - np.outer(away @ along, along), axis=1).max() < EDGE
    reach = np.ptp(away @ along)
    assert line.length == pytest.approx(reach + EDGE, rel=0.1)


def test_the_twin_crystal_shows_the_other_charge_at_the_mirrored_place():
    rho = screw((0, 0, 1), (27.0, -14.0, 0.0))
    (line,) = found(rho)
    (twin,) = found(rho[::-1, ::-1, ::-1].conj(), BALL[::-1, ::-1, ::-1])
    assert twin.charge == -line.charge
    np.testing.assert_allclose(twin.centroid, -line.centroid, atol=1e-6)


def test_the_charge_does_not_depend_on_the_order_of_the_indices():
    rho = screw((0.3, 0.2, 0.9), (27.0, -14.0, 9.0))
    turned = found(rho.transpose(2, 1, 0), BALL.transpose(2, 1, 0), BASIS[:, ::-1])
    (line,), (same,) = found(rho), turned
    assert same.charge == line.charge == 1
    np.testing.assert_allclose(same.centroid, line.centroid, atol=EDGE / 2)


def test_a_loop_is_closed_and_as_long_as_its_circumference():
    radius = 80.0
    rim = np.hypot(X, Y) - radius
    rho = np.exp(-1j * np.arctan2(Z - 4.0, rim + 3.0)) * np.exp(1j * np.arctan2(Z - 4.0, np.hypot(X, Y) + radius))
    (line,) = found(BALL * rho)
    assert line.closed
    assert abs(line.direction[2]) > 0.99
    assert line.length == pytest.approx(2 * np.pi * (radius - 3), rel=0.12)
    np.testing.assert_allclose(line.centroid, [0, 0, 4.0], atol=EDGE)


def test_a_slanted_line_is_not_as_long_as_its_staircase():
    (line,) = found(screw((1, 1, 0), (5.0, 3.0, 2.0)))
    steps = dislocations.chains(dislocations.residues(screw((1, 1, 0), (5.0, 3.0, 2.0)), BALL))
    stairs = max(np.abs(np.diff(chain.nodes, axis=0)).sum() for chain in steps) * EDGE
    assert line.length < 0.85 * stairs


def test_a_dark_tunnel_along_the_core_does_not_hide_the_line():
    rho = screw((0, 0, 1), (27.0, -14.0, 0.0))
    tunnel = BALL & (np.hypot(X - 27.0, Y + 14.0) > EDGE)
    assert not found(rho * tunnel, tunnel)[1:]
    (line,) = found(rho * tunnel, tunnel)
    assert line.charge == 1
    assert np.hypot(*(line.centroid[:2] - (27.0, -14.0))) < 1.5 * EDGE


def test_a_gap_of_a_voxel_is_bridged():
    residue = dislocations.residues(screw((0, 0, 1), (27.0, -14.0, 0.0)), BALL)
    residue[:, 6] = 0
    (chain,) = dislocations.chains(residue)
    assert np.ptp(chain.nodes[:, 0]) > 8
    residue[:, 4:9] = 0
    assert len(dislocations.chains(residue)) == 2


def test_a_smooth_crystal_has_no_lines():
    assert found(BALL * np.exp(1j * (0.02 * X + 1e-4 * X * Y))) == []


def test_the_grains_are_named_that_meet_at_the_nearest_face():
    label = np.zeros((3, 5, 13), int)
    label[:, :, 1:7], label[:, :, 7:12] = 1, 2
    label = np.pad(label, ((5, 5), (5, 5), (0, 0)), mode="edge")
    pair = dislocations.meeting(label, BASIS)
    assert pair[:, 6, 7, 1].tolist() == [0, 1]
    assert pair[:, 6, 7, 5].tolist() == [1, 2]
    assert pair[:, 6, 7, 11].tolist() == [0, 2]


@pytest.mark.parametrize("closed", [False, True])
def test_cutting_loses_no_node_and_makes_no_short_part(closed):
    nodes = np.random.default_rng(5).random((41, 3))
    near = np.isin(np.arange(41), [*range(4), 9, *range(17, 25), 30, 31, *range(37, 41)])
    parts = dislocations.cut(dislocations.Chain(nodes, closed), near)
    assert sorted(map(tuple, np.concatenate([part.nodes for part, _ in parts]))) == sorted(map(tuple, nodes))
    assert min(len(part.nodes) for part, _ in parts) >= 4
    assert [bound for _, bound in parts].count(True) == (2 if closed else 3)
    assert not any(part.closed for part, _ in parts)
