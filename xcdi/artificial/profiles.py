"""Table of sizes and strengths that a simulated experiment has."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from xcdi.artificial.choices import configured
from xcdi.settings import Model

__all__ = ["PROFILES", "Profile", "profile"]


class Profile(Model):
    """Everything a simulated particle experiment is made of; the defaults are the profile `nano`."""

    # instrument
    energy_kev: float = Field(9.65, gt=0)
    distance_m: float = Field(1.9, gt=0)
    pixel_m: float = Field(75e-6, gt=0)
    q_peak: float = Field(1.3742, gt=0, description="length of G [1/nm]: 111 of an fcc superlattice with a = 7.92 nm")
    reflections: tuple[tuple[int, int, int], ...] = Field(((1, 1, 1),), description="hkl of the peaks; the first has length q_peak")
    detector: tuple[int, int] = Field((256, 256), description="rows, columns")
    peak_px: tuple[int, int] = Field((128, 128), description="row, column that G falls on")
    gaps: tuple[tuple[int, int, int, int], ...] = Field(((28, 36, 0, 256), (0, 256, 158, 162)), description="y0, y1, x0, x1, half open")
    beamstop: tuple[int, int, int] | None = Field((128, 0, 12), description="row, column, radius [px]")
    box: int = Field(64, ge=8, description="side of the detector box that truth is kept for [px]")
    series_box: int = Field(64, ge=8, description="side of the box of mean_count and of the noise-free series kept [px]")
    window: int = Field(96, ge=8, description="side of the detector part that the Bragg peak is drawn on [px]")
    format: Literal["eiger", "stack", "areadetector"] = Field("eiger", description="master and data; a stack; a stack by SWMR")

    # rocking scan and series
    angles: int = Field(32, ge=8)
    angle_step_deg: float = Field(0.12, gt=0)
    arc: bool = Field(False, description="angles follow the circle, not its tangent")
    photons: float = Field(1e7, gt=0, description="in the box, over the whole rocking scan")
    frames: int = Field(400, ge=2)
    frame_time_s: float = Field(0.5, gt=0)
    mean_count: float = Field(1.0, gt=0, description="photons per pixel and frame in the box, first frame of the series")
    series_offset: float = Field(0.004, description="how far off the peak the series is taken along the rocking direction [1/nm]")

    # beam
    blur_px: float = Field(0.2, ge=0, description="partial coherence as a Gaussian blur of the intensity")
    illumination_um: float | None = Field(None, gt=0, description="sd of the beam's amplitude; None for a wide beam")
    monitor_noise: float = Field(0.02, ge=0, description="relative sd of the beam intensity from frame to frame")
    top_up: float = Field(0.01, ge=0, description="depth of the saw-tooth of the storage ring's top-up, every 120 s")
    beam_jump: float = Field(0.0, gt=-1, description="relative change of the beam from the middle of the series on; the monitor sees it")

    # particle
    object: Literal["particle", "grain-0", "grain-1", "grain-2", "poly-0", "poly-1"] = Field(
        "particle", description="others are hard to phase"
    )
    shape: Literal["octahedron", "sphere", "ellipsoid", "touching", "corner"] = Field("octahedron", description="truncated octahedron, ...")
    size_nm: tuple[float, float, float] = Field((1000.0, 1000.0, 900.0), description="extent of the particle along x, y, z")
    voxel_nm: float = Field(25.0, gt=0, description="grid that the object is drawn on")
    edge_nm: float = Field(50.0, gt=0, description="length that edges and boundary layers are measured in")
    grains: int = Field(4, ge=1)
    grain_amplitudes: bool = Field(False, description="every grain has an amplitude of its own, 0.8 to 1")
    debye_waller: float = Field(1.0, gt=0, le=1, description="constant factor on the amplitude")
    high_angle: int = Field(0, ge=0, description="grains turned by 10 to 30 degrees about the beam, which are seen at another azimuth")
    tilt_deg: float = Field(0.3, ge=0, description="sd of the grains' tilts")
    strain: float = Field(1.5e-3, ge=0, description="sd of the grains' mean strains")
    smooth_strain: float = Field(3e-3, ge=0, description="sd of the smooth strain inside grains")
    screws: int = Field(0, ge=0, description="screw dislocations along the beam, each in a grain, with G.b = 2 pi")
    edges: int = Field(0, ge=0, description="edge dislocations across G and y, each in a grain, with G.b = 2 pi")
    wall_deg: float = Field(0.0, ge=0, description="tilt of a low-angle wall of edge dislocations through the middle; 0 for none")

    # events
    events: bool = True
    event_pattern: Literal["ageing", "even", "doublet", "reversible", "burst", "perfect"] = Field(
        "ageing",
        description="at a falling rate; evenly; pairs 4 frames apart; there and back; 5 in 10 frames; evenly, and a slip by a period",
    )
    event_rate: float = Field(0.06, gt=0, description="events per second at the start, for ageing")
    event_age_s: float = Field(200.0, gt=0, description="the event rate falls as 1 / (1 + time / this)")
    event_spacing: int = Field(30, ge=6, description="frames between events of the other patterns")
    event_sizes: tuple[float, float] = Field((0.006, 0.25), description="range of the changed fraction; density ~ f^-1.5")
    event_shape: Literal["ball", "grain", "slab"] = Field(
        "ball", description="smooth ball at a boundary; grain; part of a grain along a boundary"
    )
    event_slip: Literal["along", "shear", "opening", "mixed"] = Field(
        "along", description="displacement along G by 1 to pi / |G|; in the boundary plane, or normal to it, by event_slip_nm; either"
    )
    event_slip_nm: tuple[float, float] = Field((0.5, 1.5), description="range of the displacement's length")
    event_frames: tuple[int, int] = Field((1, 1), description="range of the number of frames that an event takes")
    aftershocks: float = Field(0.0, ge=0, description="K: an event of fraction f has K (f / 0.02)^0.5 aftershocks at its boundary")
    annealing: float = Field(0.0, ge=0, description="largest gain of amplitude where a boundary heals after an event, as 0.15")
    slow: Literal["ageing", "ballistic", "off"] = "ageing"
    slow_amplitude: float = Field(0.25, ge=0, description="phase [rad] that slow relaxation gains per unit of its clock")
    slow_time_s: float = Field(50.0, gt=0, description="time constant of that clock")

    # motion that is no event
    drift_px: float = Field(0.02, ge=0, description="random walk of the peak [px per sqrt(minute)]")
    step_px: float = Field(0.0, description="one step of the peak along columns in the middle of the series [px]")
    turning_deg_h: float = Field(0.002, description="steady turn of the particle during the series [deg per hour]")

    # detector
    background: float = Field(0.002, ge=0, description="stray counts per pixel and frame")
    ring: float = Field(0.002, ge=0, description="stray counts per pixel and frame at the top of a smooth ring through the peak")
    flat_sd: float = Field(0.01, ge=0, description="relative sd of the pixels' response")
    dead_time_s: float = Field(1e-7, ge=0, description="dead time of a pixel after a photon, not extended by others")
    cutoff: int = Field(1_500_000, gt=0, description="largest count per frame; the counter stops there")
    rollover: bool = Field(False, description="8-bit frames whose counter starts anew after 255")
    bad_pixels: bool = Field(True, description="dead, hot and flickering pixels")
    bad_pixels_near: bool = Field(False, description="the bad pixels in the box may be on the peak")
    rocking_faults: bool = Field(False, description="one dropped and one doubled frame, and one track, in the rocking scan too")
    late_hot: bool = Field(False, description="one more pixel turns hot in the middle of the series")
    restart: bool = Field(False, description="the left half of the box reads zero for three frames in the second half of the series")
    bad_frames: bool = Field(True, description="dropped and doubled frames, one of each per 500")
    streaks: bool = Field(True, description="tracks of cosmic rays, one per 500 frames")
    hole: bool = Field(False, description="some frame numbers are missing after the first data file of the series")
    frames_per_file: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Profile:
        """Refuse what contradicts itself."""
        if self.window < max(self.box, self.series_box):
            raise ValueError(f"window = {self.window} px is smaller than box = {self.box} or series_box = {self.series_box}")
        for size, peak, side in zip(self.detector, self.peak_px, ("rows", "columns"), strict=True):
            if not self.window // 2 <= peak <= size - self.window // 2:
                raise ValueError(f"a window of {self.window} px around peak_px leaves the detector's {size} {side}")
        if not all(any(hkl) for hkl in self.reflections) or len(set(self.reflections)) != len(self.reflections) or not self.reflections:
            raise ValueError(f"reflections are {self.reflections}, expected one or more, all different and none 0 0 0")
        if min(self.size_nm) < 4 * self.voxel_nm:
            raise ValueError(f"size_nm = {self.size_nm} is less than four voxels of {self.voxel_nm:g} nm")
        for name in ("event_sizes", "event_slip_nm", "event_frames"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} runs from {low:g} to {high:g}, expected rising numbers above 0")
        return self


PICO: dict[str, Any] = {
    "distance_m": 0.95,
    "detector": (128, 128),
    "peak_px": (64, 64),
    "gaps": ((12, 16, 0, 128), (0, 128, 79, 81)),
    "beamstop": (64, 0, 6),
    "box": 32,
    "series_box": 32,
    "window": 48,
    "angles": 16,
    "angle_step_deg": 0.24,
    "photons": 2e6,
    "frames": 60,
    "series_offset": 0.008,
    "size_nm": (500.0, 500.0, 450.0),
    "grains": 2,
    "event_rate": 0.15,
    "frames_per_file": 25,
}
STD: dict[str, Any] = {
    "distance_m": 2.5,
    "detector": (512, 512),
    "peak_px": (256, 256),
    "gaps": ((100, 137, 0, 512), (0, 512, 318, 328)),
    "beamstop": (256, 0, 40),
    "box": 128,
    "window": 160,
    "angles": 96,
    "angle_step_deg": 0.04,
    "frames": 1000,
    "grains": 5,
    "tilt_deg": 0.6,
    "strain": 2.5e-3,
    "smooth_strain": 5e-3,
    "slow_amplitude": 0.85,
}
FULL: dict[str, Any] = STD | {
    "detector": (2167, 2070),
    "peak_px": (800, 1500),
    "gaps": ((514, 551, 0, 2070), (1065, 1102, 0, 2070), (1616, 1653, 0, 2070), (0, 2167, 1030, 1040)),
    "beamstop": (800, 563, 40),
    "frames": 3000,
}
PROFILES: dict[str, dict[str, Any]] = {"pico": PICO, "nano": {}, "std": STD, "full": FULL}


def profile(name: str, **options: Any) -> Profile:
    """Return the profile called `name` with single values replaced by `options`.

    Raises
    ------
    XcdiError
        If there is no such profile or option, or a value does not fit.

    Examples
    --------
    >>> profile("nano", events=False).events
    False
    """
    return configured(Profile, PROFILES, name, options)
