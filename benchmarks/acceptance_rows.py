"""Table of what each stage must recover: every row with its bar, the cases it is measured on, and its judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import acceptance_judges as judges
import acceptance_judges_series as events
import acceptance_live_events as live
import acceptance_shear as shear
from acceptance_verdict import Found, Verdict

__all__ = ["ROWS", "Row"]


class Row(NamedTuple):
    """One line of the acceptance table; without a judge it says what it `needs`."""

    stage: str
    test: str
    bar: str
    cases: tuple[str, ...] = ()
    judge: Callable[[Found], Verdict] | None = None
    needs: str = ""


def _statistic(stage: str, test: str, bar: str, name: str, number: int = 0) -> Row:
    return Row(stage, test, bar, (f"statistics-{name}",), judges.statistic(number))


HARD = "the grade is true: never 'good' below cc 0.90; below 0.85 'unreliable' and no statistics"
NOTHING = "classified as rigid/artefact, not internal"
TOP_3 = "boundary top-3 >= 0.8"
MEAN = "pointwise mean of (C - C_true) < 2e-3 over 10 seeds; all estimators symmetric"
ASCRIBED = "moved grain >= 0.9, boundary top-3 >= 0.9, top-1 >= 0.6"

ROWS = (
    Row(
        "ingest",
        "S3 gaps, masks, hot/dead pixels",
        "all truth gap and beamstop pixels masked; >= 99 % of hot and dead, >= 90 % flickering; false masks < 1e-4 of pixels; "
        "zero counts altered elsewhere (bit-exact)",
        ("files",),
        judges.pixels,
    ),
    Row(
        "ingest",
        "dropped, doubled, holed frames",
        "all flagged, none used, time axis exact to 1 us",
        ("files", "hole"),
        judges.frames,
    ),
    Row(
        "corrections",
        "dead time, flat field, I0",
        "intensity bias < 0.5 % after correction; I0-normalised ROI trend rms < 1.2 x Poisson",
        ("losses", "files"),
        judges.corrections,
    ),
    Row(
        "geometry",
        "table of reference vectors, atomic case included",
        "vectors to 1e-4 relative, angles to 0.01 deg",
        ("geometry",),
        judges.reference,
    ),
    Row(
        "geometry",
        "round trip object -> data frame -> object, atomic case included",
        "< 1e-6 relative on smooth fields",
        ("round-trip",),
        judges.round_trip,
    ),
    Row("geometry", "peak centring", "centre of mass of the 3D peak within 0.1 px and 0.1 step", ("centring",), judges.centring),
    Row(
        "forward",
        "simulation versus direct atomistic sum of 500 scatterers",
        "intensities within 1e-6 relative",
        ("forward",),
        judges.forward,
    ),
    Row(
        "phasing easy",
        "S1 easy, 1e7, 8 starts",
        "cc >= 0.95; R >= 0.90 (grade good); shape IoU >= 0.92; n_good >= 5 of 8 starts for >= 4 of 5 particle seeds",
        ("easy",),
        judges.phasing_easy,
    ),
    Row(
        "phasing standard",
        "tilt 0.6 deg, 1e7",
        "cc >= 0.93; strain rms <= 2.0e-3; tilt rms <= 2.2e-3 rad",
        ("standard",),
        judges.phasing(0.93, strain=2.0e-3, tilt=2.2e-3),
    ),
    Row("phasing low dose", "1e6", "cc >= 0.88, strain rms <= 2.7e-3", ("low-dose",), judges.phasing(0.88, strain=2.7e-3)),
    Row("phasing coherence", "blur 0.2 px, correction off", "cc >= 0.95", ("easy",), judges.phasing(0.95)),
    Row("phasing coherence", "blur 0.5 px, correction off", "cc >= 0.90", ("blur-0.5",), judges.phasing(0.90)),
    Row("phasing coherence", "blur 0.5 px, correction on", "cc >= 0.95", ("blur-0.5-modelled",), judges.phasing(0.95)),
    Row("phasing coherence", "stretch goal: blur 0.8 px, correction on", "cc >= 0.85", ("blur-0.8-modelled",), judges.phasing(0.85)),
    Row("phasing hard", "tilt 0.8 deg", HARD, ("tilt-0.8",), judges.phasing_hard),
    Row("phasing hard", "tilt 1.0 deg", HARD, ("tilt-1.0",), judges.phasing_hard),
    Row("phasing hard", "tilt 0.3 deg with strain 1e-2", HARD, ("strain-1e-2",), judges.phasing_hard),
    Row("phasing hard", "blur 0.8 px uncorrected", HARD, ("blur-0.8",), judges.phasing_hard),
    Row(
        "phasing errors",
        "easy, standard, 1e6",
        "median start-to-start strain sd within a factor 2 of the robust true error",
        ("easy", "standard", "low-dose"),
        judges.phasing_errors,
    ),
    Row("phasing symmetry", "run on conjugate-inverted data", "same map after twin alignment", ("symmetry",), judges.symmetry),
    Row(
        "strain",
        "easy, 1e7, voxels > 1.2 h from boundaries",
        "rms error <= 1.5e-3, correlation with truth >= 0.93, slope of regression 0.95-1.05, mean bias < 2e-4 after ramp restoration",
        ("easy",),
        judges.strain_easy,
    ),
    Row("strain", "per-grain mean", "strain error <= 4e-4, tilt error <= 0.03 deg", ("easy",), judges.strain_grains),
    Row(
        "strain",
        "sheared atomic case, 1e7",
        "rms error <= 1e-4, correlation with truth >= 0.93, slope of regression 0.95-1.05, mean bias < 2e-5, d-spacing within 1e-4; "
        "cc >= 0.95, 1/e crossing within 20 % of that with truth phases",
        ("atomic",),
        judges.strain_atomic,
    ),
    Row(
        "strain",
        "pure ramp object (eps 2e-3 uniform)",
        "d-spacing within 1e-4 relative, no heterogeneous strain > 1e-4",
        ("ramp",),
        judges.strain_ramp,
    ),
    Row(
        "dislocation",
        "one screw line, 1e7",
        "found in >= 75 % of the planes of its grain, position within 2 voxels, no false vortex deeper than 100 nm from a boundary",
        ("screw",),
        judges.dislocation,
    ),
    Row(
        "grains",
        "easy, standard",
        "count within +-1; adjusted Rand >= 0.6 for each seed and mean >= 0.75; boundary normal within 15 deg for faces > 60 voxels",
        ("easy", "standard"),
        judges.grains,
    ),
    Row(
        "resolution",
        "PRTF, easy",
        "1/e crossing within 20 % of the value computed with truth phases, capped at 2 voxels",
        ("easy",),
        judges.resolution,
    ),
    _statistic("two-time", "S0 std, pointwise mean", MEAN, "two_time_mean"),
    _statistic("two-time", "S0 std, noise", "sd within 10 % of the formula for the noise of C", "two_time_noise"),
    Row("two-time", "GPU versus CPU", "max difference < 1e-5", needs="a machine with a GPU"),
    _statistic("two-time", "S0 non-ergodic, f_q 0.5", "plateau 0.0625 +- 0.004 with N1, N3 and N5, each of them; N2 must warn", "plateau"),
    _statistic("g2/KWW", "S0 std, n 0.3", "tau +-6 %, gamma +-0.12, beta +-0.012, baseline +-0.004", "relaxation"),
    _statistic("g2/KWW", "S0 std, n 0.05", "tau +-10 %, gamma +-0.4", "relaxation_dim"),
    _statistic("contrast", "counts at n 0.02-1", "beta within 5 % for N x T >= 1e6 pixel-frames", "contrast"),
    Row("events", "S1 no events, ageing on, 10 x 1000 frames", "<= 2 detections in total", ("no-events",), events.nothing_found),
    Row(
        "events",
        "S1 n 1.0, D >= 0.03",
        "recall >= 0.90, precision >= 0.95, time error 0 +- 1 frame",
        ("events-n1.0",),
        events.detection(0.03, 0.90, 0.95, timing=True),
    ),
    Row("events", "n 0.3, D >= 0.1", "recall >= 0.90, precision >= 0.95", ("events-n0.3",), events.detection(0.1, 0.90, 0.95)),
    Row("events", "n 0.1, D >= 0.1", "recall >= 0.65", ("events-n0.1",), events.detection(0.1, 0.65)),
    Row("events", "0.5 px step", NOTHING, ("step",), events.no_event),
    Row("events", "tilt drift", NOTHING, ("turning",), events.no_event),
    Row("events", "I0 jump", NOTHING, ("beam-jump",), events.no_event),
    Row("events", "hot pixel switching on", NOTHING, ("late-hot",), events.no_event),
    Row("events", "perfect-lattice slip (phi = 2 pi)", "not reported; documented as invisible", ("perfect",), events.perfect),
    Row("events", "doublet 4 frames, w 12", 'one event, flagged "possibly merged"', ("doublet",), events.doublet),
    Row("size", "D > 0.05 at n 1, versus noise-free D", "bias < 5 %, sd <= 8 %", ("events-n1.0",), events.size(0.08)),
    Row("size", "D > 0.05 at n 0.3, versus noise-free D", "bias < 5 %, sd <= 12 %", ("events-n0.3",), events.size(0.12)),
    Row("size", "D > 0.05 at n 0.1, versus noise-free D", "bias < 5 %, sd <= 25 %", ("events-n0.1",), events.size(0.25)),
    Row("size", "versus f_true", "Spearman >= 0.8", ("events-n1.0",), events.size_and_fraction),
    Row("rigid shift", "n 1, w 12", "shift rms <= 0.05 px (strain 5e-5)", ("still",), events.shift),
    Row("two-peak kinematics", "known D matrix", "each element within 1e-4", ("kinematics",), events.kinematics),
    Row("attribution", "60 events, object from own BCDI result", ASCRIBED, ("attribution",), events.attribution()),
    Row("attribution", "whole-grain slips, guard against the inverse crime", TOP_3, ("whole-grain",), events.attribution(None, 0.8, None)),
    Row("attribution", "half-grain slabs, guard against the inverse crime", TOP_3, ("slab",), events.attribution(None, 0.8, None)),
    Row(
        "shear test",
        "tangential versus normal Delta u of 0.5-1.5 nm, >= 3 peaks, n 1, f > 0.02",
        "median angle error <= 15 deg from D alone, <= 5 deg with the forward model; classification accuracy >= 0.9",
        ("three-peaks",),
        shear.judge,
    ),
    _statistic("catalogue fit", "C1, bias", "truncated ML bias < 0.03 at N 300; unbounded estimator not the default", "power_law_bias"),
    _statistic("catalogue fit", "C1, interval", "95 % interval covers truth in 88-99 % of 200 trials", "power_law_coverage"),
    _statistic("catalogue fit", "C2", "cut-off preferred over pure power law (p < 0.05) at N 1000 in >= 90 %", "cutoff"),
    _statistic("catalogue fit", "C3", "log-normal preferred in >= 90 %", "lognormal"),
    _statistic("catalogue fit", "C4 lambda 1, N 1000, sizes", "tau 1.50 +- 0.10", "branching", 0),
    _statistic("catalogue fit", "C4 lambda 1, N 1000, durations", "alpha 1.79 +- 0.2", "branching", 1),
    _statistic("catalogue fit", "C4 lambda 1, N 1000, size at duration", "slope 1.72 +- 0.1", "branching", 2),
    _statistic(
        "catalogue fit", "C8", "with x_min chosen by completeness tau within 0.15, and no warning; without it the tool warns", "censored"
    ),
    _statistic("waiting times", "C5", "accepted as exponential in >= 90 %", "waiting_poisson"),
    _statistic("waiting times", "C6", "rejected raw and accepted after rate rescaling", "waiting_ageing"),
    _statistic("waiting times", "C7", "K, p, c, a within 2 errors in >= 85 % each", "aftershocks"),
    _statistic(
        "catalogue fit",
        "C8, series of different brightness",
        "tau within 0.15, less spread than from the worst completeness on",
        "brightnesses",
    ),
    Row(
        "end to end",
        "16 S1 scans, n 1.0, ageing: exponent",
        "tau (x in [0.03,0.6]) within 0.2 of the value from noise-free sizes",
        ("end-to-end",),
        events.exponent,
    ),
    Row(
        "end to end",
        "16 S1 scans, n 1.0, ageing, annealing 0.15: brightness",
        "intensity-up-after-event sign significant (permutation p < 0.01)",
        ("end-to-end",),
        events.brighter,
    ),
    Row("live mode", "S3 streamed at frame rate: events", "announced within w + 5 frames", ("live-events",), live.soon),
    Row(
        "live mode",
        "S3 streamed at frame rate: two-time, memory",
        "two-time matrix equal to the batch result (1e-6); memory bounded",
        ("live",),
        judges.live,
    ),
)
