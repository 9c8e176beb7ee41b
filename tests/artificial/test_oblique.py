import numpy as np
import pytest

from xcdi.artificial import oblique, scattering
from xcdi.artificial.instrument import sampling
from xcdi.artificial.particle import Axes
from xcdi.artificial.profiles import profile

PICO = profile("pico")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def complex_noise(rng, shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def brute_force(rho, axes, q):
    return np.exp(-1j * q @ axes.points().reshape(-1, 3).T) @ rho.ravel()


def uneven(rng):
    """Axes without a common step, and steps in q without a common plane."""
    return Axes(*(rng.standard_normal(n) * 30 for n in (7, 5, 6))), rng.standard_normal((3, 3))


@pytest.mark.parametrize("work", [oblique.WORK, 3000])
def test_it_is_the_sum_voxel_by_voxel(rng, monkeypatch, work):
    monkeypatch.setattr(oblique, "WORK", work)  # the small one cuts the pixels into blocks that nothing divides
    axes, (offset, row, column) = uneven(rng)
    rho = complex_noise(rng, (6, 5, 7))
    n, m = np.arange(11) - 5, np.array([-3.5, 0, 1, 2, 40])
    field = oblique.amplitude(rho, axes, offset, row, column, n, m)
    direct = brute_force(rho, axes, offset + n[:, None, None] * row + m[:, None] * column)
    np.testing.assert_allclose(field, direct, rtol=0, atol=1e-10 * abs(direct).max())


def test_a_crystal_of_displaced_scatterers_is_its_smooth_object(rng):
    """Scatterers R of a lattice, moved by u: exp(-i (G + q).(R + u)) one by one is the far field of exp(-i G.u) at R + u."""
    edges = rng.standard_normal((3, 3)) * 0.3 + np.eye(3) * 0.4  # nm, triclinic
    peak = 2 * np.pi * np.linalg.inv(edges) @ [1, 2, -1]  # G.R is a multiple of 2 pi
    lattice = rng.integers(-300, 300, (500, 3)) @ edges
    moved = 0.05 * np.sin(lattice / 40 @ rng.standard_normal((3, 3)))
    weight = rng.random(500)
    steps = np.array([[-2.43, 0.31, 1.1], [0.4, 2.2, 0.3], [4.1, -0.2, 1.9]]) * 1e-3  # columns; no two at right angles
    n, m = np.arange(13) - 6, np.arange(11) - 5
    for angle in (-3, 0, 2):
        q = angle * steps[:, 0] + n[:, None, None] * steps[:, 1] + m[:, None] * steps[:, 2]
        direct = np.exp(-1j * (peak + q) @ (lattice + moved).T) @ weight
        # every scatterer is an object of one voxel, at R + u
        frames = [
            oblique.amplitude(
                np.full((1, 1, 1), w * np.exp(-1j * peak @ u)), Axes(*r[:, None]), angle * steps[:, 0], steps[:, 1], steps[:, 2], n, m
            )
            for r, u, w in zip(lattice + moved, moved, weight, strict=True)
        ]
        field = np.sum(frames, axis=0)
        np.testing.assert_allclose(abs(field) ** 2, abs(direct) ** 2, rtol=0, atol=1e-6 * (abs(direct) ** 2).max())
        np.testing.assert_allclose(field, direct, rtol=0, atol=1e-6 * abs(direct).max())


def test_where_the_sum_separates_it_is_that_of_scattering(rng):
    axes = Axes(*((np.arange(n) - n // 2) * 25.0 for n in (9, 7, 8)))
    rho = complex_noise(rng, (8, 7, 9))
    s, pixels = sampling(PICO), np.arange(24) - 12
    offset, row, column = 1.5 * s.steps[:, 0], s.steps[:, 1], s.steps[:, 2]
    assert not np.any(row[[0, 2]])
    x, z = (np.exp(-1j * np.outer(place, offset[i] + pixels * column[i])) for i, place in ((0, axes.x), (2, axes.z)))
    y = np.exp(-1j * np.outer(pixels * row[1], axes.y))
    expected = np.einsum("zyx,xc,zc,ry->rc", rho, x, z, y, optimize=True)
    field = oblique.amplitude(rho, axes, offset, row, column, pixels, pixels)
    separable = scattering.amplitude(rho, scattering.waves(s, axes, offset, pixels, pixels))
    for other in (expected, separable):
        np.testing.assert_allclose(field, other, rtol=0, atol=1e-10 * abs(expected).max())


def test_empty_surroundings_change_nothing(rng):
    axes, (offset, row, column) = uneven(rng)
    rho = np.zeros((6, 5, 7), complex)
    rho[2:4, 1:2, 3:6] = complex_noise(rng, (2, 1, 3))
    field = oblique.amplitude(rho, axes, offset, row, column, [0, 1], [0, 1, 2])
    direct = brute_force(rho, axes, offset + np.arange(2)[:, None, None] * row + np.arange(3)[:, None] * column)
    np.testing.assert_allclose(field, direct, atol=1e-12)
    np.testing.assert_array_equal(oblique.amplitude(0 * rho, axes, offset, row, column, [0], [0, 1]), np.zeros((1, 2)))


def test_the_image_is_the_inverse_sum(rng):
    field = complex_noise(rng, (14, 15, 16))
    steps = rng.standard_normal((3, 3)) * 0.02
    x, y, z = (np.linspace(-40, 300, n) for n in (4, 5, 6))  # also beyond the field of view
    index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in field.shape), indexing="ij"), axis=-1)
    q = index.reshape(-1, 3) @ steps.T
    direct = np.exp(1j * Axes(x, y, z).points() @ q.T) @ field.ravel() / field.size
    np.testing.assert_allclose(oblique.image(field, steps, x, y, z), direct, rtol=0, atol=3e-5 * abs(direct).max())


def test_single_precision_is_kept_to_single_precision(rng):
    axes, (offset, row, column) = uneven(rng)
    rho = complex_noise(rng, (6, 5, 7))
    args = (axes, offset, row, column, np.arange(5), np.arange(4))
    exact, single = oblique.amplitude(rho, *args), oblique.amplitude(rho.astype(np.complex64), *args)
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, exact, rtol=0, atol=2e-6 * abs(exact).max())
