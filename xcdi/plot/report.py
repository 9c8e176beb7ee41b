"""All pictures of a result, as files, as one quick look, and as one page of HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from xcdi.errors import XcdiError
from xcdi.plot import (
    avalanches,
    correlation,
    correlation_maps,
    dislocations,
    event_statistics,
    fluctuations,
    grains,
    page,
    patterson,
    phasing,
    poster,
    preflight,
    reading,
    reconstruction,
    saving,
    slips,
    strain,
    strain_series,
    tables,
    tensor,
)

__all__ = ["CAPTIONS", "figures", "html", "picture", "plot_result"]

Result = Mapping[str, xr.Dataset]
Drawing = Callable[[], Any]

CAPTIONS = {
    "poster": "a, surface of the particle, coloured by the strain along G; b, grains along the beam, boundaries that slipped in the colour "
    "of their events; c, boundaries by their activity; d, two-time correlation, a tick for each event with the letter of its boundary; "
    "e, drop of the correlation across each event; f, share of events at least as large as each, with the fit over its range.",
    "slips": "Slip of each event in the plane of the reflections, coloured by mode, with one standard error; angle of each against its "
    "boundary.",
    "patterson": "Difference Patterson of the largest events: vectors between what moved and what did not, over photon noise.",
    "peak": "Measured Bragg peak: three planes through its middle, counts on a logarithmic scale. Grey pixels are not trusted.",
    "rocking_curve": "Counts in the box against the rocking angle, with their Poisson error.",
    "preflight": "What was found out about the peak before it was phased: three planes, rocking curve, findings with what to do.",
    "starts": "Overlap of every random start with every other, answers framed and kept starts bold; residuals, best first. Only kept "
    "starts are averaged.",
    "prtf": "How well the starts agree at each distance from the peak; above the dashed line the phases are taken as known. A curve that "
    "stays above it has a resolution as fine as the data or finer.",
    "fit": "Counts measured and counts that the object predicts, on one scale; hatched pixels were not measured.",
    "slices": "The object on the grid of the data, whose axes are not at right angles: modulus, and phase from its mean, grey outside "
    "the support.",
    "errors": "Standard error of phase and modulus over starts and photon noise.",
    "object": "Amplitude, phase from its mean and displacement along G in three planes through the centre; lines are grain boundaries.",
    "strain": "Strain along G and the two tilts. The noise floor is printed and marked on the colour bar; red is tension.",
    "strain_errors": "One standard error of the strain and of the two tilts, voxel by voxel.",
    "profile": "Along G through the middle of the particle or, of several grains, of the largest: the blue band is one standard "
    "error, the orange one noise; dashed lines are grain boundaries, dotted ones the largest strain that a voxel can show.",
    "grains": "Grains in three planes through the centre.",
    "grain_graph": "The graph of grains and boundaries over the middle planes: edges as wide as the boundary is large, coloured by its "
    "misorientation.",
    "grain_table": "Means of the grains and what lies between them, each with its standard error; strain and tilts are those beyond the "
    "mean crystal.",
    "surface": "Surface of the particle, coloured by the strain just beneath it.",
    "strain_histogram": "Distribution of the strain, in all voxels and by grain; the shaded band is the noise floor, dotted lines are the "
    "largest strain that a voxel can show.",
    "dislocations": "Dislocation lines inside the translucent particle, coloured by the sign of G.b; thin and pale are vortices of "
    "boundaries and surface.",
    "dislocations_on_slice": "Phase along the beam; curved arrows show the turn on which the displacement along G gains.",
    "tensor": "Components of strain and rotation in one slice; the number in a corner is the median standard error.",
    "tensor_volume": "Strain of volume and equivalent strain (of von Mises) in three planes; lines are grain boundaries.",
    "tensor_forecast": "How much each reflection differs from what the others foretell of it, inside of grains.",
    "series_time": "Order, mean strain, shift of the boundaries and slip along G of every state, with one standard error; an unreliable "
    "state gives no numbers.",
    "series_strain_change": "Change of the strain of each state, beyond its mean, all to one scale; the number in a corner is the median "
    "standard error.",
    "series_displacement_change": "Change of the displacement along G of each state; what slipped whole has one colour.",
    "two_time": "Two-time correlation with a tick for each event on both axes; one-time function with its fit; mean intensity.",
    "age_lag": "Correlation against age and the logarithm of the lag; one-time function with its fit; mean intensity.",
    "g2_aged": "One-time function of each age, coloured by it; the fit is that of all ages.",
    "traces": "Correlation at some lags against the time of the earlier frame; the bar is one standard deviation of noise.",
    "chi": "Variance over time of the correlation against lag, freed of noise, with one standard error; squares are with noise.",
    "regions": "Two-time correlation and one-time function of every region, all to one scale.",
    "relaxation_times": "Relaxation time of every region against its q.",
    "visibility": "Speckle contrast against exposure, with one standard error; the line is what the one-time function foretells.",
    "score": "Detection score of every frame; a tick marks each event.",
    "drops": "Drop of the correlation across each event, with error bars, in the colour of its boundary; circles are what remains once "
    "rigid motion is undone, crosses what is no event of the sample's inside.",
    "completeness": "Share of events put into the measured frames that the search finds, against their drop.",
    "boundary_timeline": "Which boundary each event happened on; larger marks are larger drops, paler ones are less certain.",
    "boundaries": "Grain boundaries coloured by the events named for them, per area; for thin grey ones none is named, "
    "though they may have a share by probability.",
    "boundaries_3d": "The same boundaries in 3D.",
    "event_statistics": "a, sizes with the truncated power law; b, times between successive events; c, the same over their local mean; "
    "d, exponent of bursts against the gap that joins events, the band is that of single events; e, events of each boundary against its "
    "area; f, rate after an event, or mean size at each duration.",
    "size_distribution": "Sizes of the events: share at least as large as each, with the truncated power law over the fitted range only.",
    "waiting_times": "Times between successive events: share at least as long as each.",
}
REGIONS = 4  # two-time maps drawn of one result; more are in the file


def figures(result: Result) -> dict[str, Figure]:
    """Return every picture the result has data for, by name.

    Parameters
    ----------
    result : mapping of str to Dataset
        What a pipeline returns: any of peak, object, crystal, correlation, events, statistics.

    Returns
    -------
    dict of str to Figure
        Names as in `CAPTIONS`; a second region's two-time map is ``two_time_2``. An unreliable crystal gets no
        histogram, for its strain is not a statistic.

    Examples
    --------
    >>> starts = xr.Dataset({"residual": ("start", [0.03, 0.04])})
    >>> list(figures({"object": starts}))
    ['starts']
    """
    return {name: _figure(draw()) for name, draw in _drawings(result)}


def plot_result(result: Result, out: str | Path, *, title: str = "", dpi: float = 150) -> list[Path]:
    """Draw everything into PNG files in the folder `out`, and return their paths.

    Parameters
    ----------
    result : mapping of str to Dataset
        As loaded from a result file.
    out : path
        Folder, made if it is not there.
    title : str
        Begins the names of the files: usually the stem of the result file.
    dpi : float
        Dots per inch.

    Raises
    ------
    XcdiError
        If there is nothing in the result that could be drawn.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, made in figures(result).items():
        path = folder / (f"{title}_{name}.png" if title else f"{name}.png")
        saving.png(made, path, dpi=dpi, bbox_inches="tight")
        paths.append(path)
    if not paths:
        raise XcdiError(
            f"nothing to draw in a result of {', '.join(result) or 'no parts'}; expected one of peak, object, crystal, correlation"
        )
    return paths


