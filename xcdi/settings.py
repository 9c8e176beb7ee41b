"""Settings are frozen pydantic models; TOML files and ``--set`` fill them in."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from xcdi.errors import SettingsError, suggest

__all__ = ["Model", "from_mapping", "override", "read", "template", "to_toml"]


class Model(BaseModel):
    """What every settings and beamline table is: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


T = TypeVar("T", bound=Model)


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the model `kind` from nested `values`, refusing unknown keys.

    Raises
    ------
    SettingsError
        Names the key with its full path (``phasing.betta``) and the nearest real one.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise SettingsError(where + _first_line(error, kind)) from None


def read(kind: type[T], path: str | Path) -> T:
    """Read a TOML file into the model `kind`; its name starts every message.

    Raises
    ------
    SettingsError
        If the file is absent, is not TOML, or holds what `kind` does not know.
    """
    name = Path(path).name
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); expected a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: not TOML: {error}") from None
    return from_mapping(kind, values, f"{name}: ")


def override(settings: T, assignment: str) -> T:
    """Return `settings` with one ``"a.b=value"`` applied; the value is read as TOML, else as text.

    Raises
    ------
    SettingsError
        If there is no ``=``, no such key, or the value does not fit.

    Examples
    --------
    >>> class Demo(Model):
    ...     starts: int = 5
    >>> override(Demo(), "starts=7").starts
    7
    """
    key, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"--set {assignment}: expected key=value, as in --set phasing.starts=5")
    values = settings.model_dump(mode="json")
    *parents, last = key.strip().split(".")
    table = values
    for parent in parents:
        if not isinstance(table.get(parent), dict):
            raise SettingsError(f"--set {key}: no such setting{suggest(parent, table)}")
        table = table[parent]
    table[last] = _value(text.strip())
    return from_mapping(type(settings), values, "--set ")


def template(kind: type[Model]) -> str:
    """The defaults of `kind` as a commented TOML file; reading it back gives ``kind()``."""
    return to_toml(kind())


def to_toml(settings: Model, prefix: str = "") -> str:
    """Write `settings` as TOML; field descriptions become comments.

    Examples
    --------
    >>> class Demo(Model):
    ...     starts: int = 5
    >>> print(to_toml(Demo()))
    starts = 5
    """
    values = settings.model_dump(mode="json")
    lines, tables = [], []
    for name, field in type(settings).model_fields.items():
        child = getattr(settings, name)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(child, Model):
            tables.append(f"\n[{prefix}{name}]{note}\n{to_toml(child, f'{prefix}{name}.')}")
        elif child is None:
            lines.append(f"# {name} = (not set){note}")
        else:
            lines.append(f"{name} = {_toml(values[name])}{note}")
    return "\n".join(lines + tables)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _first_line(error: ValidationError, kind: type[Model]) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{path}: no such setting{suggest(str(first['loc'][-1]), _known(kind, first['loc'][:-1]))}"
    if first["type"] == "missing":
        return f"{path}: missing; expected {first['loc'][-1]} here"
    found = "" if isinstance(first["input"], dict) else f" (found {first['input']!r})"
    key = f"{path}: " if path else ""  # what contradicts itself has no key of its own
    return f"{key}{first['msg'].removeprefix('Value error, ')}{found}"


def _known(kind: Any, path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that `path` leads to."""
    for part in path:
        field = getattr(kind, "model_fields", {}).get(part)
        kind = field.annotation if field is not None else None
    return list(getattr(kind, "model_fields", {}))
