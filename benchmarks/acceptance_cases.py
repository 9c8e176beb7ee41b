"""Table of the simulated experiments that the acceptance table is measured on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["CASES", "Case", "case"]


@dataclass(frozen=True)
class Case:
    """One simulated experiment, taken with several seeds, and what is measured on it.

    Attributes
    ----------
    name : str
        Also the name of its files.
    measures : tuple of str
        Names of functions of `acceptance_units.MEASURES`.
    seeds : int
        How many, from 1 on; every seed is another particle.
    experiment, profile, variant, options
        As for :func:`xcdi.artificial.simulate`; no experiment where nothing is written to files.
    settings : str
        TOML text for the pipeline that the measure runs.
    note : str
        What a reader of a row must know about it.
    """

    name: str
    measures: tuple[str, ...]
    seeds: int = 3
    experiment: str = "particle"
    profile: str = "nano"
    variant: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    settings: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what its results depend on, in plain words: everything but the number of seeds and the note."""
        return {name: value for name, value in asdict(self).items() if name not in ("seeds", "note")}


SHORT = (("frames", 20),)  # imaging reads the rocking scan alone
LONG = (("frames", 1000),)
LARGE = (*LONG, ("event_sizes", (0.03, 0.25)))
SLOW = "slow relaxation of amplitude 0.25, not 0.7-1.0"
ENOUGH = "fractions from 0.03 on, so that enough events are large"
STATISTICS = (
    "two_time_mean",
    "two_time_noise",
    "plateau",
    "relaxation",
    "relaxation_dim",
    "contrast",
    "power_law_bias",
    "power_law_coverage",
    "cutoff",
    "lognormal",
    "branching",
    "censored",
    "waiting_poisson",
    "waiting_ageing",
    "brightnesses",
    "aftershocks",
)
ODD = ("tilt-0.8", "tilt-1.0", "strain-1e-2", "blur-0.8")  # 'phasing hard'
COHERENT = '[recipe]\ncoherence = "off"\n'
NO_EVENT = ("step", "turning", "beam-jump", "late-hot")


def _imaging(name: str, variant: str, seeds: int = 5, settings: str = "") -> Case:
    return Case(name, ("imaging",), seeds, variant=variant, options=SHORT, settings=settings)


def _series(name: str, variant: str, seeds: int, options: tuple[tuple[str, Any], ...] = LONG, note: str = "") -> Case:
    return Case(name, ("events",), seeds, variant=f"bare,{variant}", options=options, note=note)


CASES = (
    # cheap and telling first
    Case("geometry", ("geometry",), 1, experiment=""),
    Case("round-trip", ("round_trip",), 1, experiment=""),
    Case("forward", ("forward",), 3, experiment=""),
    Case("centring", ("centring",), 3, variant="uniform", options=SHORT),
    Case("files", ("pixels", "frames", "trend"), 3),
    Case("hole", ("frames",), 2, variant="hole"),
    Case("losses", ("losses",), 3, options=SHORT),
    Case("live", ("live",), 2, profile="pico", options=(("frames", 120),)),
    Case("live-events", ("live_events",), 3, variant="even,strong-ageing,areadetector", options=(("frames", 240), *LARGE[1:]), note=ENOUGH),
    _series("events-n1.0", "even,strong-ageing", 4),
    _series("events-n0.3", "even,strong-ageing,dim-0.3", 4, LARGE, ENOUGH),
    _series("events-n0.1", "even,strong-ageing,dim-0.1", 4, LARGE, ENOUGH),
    _imaging("easy", ""),
    *(_series(name, f"{name},strong-ageing", 2, ()) for name in NO_EVENT),
    Case("still", ("shifts",), 3, variant="bare,step", options=(("drift_px", 1.0),), note=SLOW),
    _series("perfect", "perfect,strong-ageing", 4, ()),
    _series("doublet", "doublet,strong-ageing", 4, LARGE, ENOUGH),
    _imaging("standard", "standard"),
    _imaging("low-dose", "low-dose"),
    _imaging("blur-0.5", "blur-0.5", settings=COHERENT),
    _imaging("blur-0.5-modelled", "blur-0.5"),
    _imaging("blur-0.8-modelled", "blur-0.8"),
    Case("screw", ("screw",), 5, options=(*SHORT, ("screws", 1)), note="one line along a grain of the easy particle"),
    Case("kinematics", ("kinematics",), 16, experiment="", note="no files: patterns of 111 and 11-1, 12 frames of 1 photon per pixel"),
    Case("atomic", ("atomic",), 5, experiment="crystal", note="gold 111 at 31.7 degrees, a grid sheared by 16 degrees"),
    Case("ramp", ("ramp",), 2, variant="uniform,coherent,bare", options=SHORT),
    Case("symmetry", ("symmetry",), 2, options=SHORT),
    *(_imaging(name, name, settings=COHERENT if name.startswith("blur") else "") for name in ODD),
    _series("no-events", "no-events,strong-ageing", 10),
    *(Case(f"statistics-{name}", ("statistics",), 1, experiment="") for name in STATISTICS),
    Case("attribution", ("attribution",), 8, variant="even", note=SLOW),
    Case("whole-grain", ("attribution",), 3, variant="whole-grain", note=SLOW),
    Case("slab", ("attribution",), 3, variant="slab", note=SLOW),
    Case("three-peaks", ("slips",), 6, variant="three-peaks", note=SLOW),
    Case(
        "end-to-end",
        ("events",),
        16,
        variant="bare,strong-ageing",
        options=(("frames", 1000), ("event_rate", 0.1), ("annealing", 0.15)),
    ),
)


def case(name: str) -> Case:
    """Return the case called `name`."""
    return {one.name: one for one in CASES}[name]
