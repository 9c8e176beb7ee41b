"""The fast gradient is the defined one: same values, same zeros, same bits however the work is shared."""

from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np
import pytest

from xcdi.kernels import slopes, strain

SHAPE = (11, 13, 17)
BASIS = np.array([[3.0, 1.0, 8.0], [0.5, 9.0, 1.0], [11.0, -1.0, 1.5]])
TO_SPACE = np.linalg.inv(BASIS).T
CLOSE = {np.complex64: 1e-6, np.complex128: 1e-14}  # rad


def field(dtype=np.complex128, shape=SHAPE, seed=3):
    """Every phase step, many amplitudes, and holes."""
    rng = np.random.default_rng(seed)
    rho = rng.lognormal(size=shape) * np.exp(2j * np.pi * rng.random(shape))
    return np.where(rng.random(shape) < 0.8, rho, 0).astype(dtype)


def steps(slope, basis=BASIS):
    """Phase steps per index [rad] from a gradient."""
    return np.tensordot(basis.T, slope.astype(float), axes=1)


def turned(rho, one, other):
    """Largest angle between phase steps of two gradients; where neighbours all but cancel, of what is left of them."""
    apart = np.abs(np.angle(np.exp(1j * (steps(one) - steps(other)))))
    sums = np.stack([np.abs(strain._step(rho.astype(complex), axis)) for axis in (-3, -2, -1)])
    terms = np.stack([strain._step(np.abs(rho).astype(float), axis) for axis in (-3, -2, -1)])
    return np.max(apart * sums / np.where(terms > 0, terms, 1))


def supports():
    whole = np.ones(SHAPE, bool)
    z, y, x = np.indices(SHAPE) - np.array([n // 2 for n in SHAPE])[:, None, None, None]
    scattered = np.random.default_rng(5).random(SHAPE) < 0.3
    return {"none": None, "whole": whole, "ball": z**2 + y**2 + x**2 < 20, "scattered": scattered, "empty": ~whole}


@pytest.mark.parametrize("name", supports())
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_the_values_are_those_of_the_definition(dtype, name):
    rho, support = field(dtype), supports()[name]
    inside = rho if support is None else np.where(support, rho, 0).astype(dtype)
    fast, defined = strain.gradient(rho, BASIS, support), strain.defined_gradient(inside, TO_SPACE)
    assert fast.dtype == defined.dtype
    assert turned(inside, fast, defined) < CLOSE[dtype]


def test_any_array_library_takes_the_definition_with_the_same_values(xp, as_numpy):
    rho, support = field(), supports()["ball"]
    theirs = as_numpy(strain.gradient(xp.asarray(rho), BASIS, xp.asarray(support)))
    assert turned(np.where(support, rho, 0), theirs, strain.gradient(rho, BASIS, support)) < 1e-14


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_threads_that_share_the_volume_give_the_same_bits(dtype):
    rho = field(dtype)
    whole = slopes.slopes(rho, TO_SPACE)
    parts = [(0, 4), (4, 5), (5, 11)]  # planes; each is worked out with its neighbours and without the others

    def planes(part):
        low, high = max(part[0] - 1, 0), min(part[1] + 1, SHAPE[0])
        return slopes.slopes(rho[low:high], TO_SPACE)[:, part[0] - low : part[1] - low]

    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(np.concatenate(list(pool.map(planes, parts)), axis=1), whole)


def test_the_bounding_box_of_a_support_changes_no_bit():
    rho, support = field(np.complex64), supports()["ball"]
    np.testing.assert_array_equal(slopes.slopes(rho, TO_SPACE, support), slopes.slopes(np.where(support, rho, 0), TO_SPACE))


def test_volumes_that_are_views_give_the_same_bits():
    rho = field(np.complex64, (2, *SHAPE))
    view = np.moveaxis(np.ascontiguousarray(np.moveaxis(rho, -1, 0)), 0, -1)
    np.testing.assert_array_equal(slopes.slopes(view, TO_SPACE), slopes.slopes(rho, TO_SPACE))


@pytest.mark.parametrize("value", [1 + 0j, -1 + 0j, 1j, -1j, 0.3 - 2j])
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_voxel_without_neighbours_has_no_slope(dtype, value, zero):
    """An argument of minus zero is zero, not pi."""
    rho = np.full((5, 5, 5), complex(zero, zero), dtype)
    rho[2, 2, 2] = value
    for found in (strain.gradient(rho, BASIS), strain.defined_gradient(rho, TO_SPACE)):
        assert not found.any()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_a_step_of_pi_has_one_sign(dtype, zero):
    rho = np.ones((3, 3, 4), dtype)
    rho.imag = zero
    rho[..., 1::2] *= -1
    for found in (strain.gradient(rho, np.eye(3)), strain.defined_gradient(rho, np.eye(3))):
        np.testing.assert_allclose(found[2], np.pi, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (7, 1, 2), (0, 3, 3)])
def test_thin_and_empty_volumes_have_a_gradient(shape):
    rho = field(shape=shape)
    assert slopes.slopes(rho, TO_SPACE).shape == (3, *shape)
    if rho.size:
        assert turned(rho, slopes.slopes(rho, TO_SPACE), strain.defined_gradient(rho, TO_SPACE)) < 1e-14


def test_what_is_not_a_number_outside_the_support_is_not_seen():
    rho, support = field(np.complex64), supports()["ball"]
    spoiled = np.where(support, rho, np.nan).astype(np.complex64)
    np.testing.assert_array_equal(slopes.slopes(spoiled, TO_SPACE, support), slopes.slopes(rho, TO_SPACE, support))


@nb.njit
def compiled(y, x):
    out = np.empty_like(y)
    for i in range(len(y)):
        out[i] = slopes.arctan2(y[i], x[i])
    return out


@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 3e-7), (np.float64, 1e-15)])
def test_the_compiled_angle_is_the_angle(dtype, close):
    angle = np.concatenate([np.linspace(-np.pi, np.pi, 200_001), np.arange(-3, 5) * np.pi / 4])
    size = np.random.default_rng(1).lognormal(sigma=6, size=angle.shape)
    y, x = (size * np.sin(angle)).astype(dtype), (size * np.cos(angle)).astype(dtype)
    apart = compiled(y, x) - np.arctan2(y.astype(float), x.astype(float))
    assert np.abs(apart).max() < close
