"""Where every variable of a result stands in its file."""

from __future__ import annotations

__all__ = ["HOMES", "home_of", "place_of"]

HOMES = {
    "peak": "/entry_1/peak",
    "object": "/entry_1/image_1",
    "crystal": "/entry_1/crystal",
    "grains": "/entry_1/grains",
    "boundaries": "/entry_1/boundaries",
    "triple_lines": "/entry_1/triple_lines",
    "dislocations": "/entry_1/dislocations",
    "series": "/entry_1/series",
    "correlation": "/entry/twotime",
    "fluctuations": "/entry/fluctuations",
    "speckles": "/entry/speckles",
    "events": "/entry/events",
    "patterson": "/entry/patterson",
    "slips": "/entry/slips",
    "statistics": "/entry/statistics",
}
NAMES = {
    ("object", "rho"): "/entry_1/image_1/data",
    ("correlation", "two_time"): "/entry/twotime/two_time_corr_func",
    ("correlation", "g2"): "/entry/data/g2",
    ("correlation", "g2_error"): "/entry/data/g2_derr",
    ("correlation", "frame_sum"): "/entry/data/frame_sum",
    ("correlation", "frame_average"): "/entry/data/frame_average",
}
DELAY_FIRST = ("delay", "region")  # the order of NXxpcs


def home_of(key: str) -> str:
    """HDF5 group of the result `key`; its attributes are those of the dataset.

    Examples
    --------
    >>> home_of("events")
    '/entry/events'
    """
    return HOMES.get(key, f"/entry/{key}")


def place_of(key: str, name: str, dims: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """HDF5 path of the variable `name` of result `key`, and the order of its dims there.

    Examples
    --------
    >>> place_of("object", "rho", ("z", "y", "x"))
    ('/entry_1/image_1/data', ('z', 'y', 'x'))
    >>> place_of("correlation", "g2", ("region", "delay"))
    ('/entry/data/g2', ('delay', 'region'))
    """
    home = home_of(key)
    if key == "correlation" and "delay" in dims:
        home = "/entry/data"
    path = NAMES.get((key, name), f"{home}/{name}")
    if (key, name) == ("object", "data"):  # that place is rho's
        path = f"{home}/variable_data"
    return path, DELAY_FIRST if key == "correlation" and set(dims) == set(DELAY_FIRST) and len(dims) == 2 else dims
