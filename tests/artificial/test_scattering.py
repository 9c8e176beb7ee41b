from dataclasses import replace

import numpy as np
import pytest

from xcdi.artificial import particle, scattering, slips
from xcdi.artificial.align import on_grid
from xcdi.artificial.instrument import Sampling, beam_centre, offset, rotation_about_y, sampling, wavelength_nm
from xcdi.artificial.motion import Motion
from xcdi.artificial.profiles import profile
from xcdi.artificial.spots import spots
from xcdi.artificial.streams import streams
from xcdi.errors import XcdiError

PICO = profile("pico")
STILL = Motion(np.zeros((PICO.frames, 2)), np.zeros(PICO.frames))


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
    ball = np.exp(-(grown.axes.points() ** 2).sum(axis=-1) / (2 * 90.0**2))
    still = replace(grown, amplitude=ball, displacement=np.zeros_like(grown.displacement))
    pulled = replace(still, displacement=eps * grown.axes.dot(along))
    s = sampling(PICO)
    centres = []
    for object_ in (still, pulled):
        intensity = abs(scattering.rocking_amplitude(object_.rho, object_.axes, s, PICO.window)) ** 2
        index = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in intensity.shape), indexing="ij"), axis=-1)
        centres.append(np.tensordot(intensity, index, 3) / intensity.sum())
    expected = np.linalg.solve(s.steps, -eps * s.peak)
    assert np.linalg.norm(expected) > 0.5  # pixels: the test would see a wrong sign
    np.testing.assert_allclose(centres[1] - centres[0], expected, atol=0.01)


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
    s = sampling(PICO)
    w = scattering.waves(s, grown.axes, s.steps[:, 0], *scattering.pixels(32))
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
    s = sampling(p)
    quarter = np.pi / 2 / p.q_peak * s.directions[0]
    whole = slips.Slip(2.0, 4, 0, (1, 2), 1, np.zeros(3), 1e4, quarter, np.pi / 2, 0.1)
    frames = np.array(list(scattering.series_frames(p, grown, [whole], s, STILL)))
    away = s.steps[:, 0] * p.series_offset / np.linalg.norm(s.steps[:, 0])
    still = abs(scattering.far_field(grown.rho, grown.axes, s, away, *scattering.pixels(p.window))) ** 2
    np.testing.assert_allclose(frames[0], scattering.blur(still, p.blur_px), atol=1e-4 * still.max())
    changed = abs(np.diff(frames, axis=0)).max(axis=(1, 2)) > 0
    assert np.flatnonzero(changed).tolist() == [3]


def test_too_coarse_an_object_is_refused():
    with pytest.raises(XcdiError, match="voxel_nm is 60"):
        scattering.check_window(profile("pico", voxel_nm=60.0))


def test_a_turned_grain_leaves_the_peak_and_is_seen_on_the_same_ring():
    p = profile("nano", high_angle=1)
    grown = particle.build(p, streams(11))
    (grain,) = np.flatnonzero(grown.turned)
    assert not abs(grown.rho[grown.cell == grain]).any()
    assert np.deg2rad(10) <= abs(grown.turned[grain]) <= np.deg2rad(30)
    unstrained = replace(grown, displacement=np.zeros_like(grown.displacement))
    found = spots(
        profile("std", high_angle=1, detector=(4000, 4000), peak_px=(2000, 2000), angles=8, box=16, series_box=16, window=24), unstrained
    )
    centre = beam_centre(profile("std", detector=(4000, 4000), peak_px=(2000, 2000)))
    away = np.array(found[0].centre) - centre
    assert np.linalg.norm(away) == pytest.approx(2000 - centre[1], rel=1e-6)
    assert abs(np.arctan2(away[0], away[1])) == pytest.approx(abs(grown.turned[grain]), rel=1e-6)
    middle = np.unravel_index(found[0].rocking[4].argmax(), found[0].rocking[4].shape)
    assert found[0].rocking.max() > 5 * np.median(found[0].rocking)
    assert abs(np.array(middle) - 8).max() <= 1
    assert found[0].rocking.shape == (8, 16, 16)


def test_an_arc_and_its_tangent_part_by_half_the_square_of_the_angle():
    s = sampling(PICO)
    turn = 0.02
    apart = offset(s, turn, arc=True) - offset(s, turn)
    assert np.linalg.norm(apart) == pytest.approx(np.hypot(s.peak[0], s.peak[2]) * turn * (turn - s.step) / 2, rel=0.02)


def test_a_narrow_beam_dims_the_rim(grown):
    assert (scattering.illumination(PICO, grown.axes) == 1).all()
    beam = scattering.illumination(profile("pico", illumination_um=0.2), grown.axes)
    edge = abs(grown.axes.x - 200).argmin()
    middle = beam.shape[0] // 2
    assert beam[middle, edge] / beam.max() == pytest.approx(np.exp(-0.5), rel=0.1)


@pytest.mark.parametrize("hkl", [(0, 0, 2), (1, 1, -1)])
def test_other_peaks_meet_the_ewald_sphere_at_their_angle(hkl):
    p = profile("nano", reflections=((1, 1, 1), hkl))
    s = sampling(p, hkl)
    k = 2 * np.pi / wavelength_nm(p)
    out = rotation_about_y(s.angle) @ s.peak + [0, 0, k]
    assert np.linalg.norm(out) == pytest.approx(k, rel=1e-12)
    assert np.linalg.norm(s.peak) == pytest.approx(p.q_peak * np.linalg.norm(hkl) / np.sqrt(3))
    first = sampling(p).peak
    cosine = np.dot(hkl, [1, 1, 1]) / np.linalg.norm(hkl) / np.sqrt(3)
    assert first @ s.peak / np.linalg.norm(first) / np.linalg.norm(s.peak) == pytest.approx(cosine, abs=1e-12)
    row, column = beam_centre(p, hkl)
    pixel = np.array([(p.peak_px[1] - column) * p.pixel_m, (p.peak_px[0] - row) * p.pixel_m, p.distance_m])
    np.testing.assert_allclose(pixel / np.linalg.norm(pixel), out / k, atol=1e-12)


def test_drift_moves_the_peak_and_nothing_else(grown):
    p = profile("pico", slow="off", frames=2, blur_px=0.0)
    moved = Motion(np.array([[0.0, 0.0], [2.0, -3.0]]), np.zeros(2))
    frames = np.stack(list(scattering.series_frames(p, grown, [], sampling(p), moved)))
    np.testing.assert_allclose(frames[1, 2:, :-3], frames[0, :-2, 3:], atol=1e-4 * frames.max())
