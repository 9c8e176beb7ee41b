"""``xcdi show``: what there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from xcdi import settings
from xcdi.beamline import beamline_names, load_beamline
from xcdi.errors import XcdiError
from xcdi.jobs import pipelines

__all__ = ["show"]


def show(subject: str, name: str | None) -> int:
    """Print one subject; `name` is the pipeline of ``settings``, the file of ``file``."""
    if subject == "settings":
        print(settings.template(_settings(_needed(name, "show settings PIPELINE"))))
        return 0
    if subject == "file":
        from xcdi.cli.contents import contents

        for line in contents(Path(_needed(name, "show file F"))):
            print(line)
        return 0
    if name is not None:
        raise XcdiError(f"show {subject} takes no name, got {name!r}")
    tables = {"pipelines": _pipelines, "beamlines": _beamlines, "moves": _moves, "corrections": _corrections, "variants": _variants}
    _table(tables[subject]())
    return 0


def _settings(name: str) -> type[settings.Model]:
    """Settings of a pipeline, or options of a simulated experiment."""
    from xcdi.artificial import catalogues, crystal, profiles, speckle

    experiments: dict[str, type[settings.Model]] = {
        "particle": profiles.Profile,
        "speckle": speckle.Speckle,
        "catalogue": catalogues.Catalogue,
        "crystal": crystal.Crystal,
    }
    if name in experiments:
        return experiments[name]
    found: type[settings.Model] = pipelines.find(name).Settings
    return found


def _pipelines() -> dict[str, str]:
    return {name: pipelines.first_line(path) for name, path in pipelines.names().items()}


def _beamlines() -> dict[str, str]:
    found = {}
    for name, path in beamline_names().items():
        beamline = load_beamline(name)
        size = " × ".join(map(str, beamline.detector.shape)) if beamline.detector.shape else "size from the frames"
        found[name] = f"{beamline.format}, detector {size}  {path}"
    return found


def _moves() -> dict[str, str]:
    from xcdi.kernels.phasing import moves

    return _offered(moves)


def _corrections() -> dict[str, str]:
    from xcdi.stages import corrections

    return {name: line for name, line in _offered(corrections).items() if name not in ("apply", "find_bad_pixels")}


def _variants() -> dict[str, str]:
    """Variants of every simulated experiment, and the options that each sets."""
    from xcdi.artificial import catalogues, crystal, speckle, variants

    bare = (variants.bare.__doc__ or "").partition("\n")[0].removeprefix("Return the options that leave ")
    rows = {"particle bare": bare}
    for suite, known in (
        ("particle", variants.VARIANTS),
        ("speckle", speckle.SPECKLE_VARIANTS),
        ("catalogue", catalogues.VARIANTS),
        ("crystal", crystal.VARIANTS),
    ):
        rows |= {f"{suite} {name}": ", ".join(f"{key}={value}" for key, value in options.items()) for name, options in known.items()}
    return rows


def _offered(module: ModuleType) -> dict[str, str]:
    return {name: (getattr(module, name).__doc__ or "").partition("\n")[0] for name in module.__all__}


def _table(rows: Mapping[str, str]) -> None:
    width = max(map(len, rows), default=0)
    for name, line in rows.items():
        print(f"{name:<{width}}  {line}")


def _needed(name: str | None, usage: str) -> str:
    if name is None:
        raise XcdiError(f"expected a name: xcdi {usage}")
    return name
