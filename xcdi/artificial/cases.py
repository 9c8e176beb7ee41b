"""Table of bars that depend on how hard the simulated experiment is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Case", "Light", "case_of", "light_of"]


class Case(NamedTuple):
    """How well a crystal must be imaged; None where nothing is asked.

    Attributes
    ----------
    name : str
        ``"easy"``, ``"standard"``, ``"low dose"``, ``"blurred"`` or ``"hard"``.
    overlap : float
        Least complex overlap of the object with the truth.
    strain : float
        Largest rms error of the strain.
    tilt : float
        Largest rms error of the tilts [rad].
    """

    name: str
    overlap: float | None
    strain: float | None
    tilt: float | None


EASY = Case("easy", 0.95, 1.5e-3, 2.2e-3)
STANDARD = Case("standard", 0.93, 2.0e-3, 2.2e-3)
LOW_DOSE = Case("low dose", 0.88, 2.7e-3, None)
BLURRED = Case("blurred", 0.90, 2.7e-3, None)
HARD = Case("hard", None, None, None)


class Light(NamedTuple):
    """How well events must be seen at a number of photons.

    Attributes
    ----------
    drop : float
        Drop of correlation from which an event must be found.
    recall : float
        Share of them that must be found.
    spread : float
        Largest relative standard deviation of their drops.
    """

    drop: float
    recall: float
    spread: float


def case_of(config: Mapping[str, Any]) -> Case:
    """Return the case of the settings of a particle.

    Examples
    --------
    >>> case_of({"tilt_deg": 0.6, "photons": 1e7}).name
    'standard'
    """
    tilt, strain = config.get("tilt_deg", 0.3), max(config.get("strain", 0.0), config.get("smooth_strain", 0.0))
    blur = config.get("blur_px", 0.0)
    if tilt >= 0.8 or strain >= 8e-3 or blur >= 0.8 or config.get("object", "particle") != "particle":
        return HARD
    met = [
        LOW_DOSE if config.get("photons", 1e7) <= 1e6 else None,
        BLURRED if blur >= 0.5 else None,
        STANDARD if tilt >= 0.6 or strain >= 5e-3 else None,
    ]
    return next((case for case in met if case), EASY)


def light_of(config: Mapping[str, Any]) -> Light:
    """Return the bars for the photons per pixel and frame of a series.

    Examples
    --------
    >>> light_of({"mean_count": 0.3})
    Light(drop=0.1, recall=0.9, spread=0.12)
    """
    count = config.get("mean_count", 1.0)
    if count >= 0.5:
        return Light(0.03, 0.90, 0.08)
    return Light(0.1, 0.90, 0.12) if count >= 0.2 else Light(0.1, 0.65, 0.25)
