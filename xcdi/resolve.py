"""Turn a name in a settings file into the function it means."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from xcdi.errors import XcdiError, suggest

__all__ = ["load_module", "resolve"]


def resolve(name: str, home: ModuleType) -> Any:
    """Return the object that `name` means to a settings file.

    Parameters
    ----------
    name : str
        ``"hio"``, a name in ``home.__all__``; ``"package.module:object"``; or
        ``"file.py:object"``. The last two need no registration.
    home : module
        Where bare names live.

    Raises
    ------
    XcdiError
        If there is no such object; the message proposes the nearest name.
    """
    place, _, attribute = name.rpartition(":")
    module = load_module(place) if place else home
    known = list(home.__all__) if module is home else [k for k in vars(module) if not k.startswith("_")]
    if attribute not in known:
        raise XcdiError(f"{place or home.__name__} offers no {attribute!r}{suggest(attribute, known)}")
    return getattr(module, attribute)


def load_module(place: str) -> ModuleType:
    """Import a dotted module name, or the file at a path that ends in ``.py``.

    Raises
    ------
    XcdiError
        If there is no such module or file.
    """
    if not place.endswith(".py"):
        try:
            return import_module(place)
        except ModuleNotFoundError as error:
            if error.name and (place == error.name or place.startswith(error.name + ".")):
                raise XcdiError(f"no module {place!r}") from None
            raise
    if not Path(place).is_file():
        raise XcdiError(f"no file {place!r}")
    spec = spec_from_file_location(f"xcdi_user_{Path(place).stem}", place)
    if spec is None or spec.loader is None:
        raise XcdiError(f"{place!r} cannot be imported as Python")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
