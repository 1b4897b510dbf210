"""Sources of the settings: which are loaded, where to, and the dlt source each folder builds."""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from headrace import secrets
from headrace.errors import ProjectError, SettingsError, SourceError
from headrace.formatting import did_you_mean
from headrace.ingest import IngestContext
from headrace.process import import_from
from headrace.settings import Resolved, SourceSettings

NONE_ENABLED = (
    "no source is enabled: set `enabled: true` for one in config/default.yml, or add one by "
    "`headrace add source`"
)


def selected(
    resolved: Resolved, names: tuple[str, ...], *, needed: bool = True
) -> dict[str, SourceSettings]:
    """The sources to load: those named, else those enabled.

    Args:
        resolved: the settings.
        names: of sources; none are all that are enabled.
        needed: whether it is an error when there is none.

    Raises:
        SettingsError: an unknown name, or nothing to load where that is needed.
    """
    sources = resolved.settings.sources
    for name in names:
        if name not in sources:
            meant = did_you_mean(name, sources)
            raise SettingsError(
                f"--source {name}: not in the settings"
                + (f" ({meant})" if meant else "")
                + f"; known: {', '.join(sorted(sources)) or '-'}"
            )
    found = {
        name: source
        for name, source in sources.items()
        if (name in names if names else source.enabled)
    }
    if needed and not found:
        raise SettingsError(NONE_ENABLED)
    return found


def build(resolved: Resolved, name: str, settings: SourceSettings, context: IngestContext) -> Any:
    """The dlt source of one entry of the settings.

    Raises:
        ProjectError: no such folder, or it has no ``build_source``.
        SettingsError: an option is unknown, missing or of a wrong type.
        SourceError: the source cannot read or write its files.
    """
    factory = _factory(resolved, name, settings.kind or name)
    arguments = _arguments(resolved, name, settings, factory)
    if _takes_context(factory):
        arguments["context"] = context
    try:
        source = factory(**arguments)
    except OSError as error:
        raise SourceError(
            f"source {name}: {error.filename or context.sample_dir}: {error.strerror or error}; "
            f"make it writable, or set sources.{name}.path to your own files"
        ) from error
    if not _takes_context(factory):
        # what reads files keeps the contract itself; dlt keeps it for all others
        source.schema_contract = context.contract.for_dlt()
    return source


def parameters(resolved: Resolved, name: str, settings: SourceSettings) -> tuple[str, ...]:
    """The options that a source takes; none if it cannot be imported."""
    try:
        return tuple(inspect.signature(_factory(resolved, name, settings.kind or name)).parameters)
    except Exception:  # this serves an error message, which must not become another
        return ()


def takes_context(resolved: Resolved, name: str, settings: SourceSettings) -> bool:
    """Whether a source takes what its load runs in, as those of files and REST APIs do."""
    return _takes_context(_factory(resolved, name, settings.kind or name))


def _takes_context(factory: Callable[..., Any]) -> bool:
    return "context" in inspect.signature(factory).parameters


def paths(resolved: Resolved, name: str, settings: SourceSettings) -> list[Path]:
    """The files and folders that a source's settings name, and that of its sample files.

    Raises:
        HeadraceError: the source cannot be imported, or its settings are wrong.
    """
    factory = _factory(resolved, name, settings.kind or name)
    found = [
        value
        for value in _arguments(resolved, name, settings, factory).values()
        if isinstance(value, Path)
    ]
    return [path for path in (*found, resolved.common_data_dir / name) if path.exists()]


def forget_code() -> None:
    """Have the code of all sources imported again, as it is now."""
    for name in [name for name in sys.modules.copy() if name.partition(".")[0] == "dlt_pipelines"]:
        del sys.modules[name]


def _factory(resolved: Resolved, name: str, kind: str) -> Callable[..., Any]:
    folder = resolved.root / "dlt_pipelines" / kind
    if not (folder / "__init__.py").is_file():
        known = sorted(p.parent.name for p in folder.parent.glob("*/__init__.py"))
        raise ProjectError(
            f"source {name}: there is no {folder / '__init__.py'}; set sources.{name}.kind to one "
            f"of {', '.join(known)}, or write it"
        )
    module = import_from(resolved.root, f"dlt_pipelines.{kind}")
    factory = getattr(module, "build_source", None)
    if not callable(factory):
        raise ProjectError(f"{folder / '__init__.py'} has no function build_source(): write one")
    return typing.cast("Callable[..., Any]", factory)


def _arguments(
    resolved: Resolved, name: str, settings: SourceSettings, factory: Callable[..., Any]
) -> dict[str, Any]:
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(factory).parameters.items()
        if key != "context"
    }
    annotations = typing.get_type_hints(factory, include_extras=True)
    arguments: dict[str, Any] = {}
    for key, value in settings.options.items():
        where = f"{_origin(resolved, f'sources.{name}.{key}')}: sources.{name}.{key}"
        if key not in parameters:
            raise SettingsError(
                f"{where}: unknown key; this source takes: {', '.join(sorted(parameters)) or '-'} "
                "(and enabled, kind, schema_contract)"
            )
        try:
            checked = TypeAdapter(annotations.get(key, Any)).validate_python(value)
        except ValidationError as error:
            raise SettingsError(_explain(where, error, annotations.get(key))) from error
        secrets.learn({key: checked})  # a SecretStr is one, whatever its name
        arguments[key] = resolved.source_path(checked) if isinstance(checked, Path) else checked
    for key, parameter in parameters.items():
        if key not in arguments and parameter.default is inspect.Parameter.empty:
            raise SettingsError(
                f"sources.{name}.{key} is not set: write it to config/default.yml "
                f"(it is a {_readable(annotations.get(key))})"
            )
    return arguments


def _explain(where: str, error: ValidationError, annotation: Any) -> str:
    """Pydantic's first error as one line; an unknown key before a missing one."""
    unknown = [found for found in error.errors() if found["type"] == "unexpected_keyword_argument"]
    first = (unknown or error.errors())[0]
    key = ".".join((where, *(str(part) for part in first["loc"])))
    if not unknown:
        is_secret = SecretStr in (annotation, *typing.get_args(annotation))
        is_secret = is_secret or any(map(secrets.is_secret, key.split(".")))
        shown = secrets.MASK if is_secret else repr(secrets.hide_in(first.get("input")))
        return secrets.hide(f"{key} = {shown}: {first['msg']}")
    kinds = (annotation, *typing.get_args(annotation))
    allowed = [
        f.name for kind in kinds if dataclasses.is_dataclass(kind) for f in dataclasses.fields(kind)
    ]
    return f"{key}: unknown key; allowed: {', '.join(allowed)}"


def _origin(resolved: Resolved, key: str) -> str:
    """The layer that sets a key, or something below it."""
    found = (layer for path, layer in resolved.origins.items() if f"{path}.".startswith(f"{key}."))
    return next(found, "settings")


def _readable(annotation: Any) -> str:
    if isinstance(annotation, types.GenericAlias):
        return str(annotation)
    return getattr(annotation, "__name__", str(annotation))
