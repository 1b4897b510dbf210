"""The layers that settings come from: files, ``.env``, environment and flags, lowest first.

A layer is a nested dict plus a way to say where each key of it stands, so that every resolved
value, and every error about one, can name its origin.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.error_detail import ErrorDetail, excerpt, read_lines
from headrace.errors import SettingsError
from headrace.secrets import MASK, hide, is_secret, may_be_mapping

PREFIX = "HEADRACE_"
Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One origin of settings.

    Attributes:
        name: for people: ``config/default.yml``, ``.env``, ``environment`` or ``flag``.
        values: nested, keys in lower case.
        locate: where a key stands, for example ``config/default.yml line 4``.
    """

    name: str
    values: Mapping[str, Any]
    locate: Callable[[Path_], str]

    def leaves(self) -> Iterable[tuple[Path_, Any]]:
        """Every value that is not a mapping, with its path."""
        return _leaves(self.values, ())

    def holds(self, path: Path_) -> bool:
        """Whether the layer sets ``path`` or something below it."""
        node: Any = self.values
        for part in path:
            if not isinstance(node, Mapping) or part not in node:
                return False
            node = node[part]
        return True


def yaml_layer(path: Path, name: str) -> Layer | None:
    """A YAML 1.2 file; None where there is none.

    Raises:
        SettingsError: it cannot be read, is not YAML, or holds no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} cannot be read: {error}") from error
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}" if mark else ""
        detail = _detail(name, text, mark.line + 1, mark.column + 1) if mark else None
        raise SettingsError(
            f"{name}{line}: not valid YAML: {error.problem}", detail=detail
        ) from error
    except YAMLError as error:
        raise SettingsError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return Layer(name, {}, lambda _: name)
    if not isinstance(document, Mapping):
        raise SettingsError(f"{name}: a settings file is a mapping of keys to values")

    def locate(keys: Path_) -> str:
        node: Any = document
        line: int | None = None
        for key in keys:
            if not isinstance(node, Mapping) or key not in node:
                break
            line = node.lc.key(key)[0] + 1  # type: ignore[attr-defined]
            node = node[key]
        return f"{name} line {line}" if line else name

    return Layer(name, _plain(document), locate)


def detail_at(root: Path, where: str) -> ErrorDetail | None:
    """The lines of a place that a layer's ``locate`` gave; None where it is in no file."""
    found = re.match(r"(config/\S+\.yml) line (\d+)$", where)
    if found is None:
        return None
    return _detail(found[1], "\n".join(read_lines(root / found[1])), int(found[2]), None)


def _detail(name: str, text: str, line: int, column: int | None) -> ErrorDetail:
    """A place in a settings file; of what may be a secret only the key is shown."""
    lines, below = text.splitlines(), -1
    for at, shown in enumerate(lines):
        indent = len(shown) - len(shown.lstrip())
        key, colon, _ = shown.partition(":")
        if shown.strip() and indent <= below:
            below = -1
        if below >= 0:
            lines[at] = " " * indent + MASK
        elif colon and is_secret(key.strip(" \"'-{")):
            lines[at], below = f"{key}: {MASK}", indent
    return ErrorDetail(name, line, column, hide(excerpt(lines, line, column)))


def env_layer(variables: Mapping[str, str | None], name: str) -> Layer:
    """``HEADRACE_A__B=value`` as ``{"a": {"b": "value"}}``; empty values count as unset.

    Raises:
        SettingsError: two variables contradict, or a ``[…]`` or ``{…}`` value is not YAML.
    """
    values: dict[str, Any] = {}
    for variable in sorted(variables):
        text = variables[variable]
        if not variable.upper().startswith(PREFIX) or not text:
            continue
        path = tuple(variable[len(PREFIX) :].lower().split("__"))
        # a secret is what it is, also one that begins with a bracket; and no message may show it
        is_word = is_secret(path[-1]) and not may_be_mapping(path[-1])
        value = text if is_word else parse_value(text, variable)
        _put(values, path, value, variable)

    def locate(keys: Path_) -> str:
        return f"{name} {PREFIX}{'__'.join(keys).upper()}"

    return Layer(name, values, locate)


def dotenv_layer(path: Path) -> Layer | None:
    """The ``.env`` file; None where there is none."""
    return env_layer(dotenv_variables(path), ".env") if path.is_file() else None


def dotenv_variables(path: Path) -> Mapping[str, str | None]:
    """All variables of the ``.env`` file; none where there is none."""
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return dotenv_values(path, encoding="utf-8", interpolate=False)


def environment_layer() -> Layer:
    """The process's environment, less the variables that Headrace hands to dbt and notifiers."""
    return env_layer(
        {
            key: value
            for key, value in os.environ.items()
            if key not in HANDED_TO_DBT and not key.startswith(NOTICE_PREFIX)
        },
        "environment",
    )


NOTICE_PREFIX = "HEADRACE_NOTICE_"
HANDED_TO_DBT = frozenset({"HEADRACE_WAREHOUSE", "HEADRACE_DBT_THREADS"})


def options_layer(options: Mapping[str, Any]) -> Layer:
    """Settings that an option of a command gives: ``serve.port`` is that of ``--port``."""
    values: dict[str, Any] = {}
    for key, value in options.items():
        name = f"--{key.rpartition('.')[2]}"
        _put(values, tuple(key.split(".")), value, name)
    return Layer("flag", values, lambda keys: f"--{keys[-1]}")


def flags_layer(assignments: Iterable[str]) -> Layer:
    """``--set a.b=value`` flags.

    Raises:
        SettingsError: an assignment has no ``=`` or no key.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise SettingsError(f"--set {assignment}: write it as KEY=VALUE, like data_dir=/tmp/x")
        _put(values, tuple(key.strip().split(".")), parse_value(text, key), f"--set {key}")
    return Layer("flag", values, lambda keys: f"--set {'.'.join(keys)}")


def parse_value(text: str, name: str) -> Any:
    """A text value; one that begins with ``[`` or ``{`` is read as YAML.

    Raises:
        SettingsError: it is not.
    """
    if not text.startswith(("[", "{")):
        return text
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return _plain(YAML(typ="rt").load(text))
    except YAMLError as error:
        shown = MASK if is_secret(name) else repr(text)
        raise SettingsError(f"{name}: {shown} is not a YAML list or mapping") from error


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """All layers in one nested dict; a later layer wins, mappings are merged key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_into(merged, layer.values)
    return merged


def _merge_into(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, dict):
                inner = {}
            target[key] = inner
            _merge_into(inner, value)
        else:
            target[key] = value


def _put(values: dict[str, Any], path: Path_, value: Any, name: str) -> None:
    node = values
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise SettingsError(f"{name} contradicts another setting of {part!r}: drop one of them")
    if isinstance(node.get(path[-1]), dict) and not isinstance(value, dict):
        raise SettingsError(f"{name} contradicts another setting of {path[-1]!r}: drop one of them")
    node[path[-1]] = value


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if isinstance(node, float):
        return float(node)
    if isinstance(node, bool) or node is None:
        return node
    return int(node) if isinstance(node, int) else node


def _leaves(values: Mapping[str, Any], path: Path_) -> Iterable[tuple[Path_, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
