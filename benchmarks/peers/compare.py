"""Phase retrieval beside its peers, each in its own Python: time per iteration, success, missing data, a measured scan.

Run: python benchmarks/peers/compare.py --python pynx=PYTHON --python cohere=PYTHON ... [--parts timing quality cross scan]
     [--quick] [--write]. A peer whose Python is not given is left out. --write renews the sections of benchmarks/PEERS.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import measured
import solving
import timing
from running import engines

PAGE = Path(__file__).parents[1] / "PEERS.md"
TITLES = {
    "timing": "Time per iteration of HIO",
    "quality": "How often a start finds the crystal",
    "cross": "A cross of missing data through the peak",
    "scan": "The measured 34-ID-C scan",
}


def main() -> None:
    options = _options()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    found = [one for one in engines(pythons, sys.executable) if options.only is None or one.script[4:-3] in options.only]
    plain = [one for one in found if one.option != "fused"]  # the fused engine gives the same objects
    oblong = [one for one in plain if one.script != "run_cuphaser.py"]  # it takes cubes only
    work = Path(options.work or tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    few, starts = options.quick, options.starts
    parts = {
        "timing": lambda: timing.section(found, options.edges, options.threads, 3 if few else 9, work),
        "quality": lambda: solving.quality_section(plain, starts or (2 if few else 8), 1e7, work),
        "cross": lambda: solving.cross_section(plain, starts or (2 if few else 8), 4, work),
        "scan": lambda: measured.section(oblong, Path(options.scan), starts or (2 if few else 3), work),
    }
    for name in options.parts:
        body = parts[name]()
        print(f"## {TITLES[name]}\n\n{body}\n", flush=True)
        if options.write:
            PAGE.write_text(renewed(PAGE.read_text() if PAGE.exists() else "# Phase retrieval beside its peers\n", TITLES[name], body))


def renewed(page: str, title: str, body: str) -> str:
    """Return the page with the section of that title replaced, or added at its end."""
    head, *sections = page.split("\n## ")
    kept = {section.split("\n", 1)[0]: section for section in sections}
    kept[title] = f"{title}\n\n{body}\n"
    return "\n## ".join([head, *kept.values()])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PYTHON", help="cohere, pynx, cuphaser or qoraphase")
    parser.add_argument("--parts", nargs="+", choices=TITLES, default=["timing", "quality", "cross"])
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scan", help="frames of the 34-ID-C scan, for the part 'scan'")
    parser.add_argument("--work", help="folder for data and objects; objects found there are not made again; by default a new one")
    parser.add_argument("--only", nargs="+", help="xcdi, qoraphase, pynx, cuphaser, cohere: leave the others out")
    parser.add_argument("--starts", type=int, help="starts of every engine")
    parser.add_argument("--quick", action="store_true", help="fewer visits and starts: the timing table in less than 5 minutes")
    parser.add_argument("--write", action="store_true", help="renew the sections of benchmarks/PEERS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
