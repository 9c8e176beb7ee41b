"""Table of variants: named changes to the simulated particle experiment, each for one question."""

from __future__ import annotations

from typing import Any

from xcdi.artificial.choices import chosen
from xcdi.artificial.profiles import PROFILES, Profile
from xcdi.errors import XcdiError, suggest

__all__ = ["VARIANTS", "bare", "variant"]

_FINE = {"angles": 64, "angle_step_deg": 0.0819, "events": False, "frames": 20, "blur_px": 0.0}
_ODD_OBJECT = _FINE | {"size_nm": (1450.0, 1450.0, 1450.0)}  # 29 of 64 voxels wide

VARIANTS: dict[str, dict[str, Any]] = {
    # particle and beam, for imaging
    "standard": {"grains": 5, "tilt_deg": 0.6, "strain": 2.5e-3, "smooth_strain": 5e-3},
    "tilt-0.8": {"tilt_deg": 0.8},
    "tilt-1.0": {"tilt_deg": 1.0},
    "strain-1e-2": {"strain": 1e-2},
    "uniform": {"grains": 1, "tilt_deg": 0.0, "strain": 0.0, "smooth_strain": 0.0, "events": False},
    "low-dose": {"photons": 1e6},
    "high-dose": {"photons": 1e8},
    "coherent": {"blur_px": 0.0},
    "blur-0.5": {"blur_px": 0.5},
    "blur-0.8": {"blur_px": 0.8},
    "wide-beam": {"illumination_um": 5.0},
    "narrow-beam": {"illumination_um": 0.8},
    "isotropic": {"angles": 48, "angle_step_deg": 0.109, "distance_m": 1.933, "box": 64, "window": 96},
    "arc": {"arc": True},
    "sphere": {"shape": "sphere"},
    "ellipsoid": {"shape": "ellipsoid", "size_nm": (1000.0, 800.0, 900.0)},
    "touching": {"shape": "touching"},
    "corner": {"shape": "corner"},
    "uneven-grains": {"grain_amplitudes": True, "debye_waller": 0.9},
    "high-angle": {"high_angle": 1},
    "screw": {"screws": 1},
    "edge": {"edges": 1},
    "wall": {"grains": 1, "wall_deg": 0.8, "events": False},
    **{name: _ODD_OBJECT | {"object": name} for name in ("grain-0", "grain-1", "grain-2", "poly-0", "poly-1")},
    # what happens in the series
    "still": {"events": False, "slow": "off", "drift_px": 0.0, "turning_deg_h": 0.0},
    "no-events": {"events": False, "slow_amplitude": 0.85},
    "strong-ageing": {"slow_amplitude": 0.85},
    "ballistic": {"slow": "ballistic"},
    "even": {"event_pattern": "even"},
    "doublet": {"event_pattern": "doublet", "event_spacing": 60},
    "reversible": {"event_pattern": "reversible", "event_spacing": 60},
    "burst": {"event_pattern": "burst"},
    "perfect": {"event_pattern": "perfect", "event_spacing": 60},
    "whole-grain": {"event_pattern": "even", "event_shape": "grain"},
    "slab": {"event_pattern": "even", "event_shape": "slab"},
    "gradual": {"event_pattern": "even", "event_frames": (1, 10)},
    "aftershocks": {"aftershocks": 0.4},
    "annealing": {"event_pattern": "even", "annealing": 0.15},
    "shear": {"event_pattern": "even", "event_slip": "shear"},
    "opening": {"event_pattern": "even", "event_slip": "opening"},
    "three-peaks": {"event_pattern": "even", "event_slip": "mixed", "reflections": ((1, 1, 1), (0, 0, 2), (1, 1, -1))},
    "four-peaks": {"frames": 8, "reflections": ((1, 1, 1), (1, 1, -1), (1, -1, 1), (1, -1, -1))},  # no three in one plane
    "dim-0.3": {"mean_count": 0.3},
    "dim-0.1": {"mean_count": 0.1},
    # what is no event
    "step": {"events": False, "step_px": 0.5},
    "turning": {"events": False, "turning_deg_h": 1.0},
    "beam-jump": {"events": False, "beam_jump": -0.2},
    "late-hot": {"events": False, "late_hot": True},
    "restart": {"events": False, "restart": True},
    # detector and files
    "rollover": {"rollover": True, "cutoff": 255},
    "saturated": {"cutoff": 2000},
    "hole": {"hole": True},
    "rocking-faults": {"rocking_faults": True},
    "bad-pixels-near": {"bad_pixels_near": True},
    "stack": {"format": "stack"},
    "areadetector": {"format": "areadetector"},
}


def bare(p: Profile) -> dict[str, Any]:
    """Return the options that leave only the Bragg peak, counting noise and the particle: no detector around it, no artefacts."""
    return {
        "detector": (p.window, p.window),
        "peak_px": (p.window // 2, p.window // 2),
        "gaps": (),
        "beamstop": None,
        "format": "stack",
        "background": 0.0,
        "ring": 0.0,
        "monitor_noise": 0.0,
        "top_up": 0.0,
        "drift_px": 0.0,
        "turning_deg_h": 0.0,
        "flat_sd": 0.0,
        "dead_time_s": 0.0,
        "bad_pixels": False,
        "bad_frames": False,
        "streaks": False,
    }


def variant(profile: str, names: str) -> dict[str, Any]:
    """Return the options of the variants `names`, separated by commas, on top of one another; "" for none.

    Raises
    ------
    XcdiError
        If there is no such variant.

    Examples
    --------
    >>> variant("nano", "low-dose,blur-0.5")
    {'photons': 1000000.0, 'blur_px': 0.5}
    """
    if profile not in PROFILES:
        raise XcdiError(f"no profile {profile!r}{suggest(profile, PROFILES)}")
    return chosen(VARIANTS | {"bare": bare(Profile(**PROFILES[profile]))}, names)
