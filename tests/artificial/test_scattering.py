from dataclasses import replace

import numpy as np
import pytest

from xcdi.artificial import particle, scattering, slips
from xcdi.artificial.align import on_grid
from xcdi.artificial.instrument import Sampling, beam_centre, rotation_about_y, sampling, wavelength_nm
from xcdi.artificial.profiles import profile
from xcdi.artificial.streams import streams
from xcdi.errors import XcdiError

PICO = profile("pico")


@pytest.fixture(scope="module")
def grown():
    return particle.build(PICO, streams(3))


def centred(n, step):
    return (np.arange(n) - n // 2) * step


def orthogonal(axes, shape):
    """Sampling whose transform is the discrete Fourier transform of the object's own grid."""
    z, y, x = (2 * np.pi / (n * (axis[1] - axis[0])) for n, axis in zip(shape, (axes.z, axes.y, axes.x), strict=True))
    steps = np.array([[0, 0, x], [0, y, 0], [z, 0, 0]], float)
    return Sampling(np.array([1.0, 0, 0]), steps, shape)


def test_without_shear_it_is_the_transform():
    rng = np.random.default_rng(0)
    shape = (5, 12, 12)
    axes = particle.Axes(centred(12, 20.0), centred(12, 20.0), centred(5, 30.0))
    rho = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    field = scattering.rocking_amplitude(rho, axes, orthogonal(axes, shape), 12)
    expected = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(rho)))
    np.testing.assert_allclose(field, expected, atol=1e-10)
    assert (abs(field) ** 2).sum() == pytest.approx((abs(rho) ** 2).sum() * rho.size, rel=1e-12)


def test_it_is_the_sum_over_displaced_scatterers():
    """Scatterers of a lattice, each moved along G: exp(-i (G + q).(R + u)) summed one by one."""
    s = Sampling(np.array([1.3742, 0, 0]), sampling(PICO).steps, (7, 11, 11))
    d = 2 * np.pi / 1.3742
    lattice = np.arange(8) * 5 * d
    moved = 0.9 * np.sin(np.arange(8.0))  # nm, a fifth of the spacing: not small
    axes = particle.Axes(lattice + moved, np.arange(8) * 31.0, np.arange(8) * 37.0)
    weight = np.random.default_rng(1).random((8, 8, 8))
    rho = weight * np.exp(-1j * 1.3742 * moved)
    field = scattering.rocking_amplitude(rho, axes, s, 11)

    points = axes.points().reshape(-1, 3)
    indices = np.stack(np.meshgrid(np.arange(7) - 3, np.arange(11) - 5, np.arange(11) - 5, indexing="ij"), axis=-1)
    q = s.peak + indices @ s.steps.T
    direct = np.exp(-1j * q @ points.T) @ weight.ravel()
    np.testing.assert_allclose(abs(field) ** 2, abs(direct) ** 2, rtol=1e-6, atol=1e-6 * (abs(direct) ** 2).max())
    np.testing.assert_allclose(field, direct, atol=1e-6 * abs(direct).max())


def test_tension_moves_the_peak_by_minus_strain_times_g(grown):
    eps = 2e-3
    along = sampling(PICO).directions[0]
    still = replace(grown, displacement=np.zeros_like(grown.displacement))
    pulled = replace(still, displacement=eps * grown.axes.dot(along))
    s = sampling(PICO)
    centres = []
    for object_ in (still, pulled):
        intensity = abs(scattering.rocking_amplitude(object_.rho, object_.axes, s, PICO.window)) ** 2
        index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in intensity.shape), indexing="ij"), axis=-1)
        near = (abs(index[..., 1:]) < 13).all(axis=-1)
        centres.append((index[near] * intensity[near][:, None]).sum(axis=0) / intensity[near].sum())
    expected = np.linalg.solve(s.steps, -eps * s.peak)
    assert np.linalg.norm(expected) > 0.5  # pixels: the test would see a wrong sign
    np.testing.assert_allclose(centres[1] - centres[0], expected, atol=0.03)


def test_the_steps_are_those_of_the_exact_geometry():
    s = sampling(PICO)
    k = 2 * np.pi / wavelength_nm(PICO)
    row, column = beam_centre(PICO)

    def q(frame, y, x):
        pixel = np.array([(PICO.peak_px[1] + x - column) * PICO.pixel_m, (PICO.peak_px[0] + y - row) * PICO.pixel_m, PICO.distance_m])
        lab = k * (pixel / np.linalg.norm(pixel) - [0, 0, 1])
        return rotation_about_y(np.deg2rad(frame * PICO.angle_step_deg)).T @ lab

    np.testing.assert_allclose(q(0, 0, 0), s.peak, atol=1e-12)
    assert np.linalg.norm(s.peak) == pytest.approx(1.3742)
    for index, step in zip(np.eye(3), s.steps.T, strict=True):
        np.testing.assert_allclose(q(*index) - s.peak, step, atol=2e-4 * np.linalg.norm(step))
    np.testing.assert_allclose(s.voxels.T @ (s.steps * s.shape), 2 * np.pi * np.eye(3), atol=1e-12)


def test_a_whole_period_of_slip_is_invisible(grown):
    sharp = (grown.label == 1).astype(float)
    w = scattering.waves(sampling(PICO), grown.axes, 1.0, 32)
    before, after, half = (abs(scattering.amplitude(grown.rho * np.exp(-1j * p * sharp), w)) ** 2 for p in (0, 2 * np.pi, np.pi))
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-9 * before.max())
    assert abs(half - before).max() > 0.1 * before.max()


def test_blur_keeps_the_sum_and_lowers_the_contrast(grown):
    intensity = abs(scattering.rocking_amplitude(grown.rho, grown.axes, sampling(PICO), PICO.window)) ** 2
    blurred = scattering.blur(intensity, 0.5)
    assert blurred.sum() == pytest.approx(intensity.sum(), rel=1e-3)
    assert blurred.std() < intensity.std()


def test_the_field_gives_its_object_back(grown):
    s = sampling(PICO)
    field = scattering.rocking_amplitude(grown.rho, grown.axes, s, PICO.box)
    shown = on_grid(field, s.steps, grown.axes.x, grown.axes.y, grown.axes.z)
    overlap = abs(np.vdot(grown.rho, shown)) / np.linalg.norm(grown.rho) / np.linalg.norm(shown)
    assert overlap > 0.97  # all but what the box cannot see
    assert np.angle(np.vdot(grown.rho, shown)) == pytest.approx(0, abs=1e-3)


def test_series_starts_as_the_rocking_scan_and_changes_at_events(grown):
    p = profile("pico", slow="off", frames=9)
    whole = slips.Slip(2.0, 4, 0, (1, 2), 1, np.zeros(3), 1e4, np.pi / 2, 0.1)
    frames = np.array(list(scattering.series_frames(p, grown, [whole])))
    angle = p.series_offset / np.linalg.norm(sampling(p).steps[:, 0])
    still = abs(scattering.amplitude(grown.rho, scattering.waves(sampling(p), grown.axes, angle, p.window))) ** 2
    np.testing.assert_allclose(frames[0], scattering.blur(still, p.blur_px), atol=1e-4 * still.max())
    changed = abs(np.diff(frames, axis=0)).max(axis=(1, 2)) > 0
    assert np.flatnonzero(changed).tolist() == [3]


def test_too_coarse_an_object_is_refused():
    with pytest.raises(XcdiError, match="voxel_nm is 60"):
        scattering.check_window(profile("pico", voxel_nm=60.0))
