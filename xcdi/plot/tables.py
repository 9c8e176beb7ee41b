"""What is read better as numbers: one table per part of a result, as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from xcdi.plot import page, reading

__all__ = ["of_result", "provenance", "score", "text"]

Result = Mapping[str, xr.Dataset]
Column = tuple[str, Callable[[xr.Dataset, int], str]]

SEARCH: tuple[str, ...] = (
    *("detector", "window", "threshold", "false_alarms_per_10000", "false_alarms_expected", "surrogates"),
    *("smallest_visible", "completeness", "smallest_expected", "merging", "not_avalanches", "left_out", "good_frames", "duration_s"),
    *("normalisation", "clock", "frame", "series_angle_deg", "attribution"),
)


def of_result(result: Result) -> Iterator[str]:
    """Yield one HTML table for every part of a result that has numbers worth reading.

    Examples
    --------
    >>> list(of_result({"object": xr.Dataset(attrs={"grade": "good", "agreement": 0.97})}))[0].count("<tr>")
    3
    """
    for part, make in (("object", _crystal), ("crystal", _crystal), ("grains", _grains), ("boundaries", _boundaries)):
        if part in result and not (part == "crystal" and "object" in result):
            yield from make(result)
    if "correlation" in result:
        yield _fits(result["correlation"])
    if "events" in result:
        yield from _events(result["events"])
    if "statistics" in result:
        yield _statistics(result["statistics"])


def score(rows: list[Mapping[str, Any]]) -> str:
    """Return the comparison with a known truth as a table: what was measured, the bar, and whether it was met.

    Examples
    --------
    >>> "FAIL" in score([{"name": "strain", "measured": 3e-3, "bar": "<= 1.5e-3", "pass": False}])
    True
    """
    missed = sum(not row["pass"] for row in rows)
    cells = [[str(row["name"]), text(row["measured"]), text(row["bar"]), "pass" if row["pass"] else "FAIL"] for row in rows]
    classes = ["pass" if row["pass"] else "fail" for row in rows]
    head = page.heading(f"Compared with the truth: {len(rows) - missed} of {len(rows)} figures meet their bar")
    return head + page.table(["figure", "measured", "bar", ""], cells, classes=classes)


def provenance(known: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the numbers come from: short values in a table, settings and other long texts unfolded by a click."""
    short = {name: text(value) for name, value in known.items() if not _long(value)}
    if short:
        yield page.table(["what", "value"], [[name.replace("_", " "), value] for name, value in short.items()])
    for name, value in known.items():
        if _long(value):
            yield page.pre(name.replace("_", " "), _lines(value))


