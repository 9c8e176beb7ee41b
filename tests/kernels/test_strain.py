"""Strain: the sign of displaced atoms, known fields back, nothing from a ramp, nothing from 2 pi."""

import numpy as np
import pytest

from xcdi.kernels import geometry, strain

SHAPE = (19, 23, 29)
G = np.array([1.3, 0.2, -0.4])
UPRIGHT = geometry.lab_basis(8.0)
SKEWED = np.array([[3.0, 1.0, 8.0], [0.5, 9.0, 1.0], [11.0, -1.0, 1.5]])


def places(basis, shape=SHAPE):
    return np.tensordot(basis, np.indices(shape) - np.array([n // 2 for n in shape])[:, None, None, None], axes=1)


def lattice(basis, u):
    """Object of a lattice displaced by `u` [nm] along G, amplitude falling towards the edge."""
    x, y, z = places(basis)
    return np.exp(-(x**2 + y**2 + z**2) / 2 / 120.0**2) * np.exp(-1j * np.linalg.norm(G) * u(x, y, z))


@pytest.mark.parametrize("eps", [4e-3, -4e-3])
def test_displaced_atoms_under_tension_have_positive_strain(eps):
    """A row of atoms summed directly: wave about G, object by inverse transform, strain from its phase."""
    spacing, atoms = 5.0, np.arange(-60, 61)
    g = 2 * np.pi / spacing
    n, step = 64, 2 * np.pi / 1600.0
    q = (np.arange(n) - n // 2) * step
    wave = np.exp(-1j * (g + q)[:, None] * (spacing * atoms * (1 + eps))[None, :]).sum(axis=1)
    rho = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(wave)))[:, None, None] * np.ones((1, 3, 3))
    basis = np.array([[1600.0 / n, 0, 0], [0, 10.0, 0], [0, 0, 10.0]])
    phase_slope = strain.gradient(rho, basis)
    found = strain.distortion(phase_slope, np.array([g, 0, 0]), np.array([1.0, 0, 0]))[n // 2 - 6 : n // 2 + 7]
    assert found.mean() == pytest.approx(eps, rel=0.02)


@pytest.mark.parametrize("basis", [UPRIGHT, SKEWED], ids=["upright", "skewed"])
def test_a_known_displacement_comes_back(xp, as_numpy, basis):
    along, t1, t2 = strain.directions(G)
    r = places(basis)
    bend = 40.0  # nm
    a, b, c = (np.tensordot(d, r, axes=1) for d in (along, t1, t2))
    u = 0.05 * np.sin(a / bend) + 2e-3 * b - 1e-3 * c
    rho = xp.asarray(np.exp(-1j * np.linalg.norm(G) * u))
    slope = strain.gradient(rho, basis)
    inner = (slice(1, -1),) * 3
    expected = [0.05 / bend * np.cos(a / bend), 2e-3, -1e-3]
    for direction, known in zip((along, t1, t2), expected, strict=True):
        found = as_numpy(strain.distortion(slope, G, direction))[inner]
        np.testing.assert_allclose(found, np.broadcast_to(known, SHAPE)[inner], atol=8e-5)


def test_steps_of_nearly_pi_are_told_apart():
    rho = np.exp(1j * 3.1 * np.arange(11)) * np.ones((3, 3, 11))
    np.testing.assert_allclose(strain.gradient(rho, np.eye(3))[2], 3.1)


def test_neither_phase_offset_nor_wrap_nor_scale_changes_strain():
    rho = lattice(UPRIGHT, lambda x, y, z: 1e-5 * x * y + 4e-3 * z)
    np.testing.assert_allclose(strain.gradient(rho * 7 * np.exp(2.5j), UPRIGHT), strain.gradient(rho, UPRIGHT), atol=1e-12)


def test_a_surface_voxel_listens_to_its_inner_side():
    rho = lattice(UPRIGHT, lambda x, y, z: 2e-3 * x)
    rho[:, :, :10] = 0
    slope = strain.distortion(strain.gradient(rho, UPRIGHT), G, np.array([1.0, 0, 0]))
    np.testing.assert_allclose(slope[:, :, 10:], 2e-3, atol=1e-12)


def test_batches_are_the_same_as_one_by_one():
    pair = np.stack([lattice(UPRIGHT, lambda x, y, z: 1e-5 * x * y), lattice(UPRIGHT, lambda x, y, z: 1e-5 * z * y)])
    both = strain.gradient(pair, SKEWED)
    np.testing.assert_allclose(both[:, 1], strain.gradient(pair[1], SKEWED), atol=1e-15)


def test_directions_are_orthonormal_and_right_handed():
    frame = np.stack(strain.directions(G))
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(frame) == pytest.approx(1)
    assert frame[1] @ [0, 0, 1] == pytest.approx(0)
    with pytest.raises(ValueError, match="along the beam"):
        strain.directions(np.array([0.0, 0.0, 3.0]))


def test_unwrapping_returns_the_displacement():
    def u(x, y, z):
        return 0.06 * x + 3e-4 * y * z  # many turns across the grid, each step below pi

    rho = lattice(UPRIGHT, u)
    x, y, z = places(UPRIGHT)
    support = x**2 + y**2 + z**2 < 75.0**2
    phase, breaks = strain.unwrap(rho, support)
    found = strain.displacement(phase, G)
    known = u(x, y, z)
    assert breaks == 0
    np.testing.assert_allclose(found - found[9, 11, 14], np.where(support, known - known[9, 11, 14], np.nan), atol=1e-10)


def test_a_dislocation_has_no_phase_without_jumps():
    x, y, _ = places(UPRIGHT)
    rho = np.exp(1j * np.arctan2(y - 4.0, x - 4.0))
    assert strain.unwrap(rho, np.ones(SHAPE, bool)).breaks > 0


def test_errors_are_those_of_a_thousand_noisy_copies():
    rng = np.random.default_rng(5)
    sigma, size = 0.05, (400, 3, 3, 5)
    rho = 2.0 * np.ones(size) + sigma * (rng.normal(size=size) + 1j * rng.normal(size=size)) / np.sqrt(2)
    along = strain.directions(G)[0]
    found = strain.distortion(strain.gradient(rho, UPRIGHT), G, along)[:, 1, 1, 1:4]
    told = strain.noise_floor(strain.phase_error(np.array(2.0), np.array(sigma)), UPRIGHT, G, along)
    assert found.std() == pytest.approx(told, rel=0.1)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_few_maps_tell_their_spread_without_bias(count):
    rng = np.random.default_rng(count)
    sigma = 1 + 0.5 * np.sin(np.arange(SHAPE[0]) / 4)[:, None, None]
    found = [strain.local_spread(sigma * rng.normal(size=(count, *SHAPE)), np.ones(SHAPE, bool)) / sigma for _ in range(4)]
    assert np.median(found) == pytest.approx(1, rel=0.04)


def test_large_errors_beside_a_wall_do_not_spread_inward():
    rng, wide = np.random.default_rng(7), np.ones(SHAPE)
    wide[:, :, :3] = 30.0
    found = strain.local_spread(wide * rng.normal(size=(6, *SHAPE)), np.ones(SHAPE, bool))
    assert np.median(found[:, :, 6]) == pytest.approx(1, rel=0.15)
    assert np.median(found[:, :, 0]) == pytest.approx(30, rel=0.5)


def test_what_is_outside_has_no_spread():
    inside = np.zeros(SHAPE, bool)
    inside[5:12, 5:12, 5:12] = True
    found = strain.local_spread(np.random.default_rng(1).normal(size=(4, *SHAPE)), inside)
    assert (found[inside] > 0).all()
    assert not found[~inside].any()


def test_phase_and_ramp_that_no_data_fix_are_no_scatter():
    rho = lattice(UPRIGHT, lambda x, y, z: 1e-5 * x * y).astype(complex)
    x, y, z = places(UPRIGHT)
    inside = x**2 + y**2 + z**2 < 70.0**2
    turned = np.stack([rho, rho * np.exp(1j * (0.7 + 2e-3 * x - 1e-3 * z)), rho * np.exp(-0.4j + 1e-3j * y)])
    assert np.nanmax(strain.phase_scatter(turned, inside)) < 1e-3
    assert np.isnan(strain.phase_scatter(turned, inside)[~inside]).all()


def test_the_factor_is_refused_where_nothing_scatters():
    with pytest.raises(ValueError, match="differ"):
        strain.error_factor(np.zeros(3), np.ones(3))


def test_the_range_is_shorter_along_the_longer_voxel():
    basis = geometry.lab_basis([5.0, 10.0, 20.0])  # z, y, x
    g = np.array([0.0, 2.0, 0.0])
    for direction, edge in ((0, 20.0), (1, 10.0), (2, 5.0)):
        assert strain.reportable(basis, g, np.eye(3)[direction]) == pytest.approx(np.pi / 2 / edge)


def test_steps_near_pi_are_counted_on_the_grid_that_was_phased():
    slope = np.zeros((3, 3, 5, 7))
    slope[2] = 0.5  # along z
    inside = np.ones((3, 5, 7), bool)
    assert strain.near_limit(slope, geometry.lab_basis([4.0, 9.0, 9.0]), inside) == 0
    assert strain.near_limit(slope, geometry.lab_basis([5.0, 9.0, 9.0]), inside) == 1


def test_a_phase_that_is_no_number_ends_the_unwrapping():
    rho = np.ones((4, 5, 6), complex)
    rho[2, 2, 2] = np.nan
    assert np.isnan(strain.unwrap(rho, np.ones(rho.shape, bool)).phase[2, 2, 2])
