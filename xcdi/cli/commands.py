"""Every command with its arguments; what a command does is imported when it is called."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xcdi import __version__

__all__ = ["app"]

PARAMETERS = "centre_row, centre_column, distance, in_plane, tilt_x, tilt_y"  # of kernels.calibration, which takes time to import

app = typer.Typer(
    name="xcdi",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"xcdi {__version__}")
        raise typer.Exit


class Device(StrEnum):
    """Where arrays are computed on."""

    cpu = "cpu"
    gpu = "gpu"


class Profile(StrEnum):
    """Size of a simulated experiment."""

    pico = "pico"
    nano = "nano"
    std = "std"
    full = "full"


class Subject(StrEnum):
    """What `show` knows about."""

    pipelines = "pipelines"
    beamlines = "beamlines"
    moves = "moves"
    corrections = "corrections"
    variants = "variants"
    settings = "settings"
    file = "file"


@app.callback()
def _top(version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="print the version")] = False) -> None:
    """Coherent X-ray diffraction imaging and photon correlation, from raw frames to strain maps and avalanches."""


Pipeline = Annotated[str, typer.Argument(help="a name (xcdi show pipelines), or your own ./file.py")]
Source = Annotated[Path, typer.Argument(help="file or folder that holds the scans, or a result")]
Scans = Annotated[list[str] | None, typer.Argument(help="names of scans; none: every scan there is")]
BeamlineName = Annotated[str, typer.Option(help="a name (xcdi show beamlines), or your own TOML file")]
SettingsFile = Annotated[Path | None, typer.Option(help="TOML file with the pipeline's settings (xcdi show settings PIPELINE)")]
Assignments = Annotated[list[str] | None, typer.Option("--set", help="one setting, as recipe.starts=5; may be repeated")]
Out = Annotated[Path, typer.Option(help="folder of the results")]
Chunk = Annotated[int, typer.Option(min=1, help="frames read at a time")]


@app.command()
def demo(
    out: Out = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="seed of the simulated experiment")] = 1,
) -> int:
    """Simulate one experiment, run everything on it, compare with the truth."""
    from xcdi.cli.output import usable_cores
    from xcdi.jobs.setup import use_threads

    use_threads(usable_cores())
    from xcdi.cli.demo import demo

    return demo(out, seed)


@app.command()
def simulate(
    name: Annotated[str, typer.Argument(help="what to simulate: particle, speckle, catalogue or crystal")],
    out: Annotated[Path, typer.Argument(help="folder of its raw files and truth.h5")],
    profile: Annotated[Profile, typer.Option(help="its size")] = Profile.nano,
    seed: Annotated[int, typer.Option(min=0, help="same seed, same experiment")] = 1,
    variant: Annotated[str, typer.Option(help="named changes, as standard,dim-0.3 (xcdi show variants)")] = "",
    assignments: Annotated[list[str] | None, typer.Option("--set", help="one option, as grains=5; may be repeated")] = None,
    live: Annotated[float | None, typer.Option(min=1e-3, help="let the series grow in OUT, at so many frames per second")] = None,
    stall: Annotated[list[str] | None, typer.Option(help="live: FRAME:SECONDS, the frame comes late; may be repeated")] = None,
    lose: Annotated[list[str] | None, typer.Option(help="live: FRAME:COUNT, frames never written; may be repeated")] = None,
    kill_after: Annotated[int | None, typer.Option(min=1, help="live: frames after which the writer is killed (SIGKILL)")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="threads [default: every core]; the bytes are the same")] = None,
) -> int:
    """Write the raw detector files of a simulated experiment, and its truth beside them."""
    from xcdi.cli.output import usable_cores
    from xcdi.jobs.setup import use_threads

    use_threads(workers or usable_cores())
    from xcdi.cli.simulate import Order, simulate

    order = Order(name, out, profile.value, seed, variant, assignments or [], live, stall or [], lose or [], kill_after)
    return simulate(order)


@app.command()
def run(
    pipeline: Pipeline,
    file: Source,
    scans: Scans = None,
    beamline: BeamlineName = "",
    settings: SettingsFile = None,
    assignments: Assignments = None,
    device: Annotated[Device, typer.Option(help="where to compute")] = Device.cpu,
    out: Out = Path("out"),
    workers: Annotated[int | None, typer.Option(min=1, help="processes for many scans, threads for one [default: every core]")] = None,
    scheduler: Annotated[str | None, typer.Option(help="dask scheduler that runs the scans, tcp://HOST:PORT")] = None,
    redo: Annotated[bool, typer.Option("--redo", help="compute also what is there already")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done; read no frame")] = False,
    chunk: Chunk = 50,
    then: Annotated[
        str,
        typer.Option(
            metavar="PIPELINE",
            help="then one that reads results, on those of all the scans, done now or before, as avalanche_statistics; "
            "its settings: --set avalanche_statistics.seed=1",
        ),
    ] = "",
) -> int:
    """Put scans through a pipeline; a bad scan does not stop the others, and a second run does what is missing."""
    from xcdi.cli.run import dry_run as describe
    from xcdi.cli.run import run as run_scans
    from xcdi.cli.tasks import Request

    asked = assignments or []
    request = Request(pipeline, file, scans or [], beamline, settings, asked, device.value, out, workers, chunk, redo, then)
    return describe(request) if dry_run else run_scans(request, scheduler)


@app.command()
def live(
    pipeline: Pipeline,
    path: Annotated[Path, typer.Argument(help="growing file, master file, or folder in which scans land")],
    scan: Annotated[str | None, typer.Argument(help="name of the scan; none: each one as it comes")] = None,
    beamline: BeamlineName = "",
    settings: SettingsFile = None,
    assignments: Assignments = None,
    device: Annotated[Device, typer.Option(help="where to compute")] = Device.cpu,
    out: Out = Path("out"),
    workers: Annotated[int | None, typer.Option(min=1, help="threads [default: every core]")] = None,
    patience: Annotated[float, typer.Option(min=0.0, help="seconds without a new frame or scan before the end")] = 30.0,
    redo: Annotated[bool, typer.Option("--redo", help="compute also what is there already")] = False,
    block: Annotated[int | None, typer.Option(min=1, help="frames taken at a time [default: 16, or what the pipeline asks for]")] = None,
    every: Annotated[float, typer.Option(min=0.0, help="least seconds between two updates of latest.h5 and latest.png")] = 3.0,
    poll: Annotated[float, typer.Option(min=0.01, help="seconds between two looks at the file")] = 0.2,
) -> int:
    """The same numbers as run, while the detector writes; OUT/latest.h5 and OUT/latest.png follow."""
    from xcdi.cli.live import live as follow
    from xcdi.cli.tasks import Request

    scans = [scan] if scan else []
    request = Request(pipeline, path, scans, beamline, settings, assignments or [], device.value, out, workers, block or 16, redo)
    return follow(request, patience_s=patience, block=block, every_s=every, poll_s=poll)


@app.command()
def check(
    pipeline: Pipeline,
    file: Annotated[Path | None, typer.Argument(help="file or folder that holds the scans")] = None,
    scans: Scans = None,
    beamline: BeamlineName = "",
    settings: SettingsFile = None,
    assignments: Assignments = None,
    device: Annotated[Device, typer.Option(help="where to compute")] = Device.cpu,
    out: Out = Path("out"),
    chunk: Chunk = 50,
) -> int:
    """Look for everything that would go wrong, without computing."""
    from xcdi.cli.check import check as look
    from xcdi.cli.tasks import Request

    return look(Request(pipeline, file, scans or [], beamline, settings, assignments or [], device.value, out, None, chunk))


@app.command()
def diagnose(
    file: Source,
    scans: Scans = None,
    beamline: BeamlineName = "",
    pipeline: Annotated[str, typer.Option(help="whose settings give corrections and box")] = "bcdi_strain",
    settings: SettingsFile = None,
    assignments: Assignments = None,
    out: Annotated[Path | None, typer.Option(help="folder of a picture per scan; none: no picture")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="threads [default: every core]")] = None,
    chunk: Chunk = 50,
) -> int:
    """Read rocking scans and say, before phasing, what stands in its way: light, sampling, saturation, gaps, coherence."""
    from xcdi.cli.preflight import diagnose as look
    from xcdi.cli.tasks import Request

    return look(Request(pipeline, file, scans or [], beamline, settings, assignments or [], "cpu", out or Path("out"), workers, chunk), out)


@app.command()
def calibrate(
    file: Source,
    scan: str,
    beamline: BeamlineName = "",
    keep: Annotated[list[str] | None, typer.Option(help=f"what stays as it is: {PARAMETERS}; may be repeated")] = None,
    chunk: Chunk = 50,
) -> int:
    """Fit centre, distance and tilts of the detector to a scan of its arm through the direct beam."""
    from xcdi.cli.calibrate import calibrate as fit

    return fit(file, scan, beamline, keep=keep or [], chunk=chunk)


@app.command("two-time")
def two_time(
    file: Annotated[Path, typer.Argument(help=".npy file with a two-time correlation, a square matrix", metavar="MAP.npy")],
    frame_time: Annotated[float | None, typer.Option(min=1e-12, help="seconds from frame to frame [default: unknown]")] = None,
    pixels: Annotated[int | None, typer.Option(min=1, help="pixels that were averaged [default: unknown]")] = None,
    window: Annotated[int, typer.Option(min=4, help="frames on either side of an event")] = 12,
    out: Out = Path("out"),
) -> int:
    """Read a two-time correlation from elsewhere: one-time function, ages, traces and their variance, and events."""
    from xcdi.cli.two_time import two_time as describe

    return describe(file, out, frame_time_s=frame_time, pixels=pixels, window=window)


@app.command()
def show(
    subject: Annotated[Subject, typer.Argument(help="what to show")],
    name: Annotated[str | None, typer.Argument(help="with settings: the pipeline; with file: the file")] = None,
) -> int:
    """Show what there is: pipelines, beamlines, moves, corrections, variants, settings PIPELINE, file F."""
    from xcdi.cli.show import show as tell

    return tell(subject.value, name)


@app.command()
def plot(
    results: Annotated[list[Path], typer.Argument(help="result files, folders of them, or of simulated experiments")],
    out: Annotated[Path | None, typer.Option(help="folder of the pictures; none: beside each result")] = None,
) -> int:
    """Draw the pictures of result files."""
    from xcdi.cli.plot import plot as draw

    return draw(results, out)


@app.command()
def score(
    results: Annotated[list[Path], typer.Argument(help="result files of one simulated experiment")],
    truth: Annotated[Path, typer.Option(help="its truth.h5")],
    json: Annotated[str | None, typer.Option(metavar="FILE", help="write the rows as JSON too; - for JSON in place of the table")] = None,
) -> int:
    """Compare results with the truth of the simulation that they came from."""
    from xcdi.cli.score import score as compare

    return compare(results, truth, json)


@app.command()
def doctor() -> int:
    """Say what this machine has: versions, cores, memory, HDF5 filters, GPU."""
    from xcdi.cli.doctor import doctor as examine

    return examine()
