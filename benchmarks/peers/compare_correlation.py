"""Two-time and multi-tau correlation beside peers, each in its own Python, on the same simulated speckle.

Run: python benchmarks/peers/compare_correlation.py --python boost_corr=PYTHON --python xpcs_correlator=PYTHON ...
     [--parts two_time multi_tau few] [--threads 1 2] [--work FOLDER] [--write]. A peer whose Python is not given is left out.
--write renews the sections of benchmarks/PEERS.md. Cases found in FOLDER are not made again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from compare import PAGE, renewed
from running import Engine, Running, started
from speckle_cases import Case, analytic, exact, simulated

LAGS = 1000  # deviations of g2 are over the lags up to here
PATIENCE = 8.0  # CPU seconds of one engine on one case: afterwards it is not asked again
TITLES = {
    "two_time": "Two-time correlation",
    "multi_tau": "Multi-tau correlation",
    "few": "One photon a frame in a region of 100 pixels",
}
SLOW = Case(1000, 10_000, 0.1)  # the only one for which scikit-beam is asked for a map
CASES = {
    "two_time": [
        Case(4000, 10_000, 1),
        Case(4000, 10_000, 0.1),
        Case(4000, 10_000, 0.01),
        Case(10_000, 10_000, 0.1),
        Case(20_000, 10_000, 0.01),
        Case(4000, 100_000, 0.1, 10),
        SLOW,
    ],
    "multi_tau": [
        Case(4000, 10_000, 0.1),
        Case(4000, 10_000, 0.01),
        Case(20_000, 10_000, 0.01),
        Case(10_000, 100_000, 0.1),
        Case(10_000, 100_000, 0.01),
    ],
    "few": [Case(1000, 10_000, 0.01, 100)],
}


class Way(NamedTuple):
    """One way through one engine: what the tables call it, and the most products of two counts it is asked for.

    For a way by photons these are products of two photons.
    """

    key: str
    option: str
    title: str
    most: float = np.inf

    def takes(self, case: Case) -> bool:
        products = case.frames**2 * case.pixels * (case.mu**2 if "sparse" in self.option else 1)
        return products <= self.most and (case != SLOW or self.key in ASKED_SLOW)


ASKED_SLOW = ("xcdi", "boost_corr", "scikit_beam")
WAYS = {
    "two_time": [
        Way("xcdi", "map", "xcdi, map and g2"),
        Way("xcdi", "ages", "xcdi, ages by lags and g2, tile by tile"),
        Way("boost_corr", "two_time", "boost-corr, map and g2"),
        Way("xpcs_correlator", "dense", "xpcs-correlator, dense, map and g2", 2e12),
        Way("xpcs_correlator", "sparse_map", "xpcs-correlator, sparse, map and g2", 2e9),
        Way("xpcs_correlator", "sparse_ages", "xpcs-correlator, sparse, ages by lags and g2", 2e9),
        Way("pychx", "two_time", "pyCHX, map and g2", 2e11),
        Way("scikit_beam", "two_time", "scikit-beam, map and g2", 1e10),
    ],
    "multi_tau": [
        Way("xcdi", "multi_tau", "xcdi"),
        Way("xcdi", "multi_tau_errors", "xcdi, with errors"),
        Way("boost_corr", "multi_tau", "boost-corr, with errors"),
        Way("scikit_beam", "multi_tau", "scikit-beam", 2e11),
        Way("pychx", "multi_tau", "pyCHX", 2e11),
        Way("xcdi", "g2", "xcdi, g2 at every lag", 5e12),
        Way("xpcs_correlator", "sparse_g2", "xpcs-correlator, sparse, g2 at every lag", 2e9),
    ],
}
WAYS["few"] = [way for part in ("two_time", "multi_tau") for way in WAYS[part] if way.most > 1e10 or way.key != "scikit_beam"]


class Seen(NamedTuple):
    """What one way gave for one case: its version, medians of the visits, and its result."""

    way: Way
    version: str
    wall: float
    cpu: float
    peak: float
    syrks: float
    result: dict[str, np.ndarray]


def main() -> None:
    options = _options()
    pythons = {"xcdi": sys.executable, **dict(pair.split("=", 1) for pair in options.python)}
    pythons = {key: python for key, python in pythons.items() if options.only is None or key in options.only}
    work = Path(options.work or tempfile.mkdtemp()).resolve()
    work.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        bodies = []
        for case in CASES[part]:
            if options.cases and not any(text in case.name for text in options.cases):
                continue
            for threads in options.threads if part != "few" else options.threads[:1]:
                ways = [way for way in WAYS[part] if way.key in pythons and way.takes(case)]
                seen = _visited(ways, pythons, case, threads, options.visits if part != "few" else 1, work)
                lines = _few(seen) if part == "few" else [_heading(case, threads), *_table(seen, case, work)]
                bodies.append("\n".join(lines))
                print(bodies[-1], flush=True)
        if options.write:
            PAGE.write_text(renewed(PAGE.read_text(), TITLES[part], "\n\n".join(bodies)))


def _visited(ways: list[Way], pythons: dict[str, str], case: Case, threads: int, visits: int, work: Path) -> list[Seen]:
    """Let the ways take turns; where memory is short, one after the other."""
    file = simulated(case, work)
    engines = [Engine(way.title, _script(way), pythons[way.key], way.option) for way in ways]
    if case.frames * case.pixels <= 1e8:
        return _turns(ways, engines, file, threads, visits, work)
    return [_turns([way], [engine], file, threads, visits, work)[0] for way, engine in zip(ways, engines, strict=True)]


def _turns(ways: list[Way], engines: list[Engine], file: Path, threads: int, visits: int, work: Path) -> list[Seen]:
    with ExitStack() as stack:
        running = [stack.enter_context(started(engine, threads=threads, log=work / "errors.txt")) for engine in engines]
        versions = [one.ask(do="load", file=str(file))["version"] for one in running]
        answers: list[list[dict[str, Any]]] = [[] for _ in ways]
        for _ in range(visits):
            for i, one in enumerate(running):
                if sum(answer["cpu"] for answer in answers[i]) < PATIENCE:
                    answers[i].append(one.ask(do="run", file=str(_result(one, work)) if not answers[i] else ""))
        results = [_loaded(_result(one, work)) for one in running]
    return [_seen(*those) for those in zip(ways, versions, answers, results, strict=True)]


def _seen(way: Way, version: str, answers: list[dict[str, Any]], result: dict[str, np.ndarray]) -> Seen:
    middle = {name: float(np.median([answer[name] for answer in answers])) for name in ("wall", "cpu", "peak")}
    syrks = float(np.median([answer["cpu"] / answer["syrk"] for answer in answers]))
    return Seen(way, version, middle["wall"], middle["cpu"], middle["peak"], syrks, result)


def _result(one: Running, work: Path) -> Path:
    return work / f"{one.engine.script[:-3]}_{one.engine.option}_result.npz"


def _loaded(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as saved:
        return dict(saved)


def _script(way: Way) -> str:
    return "run_xcdi_correlation.py" if way.key == "xcdi" else f"run_{way.key}.py"


def _heading(case: Case, threads: int) -> str:
    columns = ["way", "CPU s", "wall s", "of ssyrk", "peak MB", "g2 off the exact", "off the truth (expected)", "map off the exact", "mean"]
    many = "s" if threads > 1 else ""
    return f"**{case.name}, {threads} thread{many}**\n\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def _table(seen: list[Seen], case: Case, work: Path) -> list[str]:
    with np.load(simulated(case, work)) as saved:
        counts, pairs = saved["counts"][:, saved["regions"] == 1], saved["pairs"]
    known: dict[bytes, Any] = {}
    return [_row(one, case, counts, pairs, known) for one in seen]


def _row(one: Seen, case: Case, counts: np.ndarray, pairs: np.ndarray, known: dict[bytes, Any]) -> str:
    """Return the line of one way; g2 and map are those of the first region."""
    result, few = one.result, one.result["lags"] <= LAGS
    lags, widths, g2 = result["lags"][few].astype(int), result["widths"][few].astype(int), result["g2"][0][few]
    key = lags.tobytes() + widths.tobytes() + bytes("symmetric" in result)
    if key not in known:
        known[key] = exact(counts, lags, widths, symmetric="symmetric" in result)
    right = known[key]
    syrk = one.syrks / (case.frames**2 * (case.pixels / 2**30))
    cells = [f"{one.cpu:.3g}", f"{one.wall:.3g}", f"{syrk:.3g}", f"{one.peak:.0f}", f"{_rms(g2 - right.g2):.1e}"]
    cells.append(f"{_rms(g2 - analytic(lags, widths)):.1e} ({_rms(right.error):.1e})")
    if "pairs" in result:
        products = np.einsum("ip,ip->i", counts[pairs[0]], counts[pairs[1]], dtype=float, casting="safe")
        totals = counts.sum(axis=1, dtype=float)
        exactly = counts.shape[1] * products / (totals[pairs[0]] * totals[pairs[1]])
        cells += [f"{_rms(result['pairs'] - exactly):.1e}", f"{result['offset']:+.1e}"]
    else:
        cells += ["", ""]
    return f"| {one.way.title} {one.version} | " + " | ".join(cells) + " |"


def _few(seen: list[Seen]) -> list[str]:
    lines = [
        "100 regions of 100 pixels, 1000 frames: mean and its error over the regions. The truth is 1.240 at lag 1 and 1.000 at 300.",
        "",
        "| way | g2 at lag 1 | g2 at about lag 300 |",
        "|---|---|---|",
    ]
    for one in seen:
        g2, lags = one.result["g2"], one.result["lags"]
        near = [int(np.argmin(np.abs(lags - lag))) for lag in (1, 300)]
        found = [(np.nanmean(g2[:, i]), np.nanstd(g2[:, i]) / np.sqrt(len(g2))) for i in near]
        lines.append(f"| {one.way.title} {one.version} | " + " | ".join(f"{mean:.3f} +- {error:.3f}" for mean, error in found) + " |")
    return lines


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(np.square(a))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", action="append", default=[], metavar="PEER=PYTHON", help="boost_corr, xpcs_correlator, scikit_beam, pychx"
    )
    parser.add_argument("--parts", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--cases", nargs="+", help="those whose name holds one of these texts")
    parser.add_argument("--only", nargs="+", help="xcdi, boost_corr, xpcs_correlator, scikit_beam, pychx: leave the others out")
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--work", help="folder for cases and results; by default a new one")
    parser.add_argument("--write", action="store_true", help="renew the sections of benchmarks/PEERS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