def text(value: Any) -> str:
    """Return a value as one writes it.

    Examples
    --------
    >>> text(0.123456), text(True), text([1, 2.5])
    ('0.1235', 'yes', '1, 2.5')
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple, np.ndarray)):
        return ", ".join(text(item) for item in np.ravel(np.asarray(value, dtype=object)))
    return str(value)


def _crystal(result: Result) -> Iterator[str]:
    """Grade and the global numbers of the reconstruction."""
    attrs = {**result.get("peak", xr.Dataset()).attrs, **result.get("object", xr.Dataset()).attrs}
    attrs |= result.get("crystal", xr.Dataset()).attrs
    words = {
        "grade": "grade",
        "agreement": "agreement of the starts",
        "n_good": "starts kept",
        "residual": "residual",
        "d_spacing_nm": "lattice spacing (nm)",
        "two_theta_deg": "two theta (deg)",
        "mean_d_spacing_nm": "mean lattice spacing (nm)",
        "mean_strain": "mean strain",
        "noise_floor": "strain noise floor",
    }
    rows = [[word, text(attrs[name])] for name, word in words.items() if name in attrs]
    if "grains" in result:
        rows.append(["grains", str(max(result["grains"].sizes.values(), default=0))])
    if rows:
        yield page.table(["crystal", ""], rows)


def _grains(result: Result) -> Iterator[str]:
    columns = {
        "grain": _whole("id", "grain"),
        "volume (µm³)": _plain("volume_nm3", 1e-9),
        "mean strain (10⁻³)": _with_error("strain", 1e3),
        "tilt 1 (mrad)": _with_error("tilt_1", 1e3),
        "tilt 2 (mrad)": _with_error("tilt_2", 1e3),
        "amplitude": _plain("amplitude"),
    }
    yield from _columns(result["grains"], "grain", columns)


def _boundaries(result: Result) -> Iterator[str]:
    columns = {
        "between grains": _pair("i", "j"),
        "area (µm²)": _plain("area_nm2", 1e-6),
        "amplitude dip": _plain("dip"),
        "strain step (10⁻³)": _with_error("d_strain", 1e3),
        "tilt 1 step (mrad)": _with_error("d_tilt_1", 1e3),
        "tilt 2 step (mrad)": _with_error("d_tilt_2", 1e3),
        "phase jump (rad)": _with_error("phase_jump"),
    }
    yield from _columns(result["boundaries"], "boundary", columns)


def _events(events: xr.Dataset) -> Iterator[str]:
    """All events, and how they were looked for."""
    if events.sizes.get("event", 0) == 0:
        yield page.heading("Events") + "<p>No event above the threshold.</p>"
        return
    columns = {
        "time (s)": _plain("time", digits=6),
        "frame": _whole("frame"),
        "score": _plain("score"),
        "false alarms (per 10⁴ frames)": _plain("false_alarm_rate", digits=2),
        "drop": _with_error("drop"),
        "internal drop": _with_error("drop_internal", error="internal_error"),
        "fraction": _with_error("fraction"),
        "tilt over spacing": _plain("anisotropy"),
        "region (nm)": _plain("region_length"),
        "return": _plain("return_index", digits=2),
        "brightness (%)": _with_error("brightness_step", 100.0, error="brightness_error"),
        "duration (s)": _duration,
        "product of neighbours": _with_error("product_ratio", error="product_error"),
        "strain step (10⁻⁵)": _plain("strain_step", 1e5),
        "rotation (mdeg)": _plain("rotation_step", 1e3),
        "slip (nm)": _length("slip"),
        "slip to boundary (deg)": _plain("shear_angle"),
        "mode": _word("mode"),
        "boundary": _pair("boundary_i", "boundary_j"),
        "moved grain": _whole("grain"),
        "probability": _plain("probability"),
        "remarks": _word("flags"),
        "of the boundary": _word("attribution_note"),
    }
    yield page.heading(f"{events.sizes['event']} events")
    yield from _columns(events, "event", columns)
    how = {name: events.attrs[name] for name in SEARCH if name in events.attrs}
    if how:
        yield page.table(["search", ""], [[name.replace("_", " "), text(value)] for name, value in how.items()])


def _fits(correlation: xr.Dataset) -> str:
    """One row of fit results per region."""
    names = ("q", "contrast", "rate", "exponent", "fit_contrast", "baseline")
    have = [name for name in names if name in correlation.variables]
    units = {name: reading.quantity_label(correlation[name], name.replace("_", " ")) for name in have}
    rows = []
    for k in range(correlation.sizes.get("region", 0)):
        cells = [reading.value(correlation, name, k) for name in have]
        errors = [reading.value(correlation, f"{name}_error", k) for name in have]
        rows.append([str(k + 1), *("–" if c is None else reading.number(c, e) for c, e in zip(cells, errors, strict=True))])
    clean = [words.replace("$^{-1}$", "⁻¹") for words in units.values()]
    return page.table(["region", *clean], rows)


def _statistics(statistics: xr.Dataset) -> str:
    """Every single number of the statistics, with its error where it has one."""
    rows = []
    for name in [*statistics.data_vars, *statistics.attrs]:
        if str(name).endswith("_error") or (name in statistics and statistics[name].ndim):
            continue
        found = reading.value(statistics, str(name))
        shown = (
            reading.number(found, reading.value(statistics, f"{name}_error")) if found is not None else text(_raw(statistics, str(name)))
        )
        rows.append([str(name).replace("_", " "), shown])
    if "law" in statistics.coords and "ratio" in statistics:
        for law, ratio, p in zip(statistics["law"].values, statistics["ratio"].values, statistics["ratio_p"].values, strict=True):
            rows.append([f"power law against {law}", f"log-likelihood ratio {ratio:.3g}, p = {p:.2g}"])
    return page.table(["statistics", ""], rows)


def _raw(dataset: xr.Dataset, name: str) -> Any:
    return dataset[name].values.item() if name in dataset else dataset.attrs[name]


def _columns(dataset: xr.Dataset, dim: str, columns: Mapping[str, Callable[[xr.Dataset, int], str | None]]) -> Iterator[str]:
    """A table of the columns that the data have."""
    count = dataset.sizes.get(dim, 0)
    cells = {head: [make(dataset, k) for k in range(count)] for head, make in columns.items()}
    cells = {head: column for head, column in cells.items() if any(cell is not None for cell in column)}
    if cells:
        yield page.table(list(cells), [[cell or "" for cell in row] for row in zip(*cells.values(), strict=True)])


def _plain(name: str, scale: float = 1.0, *, digits: int = 3) -> Callable[[xr.Dataset, int], str | None]:
    return lambda ds, k: reading.number(float(ds[name].values[k]) * scale, digits=digits) if name in ds.variables else None


def _whole(*names: str) -> Callable[[xr.Dataset, int], str | None]:
    """The first of `names` that there is, as a whole number; a dash for a number that means none."""

    def make(ds: xr.Dataset, k: int) -> str | None:
        for name in names:
            if name in ds.variables:
                return str(int(ds[name].values[k])) if ds[name].values[k] >= 0 else "–"
        return None

    return make


def _with_error(name: str, scale: float = 1.0, *, error: str | None = None) -> Callable[[xr.Dataset, int], str | None]:
    def make(ds: xr.Dataset, k: int) -> str | None:
        if name not in ds.variables:
            return None
        beside = error or f"{name}_error"
        known = float(ds[beside].values[k]) * scale if beside in ds.variables else None
        return reading.number(float(ds[name].values[k]) * scale, known)

    return make


def _pair(first: str, second: str) -> Callable[[xr.Dataset, int], str | None]:
    def make(ds: xr.Dataset, k: int) -> str | None:
        if first not in ds.variables or second not in ds.variables:
            return None
        i, j = int(ds[first].values[k]), int(ds[second].values[k])
        return f"{i}–{j}" if i > 0 and j > 0 else "–"

    return make


def _length(name: str) -> Callable[[xr.Dataset, int], str | None]:
    """Length of a vector."""

    def make(ds: xr.Dataset, k: int) -> str | None:
        return reading.number(float(np.linalg.norm(ds[name].isel(event=k).values))) if name in ds.variables else None

    return make


def _duration(ds: xr.Dataset, k: int) -> str | None:
    """Duration of an event, or the frame time that it is not longer than."""
    if "duration" not in ds.variables:
        return None
    resolved = "duration_resolved" not in ds.variables or bool(ds["duration_resolved"].values[k])
    return f"{'' if resolved else '≤ '}{reading.number(float(ds['duration'].values[k]))}"


def _word(name: str) -> Callable[[xr.Dataset, int], str | None]:
    return lambda ds, k: str(ds[name].values[k]) if name in ds.variables else None


def _long(value: Any) -> bool:
    return isinstance(value, Mapping) or len(text(value)) > 120 or "\n" in text(value)


def _lines(value: Any) -> str:
    return "\n".join(f"{name} = {text(item)}" for name, item in value.items()) if isinstance(value, Mapping) else text(value)
