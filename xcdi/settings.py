"""Settings are frozen pydantic models; TOML files and ``--set`` fill them in."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from xcdi.errors import SettingsError, suggest

__all__ = ["Model", "from_mapping", "override", "read", "template", "to_toml"]


class Model(BaseModel):
    """What every settings and beamline table is: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


T = TypeVar("T", bound=Model)
COUNTS = {2: "two", 3: "three", 4: "four"}
PLAIN: dict[Any, tuple[str, str, str]] = {  # one, several, an example
    int: ("an integer", "integers", "1"),
    float: ("a number", "numbers", "0.5"),
    str: ("text", "texts", '"..."'),
    bool: ("true or false", "of true or false", "true"),
}


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


def override(settings: T, *assignments: str) -> T:
    """Return `settings` with every ``"a.b=value"`` applied; a value is read as TOML, else as text. All are checked together.

    Raises
    ------
    SettingsError
        If there is no ``=``, no such key, or the values do not fit, each or together.

    Examples
    --------
    >>> class Demo(Model):
    ...     starts: int = 5
    ...     seed: int = 0
    >>> override(Demo(), "starts=7", "seed=3")
    Demo(starts=7, seed=3)
    """
    values = settings.model_dump(mode="json")
    for assignment in assignments:
        _assign(values, assignment, type(settings))
    return from_mapping(type(settings), values, "--set ")


def _assign(values: dict[str, Any], assignment: str, kind: type[Model]) -> None:
    key, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"--set {assignment}: expected key=value, as in --set recipe.starts=5")
    *parents, last = key.strip().split(".")
    table = values
    for parent in parents:
        if parent in table and table[parent] is None:
            table[parent] = {}  # one that was not set until now
        if not isinstance(table.get(parent), dict):
            raise SettingsError(f"--set {key}: no such setting{_meant(parent, list(table), kind, last)}")
        table = table[parent]
    table[last] = _value(text.strip())


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
    """What is wrong first: where, what was expected, what was found."""
    first = error.errors()[0]
    names, field = _reached(kind, first["loc"])
    path = ".".join(names)
    key = f"{path}: " if path else ""  # what contradicts itself has no key of its own
    if first["type"] == "extra_forbidden":
        known = _known(kind, first["loc"][:-1])
        return f"{'.'.join(map(str, first['loc']))}: no such setting{_meant(str(first['loc'][-1]), known, kind)}"
    found = "" if isinstance(first["input"], dict) else f" (found {first['input']!r})"
    if first["type"] == "value_error" or field is None:
        return f"{key}{first['msg'].removeprefix('Value error, ')}{found}"
    if not first["type"].endswith(("missing", "_type", "_parsing", "_long", "_short", "_float", "literal_error")):
        return f"{key}expected a value {first['msg'].removeprefix('Input should be ')}{found}"
    note = f": {field.description}" if field.description else ""
    if first["type"] == "missing" and len(names) == len(first["loc"]):  # a key, and no place in a list
        _, table = _reached(kind, first["loc"][:-1])
        return f"{key}missing; expected {_wanted(field)}{f', as in {_words(table.annotation)[1]}' if table else ''}{note}"
    return f"{key}expected {_wanted(field)}{found}{note}"


def _reached(kind: Any, path: tuple[int | str, ...]) -> tuple[list[str], FieldInfo | None]:
    """The part of `path` that consists of keys, and the field it leads to."""
    names: list[str] = []
    found = None
    for part in path:
        if kind is None:
            break  # inside a list or a choice
        if part in kind.model_fields:
            found = kind.model_fields[part]
            kind = _model_in(found.annotation)
        names.append(str(part))
    return names, found


def _model_in(annotation: Any) -> Any:
    """The first model that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _wanted(field: FieldInfo) -> str:
    """What a field takes, in words.

    Examples
    --------
    >>> class Demo(Model):
    ...     hkl: tuple[int, int, int] | None = None
    ...     order: Literal["up", "down"] = "up"
    >>> [_wanted(field) for field in Demo.model_fields.values()]
    ['three integers, as [1, 1, 1]', "'up' or 'down'"]
    """
    words, example = _words(field.annotation)
    return f"{words}, as {example}" if example.startswith(("[", "{")) else words


def _words(annotation: Any) -> tuple[str, str]:
    """A type in words, and an example of it."""
    if get_origin(annotation) is Annotated:
        return _words(get_args(annotation)[0])
    if annotation in PLAIN:
        return PLAIN[annotation][0], PLAIN[annotation][2]
    parts = [part for part in get_args(annotation) if part is not NoneType]
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, parts)), repr(parts[0])
    if get_origin(annotation) is tuple:
        one = _words(parts[0])[1]
        inner = get_args(parts[0])[0] if get_origin(parts[0]) is Annotated else parts[0]
        several = PLAIN.get(inner, ("", "lists"))[1]
        many = 2 if parts[-1] is Ellipsis else len(parts)
        example = ", ".join([one] * many if parts[-1] is Ellipsis else [_words(part)[1] for part in parts])
        return f"{'' if parts[-1] is Ellipsis else f'{COUNTS.get(many, many)} '}{several}", f"[{example}]"
    model = _model_in(annotation)
    if model is not None:
        needed = {name: field for name, field in model.model_fields.items() if field.is_required()}
        return "a table", f"{{{', '.join(f'{name} = {_example(field)}' for name, field in needed.items())}}}" if needed else ""
    return _words(parts[0]) if parts else ("another value", "")


def _example(field: FieldInfo) -> str:
    """The first example that a field gives, or a value that its bounds allow."""
    if field.examples:
        return str(field.examples[0])
    most = next((rule.lt for rule in field.metadata if hasattr(rule, "lt")), None)
    return _words(field.annotation)[1] if most is None else f"{most / 1000:g}"


def _known(kind: Any, path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that `path` leads to."""
    for part in path:
        field = getattr(kind, "model_fields", {}).get(part)
        kind = _model_in(field.annotation) if field is not None else kind if isinstance(part, int) else None
    return list(getattr(kind, "model_fields", {}))


def _meant(name: str, known: list[str], kind: Any, last: str = "") -> str:
    """Name what was meant: the same (or the `last`) key in another table, or else the nearest of `known`."""
    elsewhere = [path for path in _paths(kind) if path.rpartition(".")[2] == (last or name)]
    return f"; did you mean {elsewhere[0]!r}?" if elsewhere else suggest(name, known)


def _paths(kind: Any, prefix: str = "") -> Iterator[str]:
    """Full names of all settings."""
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}"
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from _paths(inner, f"{prefix}{name}.")
