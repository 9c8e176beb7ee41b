"""One state of a crystal is laid upon another, whatever slipped in between."""

import numpy as np
import pytest

from xcdi.kernels import boundary_motion, registration

SHAPE = (31, 37, 41)


def places():
    return np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")


def lattice(cut=0.0, slip=0.0):
    """A lopsided ball of two grains that meet at an oblique plane moved by `cut` voxels; the second is tilted and slips."""
    z, y, x = places()
    away = (x + 0.5 * y + 0.3 * z) / np.sqrt(1.34) - cut
    body = 1 / (1 + np.exp((np.sqrt(z**2 + 1.3 * y**2 + x**2 + 0.05 * x * y * (x > 0)) - 9) / 0.7))
    phase = 0.004 * x * y - 0.05 * z + np.where(away > 0, 0.12 * y + 1.2 - slip, -0.05 * y)
    return body * (1 - 0.5 * np.exp(-(away**2))) * np.exp(1j * phase), np.where(body > 0.4, np.where(away > 0, 2, 1), 0)


def changed(rho, shift, twin, ramp=(0.03, -0.02, 0.05), phase=1.1):
    z, y, x = places()
    there = registration.moved(rho, shift) * np.exp(1j * (ramp[0] * z + ramp[1] * y + ramp[2] * x + phase))
    return registration.turned(there) if twin else there


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("shift", [(0, 0, 0), (3, -2, 1), (1.37, -2.61, 0.48)])
def test_a_moved_twinned_turned_and_tilted_copy_comes_back(shift, twin):
    rho, _ = lattice()
    found = registration.register(changed(rho, shift, twin), rho)
    back = registration.apply(changed(rho, shift, twin), found)
    assert found.twin == twin
    assert found.margin > registration.AMBIGUOUS
    np.testing.assert_allclose(found.shift, -np.array(shift), atol=0.02)
    assert found.overlap > 0.9999
    np.testing.assert_allclose(back, rho, atol=0.03)  # a ramp moves the band against its edge


def test_the_ramp_that_was_taken_off_is_kept():
    rho, _ = lattice()
    found = registration.register(changed(rho, (1.37, -2.61, 0.48), False), rho)
    np.testing.assert_allclose(found.ramp, (0.03, -0.02, 0.05), atol=1e-4)


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("slip", [1.0, -2.0, np.pi])
def test_a_crystal_with_a_slipped_grain_is_still_registered(slip, twin):
    rho, label = lattice()
    after, _ = lattice(slip=slip)
    found = registration.register(changed(after, (1.37, -2.61, 0.48), twin), rho)
    assert found.twin == twin
    np.testing.assert_allclose(found.shift, (-1.37, 2.61, -0.48), atol=0.1)
    ratio = registration.apply(changed(after, (1.37, -2.61, 0.48), twin), found) * rho.conj()
    jump, error = boundary_motion.jump_change(ratio, label, label, (1, 2))
    assert np.angle(np.exp(1j * (jump + slip))) == pytest.approx(0, abs=0.05)
    assert error < 0.1


def test_noise_moves_it_by_the_error_it_states():
    rho, _ = lattice()
    rng = np.random.default_rng(5)
    off = []
    for _ in range(5):
        noisy = rho + 0.05 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)) * (np.abs(rho) > 0.1)
        slipped = changed(noisy * np.where(lattice()[1] == 2, np.exp(1j), 1), (0.4, 1.3, -0.7), False)
        found = registration.register(slipped, rho)
        off.append((found.shift - np.array([-0.4, -1.3, 0.7])) / found.shift_error)
    assert 0.2 < np.sqrt(np.mean(np.square(off))) < 2.5


def test_registrations_follow_one_another():
    rho, _ = lattice()
    second, third = changed(rho, (0.7, 1.1, -0.4), True), changed(rho, (-1.2, 0.3, 2.2), False, ramp=(-0.01, 0.04, 0.02))
    step = registration.register(third, second)
    both = registration.apply(registration.apply(third, step), registration.register(second, rho))
    once = registration.apply(third, registration.register(third, rho))
    np.testing.assert_allclose(both, once, atol=0.04)


def test_a_centrosymmetric_crystal_has_no_hand():
    z, y, x = places()
    ball = np.exp(-(z**2 + y**2 + x**2) / 30).astype(complex)
    assert registration.register(ball, ball).margin < registration.AMBIGUOUS


@pytest.mark.parametrize("bright", [0.2, 6.0])
def test_brightness_moves_nothing(bright):
    rho, _ = lattice()
    after, _ = lattice(cut=1.5, slip=1.0)
    plain, found = (registration.register(factor * changed(after, (1.37, -2.61, 0.48), False), rho) for factor in (1.0, bright))
    np.testing.assert_allclose(found.shift, plain.shift, atol=1e-3)
    np.testing.assert_allclose(found.shift_error, plain.shift_error, rtol=0.02)


def test_the_error_of_a_ramp_is_what_it_varies_by_from_part_to_part():
    """Each grain has a slope of its own, which the scatter of single voxels about the ramp does not tell of."""
    rng, off, told = np.random.default_rng(8), [], []
    z, y, x = places()
    body = z**2 + y**2 + x**2 < 12**2
    for _ in range(12):
        slopes = 0.01 * rng.normal(size=(2, 2, 2))[(z > 0).astype(int), (y > 0).astype(int), (x > 0).astype(int)]
        ratio = body * np.exp(1j * slopes * x)
        off.append(registration.levelled(ratio)[0][2])
        told.append(registration.ramp_error(ratio)[2])
    assert 0.5 < np.sqrt(np.mean(np.square(off))) / np.sqrt(np.mean(np.square(told))) < 1.5
    assert np.isnan(registration.ramp_error(np.pad(np.ones((2, 2, 2), complex), 2))).all()
