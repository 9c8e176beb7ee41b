"""Schedules: when the events of a series happen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xcdi.artificial.profiles import Profile

__all__ = ["Appointment", "aftershock_delays", "appointments", "omori_delays"]

TOGETHER = 4  # frames between the two of a doublet
BURST = (0, 2, 4, 7, 9)  # frames of a burst
OMORI_P, OMORI_C_S = 1.2, 1.0
PRODUCTIVITY_AT = 0.02  # fraction at which an event has as many aftershocks as the option says


class Appointment(NamedTuple):
    """Time of an event [s], its kind, and the number of the event before it that it belongs to, or -1."""

    time: float
    kind: str = "main"
    parent: int = -1


def appointments(p: Profile, rng: np.random.Generator) -> list[Appointment]:
    """Return when events happen, in order.

    Parameters
    ----------
    p : Profile
        `event_pattern` and what belongs to it. Events of all patterns but ageing are half a frame before a frame.
    rng : numpy.random.Generator
        Used by ageing only.
    """
    if p.event_pattern == "ageing":
        return [Appointment(float(time)) for time in _ageing(p, rng)]
    spacing = p.event_spacing
    frames = range(spacing, p.frames - spacing // 2, spacing)
    if p.event_pattern in ("even", "perfect"):
        due = [Appointment(_before(frame, p)) for frame in frames]
        middle = frames[len(frames) // 2] - spacing // 2 if len(frames) else p.frames // 2
        due += [Appointment(_before(middle, p), "perfect")] if p.event_pattern == "perfect" else []
    elif p.event_pattern == "burst":
        due = [Appointment(_before(p.frames // 2 + k, p)) for k in BURST]
    else:
        kind, gap = ("partner", TOGETHER) if p.event_pattern == "doublet" else ("return", spacing // 3)
        due = [
            event
            for k, frame in enumerate(frames)
            for event in (Appointment(_before(frame, p)), Appointment(_before(frame + gap, p), kind, 2 * k))
        ]
    return sorted(due)


def _before(frame: int, p: Profile) -> float:
    return (frame - 0.5) * p.frame_time_s


def _ageing(p: Profile, rng: np.random.Generator) -> NDArray[np.float64]:
    """Poisson process whose rate falls as ``1 / (1 + t / age)`` (Boettcher and Sibani, J. Phys. Condens. Matter 23, 065103 (2011))."""
    clock = p.event_rate * p.event_age_s
    last = (p.frames - 1) * p.frame_time_s
    expected = clock * np.log1p(last / p.event_age_s)
    unit = np.cumsum(rng.exponential(size=int(expected + 10 * np.sqrt(expected) + 20)))
    times = p.event_age_s * np.expm1(unit / clock)
    return times[times < last]


def aftershock_delays(p: Profile, fraction: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Delays [s] of the aftershocks of an event that changed `fraction`: Poisson in number, Omori in time."""
    return omori_delays(int(rng.poisson(p.aftershocks * np.sqrt(fraction / PRODUCTIVITY_AT))), rng)


def omori_delays(count: int, rng: np.random.Generator, *, p: float = OMORI_P, c: float = OMORI_C_S) -> NDArray[np.float64]:
    """Draw delays [s] of density ``(p - 1) c^(p-1) / (t + c)^p`` (Utsu, Ogata and Matsu'ura, J. Phys. Earth 43, 1 (1995))."""
    return c * ((1 - rng.random(count)) ** (-1 / (p - 1)) - 1)
