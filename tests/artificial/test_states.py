"""Laws of particles in several states: each slip turns the phase of its part, and the scans begin one after the other."""

import h5py
import numpy as np
import pytest

from xcdi.artificial import states
from xcdi.artificial.instrument import sampling
from xcdi.artificial.profiles import profile
from xcdi.artificial.scene import drawn


@pytest.fixture(scope="module")
def scene():
    return drawn(profile("pico", events=False), 3)


def test_a_slip_of_a_grain_turns_its_phase_and_nothing_else(scene):
    p, particle = scene.p, scene.particle
    slips = [states.grain_slip(particle, p, 2, 1.2), states.grain_slip(particle, p, 1, -0.5)]
    first, second, third = states.state_fields(particle, slips, sampling(p).peak)
    seen = np.abs(first) > 0
    for field in (second, third):
        np.testing.assert_allclose(np.abs(field), np.abs(first))
    np.testing.assert_allclose((second / np.where(seen, first, 1))[seen], np.where(particle.label == 2, np.exp(-1.2j), 1)[seen])
    np.testing.assert_allclose((third / np.where(seen, second, 1))[seen], np.where(particle.label == 1, np.exp(0.5j), 1)[seen])


def test_a_slip_by_a_period_changes_nothing(scene):
    whole = states.grain_slip(scene.particle, scene.p, 1, 2 * np.pi)
    assert whole.fraction == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="has no grain 9; it has 1 to 2"):
        states.grain_slip(scene.particle, scene.p, 9, 1.0)


@pytest.mark.parametrize("format_", ["eiger", "stack"])
def test_every_state_is_a_scan_with_its_own_start_and_noise(format_, tmp_path):
    scene = drawn(profile("pico", events=False, format=format_), 3)
    nothing = states.grain_slip(scene.particle, scene.p, 2, 0.0)
    names = states.write_states(tmp_path, scene, [nothing], every_s=90.0)
    assert names == ["particle_state0", "particle_state1"]
    masters = [next(tmp_path.glob(f"{name}[._]*h5" if format_ == "stack" else f"{name}_master.h5")) for name in names]
    starts, totals = [], []
    for master in masters:
        with h5py.File(master) as file:
            starts.append(file["entry/start_time"][()].decode())
    assert starts == ["2024-01-01T00:00:00.000000", "2024-01-01T00:01:30.000000"]
    for name in names:
        with h5py.File(next(tmp_path.glob(f"{name}*data*.h5" if format_ == "eiger" else f"{name}*.h5"))) as file:
            file.visititems(lambda _, one: totals.append(one[()]) if isinstance(one, h5py.Dataset) and one.ndim == 3 else None)
    assert len(totals) == 2
    assert not np.array_equal(*totals)


def test_a_format_without_starts_is_refused(tmp_path):
    scene = drawn(profile("pico", events=False, format="areadetector"), 3)
    with pytest.raises(ValueError, match="choose format 'eiger' or 'stack'"):
        states.write_states(tmp_path, scene, [], every_s=1.0)