def picture(result: Result, path: str | Path, *, dpi: float = 110) -> None:
    """Write one quick PNG: the poster of a whole experiment, or the two-time map, else strain, states, starts or peak.

    The file is written aside and renamed, so whoever looks at `path` always sees a whole picture.

    Raises
    ------
    XcdiError
        If the result has none of these.
    """
    wanted = ["poster", "two_time", "age_lag", "strain", "object", "series_time", "starts", "peak", "event_statistics"]
    wanted += ["size_distribution", "drops", "slips"]
    known = dict(_drawings(result))
    for name in wanted:
        if name in known:
            return saving.png(_figure(known[name]()), Path(path), dpi=dpi, bbox_inches="tight")
    raise XcdiError(f"nothing to draw in a result of {', '.join(result) or 'no parts'}")


def html(
    results: Sequence[Result],
    path: str | Path,
    *,
    title: str,
    score_rows: Sequence[Mapping[str, Any]] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write one self-contained page: figures of merit, tables, pictures, settings; no script and no network.

    Parameters
    ----------
    results : sequence of results
        Drawn one after the other.
    path : path
        HTML file; written aside and renamed.
    title : str
        Heading of the page.
    score_rows : sequence of mappings, optional
        Comparison with a known truth: keys name, measured, bar, pass.
    provenance : mapping, optional
        Settings, version, source; long texts unfold.
    """
    parts = [tables.score(list(score_rows))] if score_rows else []
    for result in results:
        parts += _sections(result)
    if provenance:
        parts += [page.heading("Where the numbers come from"), *tables.provenance(provenance)]
    saving.aside(Path(path), lambda aside: aside.write_text(page.document(title, parts), encoding="utf-8"))


def _drawings(result: Result) -> Iterator[tuple[str, Drawing]]:
    """Name and recipe of every picture that can be drawn; nothing is drawn yet."""
    if poster.can_draw(result):
        yield "poster", lambda: poster.poster(result)
    if "peak" in result:
        yield "peak", lambda: phasing.peak_slices(result["peak"])
        yield "rocking_curve", lambda: phasing.rocking_curve(result["peak"])
        if preflight.findings(result["peak"]):
            yield "preflight", lambda: preflight.card(result["peak"])
    if "object" in result:
        yield from _of_object(result)
    if "crystal" in result:
        yield from _of_crystal(result["crystal"])
        yield from _of_several(result)
    if "series" in result:
        yield "series_time", lambda: strain_series.over_time(result["series"])
        for name in strain_series.CHANGES:
            yield f"series_{name}", partial(strain_series.changes, result["series"], name=name)
    if "correlation" in result:
        yield from _of_correlation(result)
    if "events" in result:
        yield from _of_events(result)
    if "patterson" in result and "events" in result:
        yield "patterson", lambda: patterson.largest(result["patterson"], result["events"])
    if "statistics" in result and "ccdf" in result["statistics"]:
        yield from _of_statistics(result["statistics"])
    if "slips" in result:
        yield "slips", lambda: slips.overview(result["slips"])


def _of_statistics(found: xr.Dataset) -> Iterator[tuple[str, Drawing]]:
    if found.sizes.get("gap", 0) > 1:
        yield "event_statistics", lambda: event_statistics.overview(found)
    yield "size_distribution", lambda: event_statistics.size_distribution(found)
    if found.sizes.get("gap", 0) > 1:
        yield "waiting_times", lambda: event_statistics.waiting_times(found)


def _of_correlation(result: Result) -> Iterator[tuple[str, Drawing]]:
    found, events = result["correlation"], result.get("events")
    more = result.get("fluctuations", found if "chi" in found else None)  # a map from elsewhere has them in itself
    many = range(min(REGIONS, found.sizes["region"]))
    for k in many:
        after = "" if k == 0 else f"_{k + 1}"
        if "two_time" in found:
            yield f"two_time{after}", partial(correlation.overview, found, region=k, events=events)
        elif correlation_maps.by_age(found):
            yield f"age_lag{after}", partial(correlation_maps.age_lag_overview, found, region=k)
        if "g2_aged_binned" in found:
            yield f"g2_aged{after}", partial(fluctuations.aged, found, region=k)
        if more is not None:
            yield f"traces{after}", partial(fluctuations.traces, more, region=k, events=events)
            yield f"chi{after}", partial(fluctuations.chi, more, region=k)
    if found.sizes["region"] > 1 and "two_time" in found:
        yield "regions", lambda: correlation_maps.regions(found)
    if found.sizes["region"] > 1 and "q" in found and "rate" in found:
        yield "relaxation_times", lambda: fluctuations.rates(found)
    if "speckles" in result:
        yield "visibility", lambda: fluctuations.visibility(result["speckles"])


def _of_object(result: Result) -> Iterator[tuple[str, Drawing]]:
    phased = result["object"]
    if "residual" in phased:
        yield "starts", lambda: phasing.starts(phased)
    if "prtf" in phased:
        yield "prtf", lambda: phasing.prtf(phased)
    if "rho" in phased:
        yield "slices", lambda: reconstruction.slices(phased)
        if "counts" in result.get("peak", {}) and result["peak"]["counts"].shape == phased["rho"].shape:
            yield "fit", lambda: reconstruction.intensity(phased, result["peak"])
    if "phase_error" in phased:
        yield "errors", lambda: reconstruction.errors(phased)


def _of_crystal(crystal: xr.Dataset) -> Iterator[tuple[str, Drawing]]:
    for name, wanted in (
        ("object", ("amplitude", "phase", "displacement")),
        ("strain", ("strain", "tilt_1", "tilt_2")),
        ("strain_errors", strain.ERRORS),
        ("grains", ("grain",)),
    ):
        if any(quantity in crystal for quantity in wanted):
            yield name, partial(strain.slices, crystal, names=wanted)
    if "strain" in crystal and reading.vector(crystal, "q_peak") is not None:
        yield "profile", lambda: strain.profile(crystal)
    if "strain" in crystal and bool(np.any(crystal["strain"].notnull())):
        if "amplitude" in crystal:
            yield "surface", lambda: strain.isosurface(crystal)
        if crystal.attrs.get("grade") != "unreliable":
            yield "strain_histogram", lambda: strain.histogram(crystal)


def _of_several(result: Result) -> Iterator[tuple[str, Drawing]]:
    """What a crystal and its tables give together: graph of the grains, dislocations; and the tensor of several reflections."""
    crystal, lines, pairs = result["crystal"], result.get("dislocations", xr.Dataset()), result.get("boundaries", xr.Dataset())
    if "grain" in crystal and "grains" in result and "misorientation" in pairs and pairs.sizes.get("boundary", 0):
        yield "grain_graph", lambda: grains.graphs(crystal, result["grains"], pairs)
        yield "grain_table", lambda: grains.table(result["grains"], pairs)
    if lines.sizes.get("line", 0) and "support" in crystal:
        yield "dislocations", lambda: dislocations.inside(crystal, lines)
        if "phase" in crystal:
            yield "dislocations_on_slice", lambda: dislocations.on_slice(crystal, lines)
    if "strain_xx" in crystal:
        yield "tensor", lambda: tensor.components(crystal)
        if "strain_volume" in crystal:
            yield "tensor_volume", lambda: strain.slices(crystal, names=("strain_volume", "strain_equivalent"))
        if "held_rms" in crystal.attrs:
            yield "tensor_forecast", lambda: tensor.forecast(crystal)


def _of_events(result: Result) -> Iterator[tuple[str, Drawing]]:
    events, areas = result["events"], result.get("boundaries")
    seconds = result["correlation"]["time"].values if "correlation" in result else None
    if "score_trace" in events:
        yield "score", lambda: avalanches.score(events, time=seconds)
    if "drop" in events:
        yield "drops", lambda: avalanches.drops(events)
    if events.sizes.get("injected", 0):
        yield "completeness", lambda: avalanches.completeness(events)
    if "boundary_i" in events and bool(np.any(events["boundary_i"] > 0)):
        yield "boundary_timeline", lambda: avalanches.boundary_timeline(events)
        if "grain" in result.get("crystal", {}):
            yield "boundaries", lambda: avalanches.boundary_slices(result["crystal"], events, areas)
            yield "boundaries_3d", lambda: avalanches.boundary_map(result["crystal"], events, boundaries=areas)


def _figure(drawn: Any) -> Figure:
    return drawn if isinstance(drawn, Figure) else drawn.get_figure()


def _sections(result: Result) -> Iterator[str]:
    """Tables and pictures of one result."""
    yield page.heading(_name(result), warning=_warning(result))
    drawings = list(_drawings(result))
    first = [drawing for drawing in drawings if drawing[0] == "poster"]
    yield from _pictures(first)
    yield from tables.of_result(result)
    yield from _pictures(drawings[len(first) :])


def _pictures(drawings: Iterable[tuple[str, Drawing]]) -> Iterator[str]:
    for name, draw in drawings:
        stem = name if name in CAPTIONS else name.rsplit("_", 1)[0]
        yield page.picture(_figure(draw()), CAPTIONS[stem])


def _name(result: Result) -> str:
    """What the result is of."""
    words = {"crystal": "Crystal", "series": "Time series", "correlation": "Correlation", "events": "Events", "statistics": "Statistics"}
    return ", ".join(word for part, word in words.items() if part in result) or "Result"


def _warning(result: Result) -> str:
    """What a reader must know before the numbers."""
    said = [strain.grade_text(result["crystal"])] if "crystal" in result else []
    said += [str(result[part].attrs["warning"]) for part in result if result[part].attrs.get("warning")]
    return "; ".join(filter(None, said))
