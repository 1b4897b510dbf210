"""The resolved settings: the one place where a path, a target or a secret is looked up.

``resolve`` merges defaults, ``config/default.yml``, ``config/<env>.yml``, ``.env``, environment
variables and flags, in that order, and knows where each value came from.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from headrace import portable, secrets
from headrace.errors import ProjectError, SettingsError
from headrace.formatting import did_you_mean
from headrace.settings import layers
from headrace.settings.models import DEFAULT_TARGET, Settings
from headrace.targets import Target, TargetSettings
from headrace.targets.registry import OWN_TYPES

DEFAULT_ENV = "default"
"""The environment without a name: ``config/default.yml`` alone."""

# folders of the default environment's data, beside which the other environments have theirs
_TAKEN = frozenset({"dbt", "dlt", "logs", "refreshing", "schemas", "scratch", "spill", "targets"})
_COMMON = "config/default.yml"


@dataclass(frozen=True)
class Resolved:
    """Settings with every path absolute, and the origin of every value.

    Attributes:
        root: the project's directory.
        env: the name of the environment whose ``config/<env>.yml`` is in, or None.
        settings: the merged settings.
        origins: dotted key to the layer that set it; a key that is not there has its default.
    """

    root: Path
    env: str | None
    settings: Settings
    origins: Mapping[str, str]

    @property
    def environment(self) -> str:
        """The environment's name, as it is shown: ``default`` where none was chosen."""
        return self.env or DEFAULT_ENV

    @property
    def data_dir(self) -> Path:
        """Where Headrace writes; of an environment, by default a folder of its name in ``data``.

        A target that is no DuckDB file has a folder in it: dlt's and dbt's state is of one target.
        """
        name = self.settings.target
        if self.settings.targets[name].has_own_folder:
            return self.common_data_dir / "targets" / name
        return self.common_data_dir

    @property
    def common_data_dir(self) -> Path:
        """The folder of all targets; the sample files of sources are there."""
        return self._path(self.settings.data_dir)

    @property
    def has_own_data(self) -> bool:
        """Whether ``data_dir`` is the environment's folder in that of the default environment."""
        return self.env is not None and self.origins.get("data_dir") == _own(self.env)

    @property
    def shared_locations(self) -> tuple[str, ...]:
        """Keys of ``config/default.yml`` that name one file or database for all environments."""
        keys = ("publish.path", f"targets.{self.settings.target}.path", "run_store.url")
        if self.env is None:
            return ()
        return tuple(key for key in keys if self.origins.get(key) == _COMMON)

    @property
    def published(self) -> Path:
        """The file that readers open."""
        path = self.settings.publish.path
        return self._path(path) if path else self.data_dir / "published.duckdb"

    def raw_schema(self, source: str) -> str:
        """The schema that a source loads into: ``shop_raw`` for ``shop``, unless it has another."""
        known = self.settings.sources.get(source)
        return (known.dataset_name if known else None) or usual_raw_schema(source)

    @property
    def published_relations(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The schemas that are published, and patterns of the models of them; none are all."""
        return self.settings.publish.schemas, self.settings.publish.models

    @property
    def dbt_project(self) -> Path:
        """The dbt project's directory."""
        return self._path(self.settings.dbt.project_dir)

    @property
    def dbt_working_dir(self) -> Path | None:
        """The folder that relative paths in SQL start at; None for the current one."""
        path = self.settings.dbt.working_dir
        return self._path(path) if path else None

    @property
    def contract_files(self) -> tuple[Path, ...]:
        """The contracts that each run holds to, in the order of their names."""
        found: set[Path] = set()
        for pattern in self.settings.contracts.files:
            if set("*?[") & set(pattern):
                start = Path(pattern).anchor
                root = Path(start) if start else self.root
                inner = pattern.removeprefix(start)
                found.update(path for path in root.glob(inner) if path.is_file())
            else:  # also one that is not there, which its reader will tell
                found.add(self._path(Path(pattern)))
        return tuple(sorted(found))

    @property
    def artifacts(self) -> Path:
        """Where dbt writes its artifacts when Headrace runs it."""
        return self.data_dir / "dbt" / "target"

    @property
    def run_store_file(self) -> Path | None:
        """The run store's file; None where a URL is set."""
        return None if self.settings.run_store.url else self.data_dir / "headrace.sqlite"

    @property
    def run_store_url(self) -> str:
        """SQLAlchemy URL of the run store; may hold a password."""
        url = self.settings.run_store.url
        return url.get_secret_value() if url else f"sqlite:///{self.run_store_file}"

    @property
    def target(self) -> Target:
        """The target to load into and build in."""
        name = self.settings.target
        options: TargetSettings = self.settings.targets[name]
        return options.target(name, data_dir=self.data_dir, path_of=self._path)

    def source_path(self, path: Path) -> Path:
        """A path of a source's options; relative ones start at the project's directory."""
        return self._path(path)

    def _path(self, path: Path) -> Path:
        return Path(os.path.normpath(self.root / path.expanduser()))


def _own(env: str) -> str:
    """What ``where`` says of a ``data_dir`` that was made for an environment."""
    return f"environment {env}"


def usual_raw_schema(source: str) -> str:
    """The schema that a source loads into, unless the settings name another."""
    return f"{source}_raw"


def find_root(start: Path | None = None) -> Path:
    """The nearest directory at or above ``start`` that holds a Headrace project.

    Raises:
        ProjectError: there is none.
    """
    start = (start or Path.cwd()).resolve()
    for directory in (start, *start.parents):
        if (directory / "dlt_pipelines").is_dir() and (directory / "config").is_dir():
            return directory
    raise ProjectError(
        f"{start} is not inside a Headrace project (no config/ and dlt_pipelines/ here or above): "
        "change into one, or name it with --project-dir"
    )


def resolve(
    root: Path,
    *,
    env: str | None = None,
    flags: Iterable[str] = (),
    options: Mapping[str, Any] = MappingProxyType({}),
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Merge all layers.

    Args:
        root: the project's directory.
        env: name of the environment; by default HEADRACE_ENV says it. Unless a layer of its own
            sets ``data_dir``, it writes to the folder of its name in the ``data_dir`` of all.
        flags: ``a.b=value`` assignments.
        options: what options of a command set, by the setting; they win.
        environ: the environment; by default the process's.

    Raises:
        SettingsError: a key or value is wrong; the message names the key, the layer and what is
            allowed.
    """
    dotenv = layers.dotenv_layer(root / ".env")
    variables = (
        layers.environment_layer() if environ is None else layers.env_layer(environ, "environment")
    )
    env = _environment_name(env, variables, dotenv)
    stack = [layers.yaml_layer(root / "config" / "default.yml", _COMMON)]
    if env is not None:
        name = f"config/{env}.yml"
        layer = layers.yaml_layer(root / "config" / f"{env}.yml", name)
        if layer is None:
            raise SettingsError(
                f"the environment {env!r} has no {name}: write it, or name one of "
                f"{sorted(p.stem for p in (root / 'config').glob('*.yml') if p.stem != 'default')}"
            )
        stack.append(layer)
    stack += [dotenv, variables, layers.flags_layer(flags), layers.options_layer(options)]
    present = [_without_env(layer) for layer in stack if layer is not None]
    merged = layers.merge(present)
    _add_own_target(merged)
    _learn_secrets(root, merged, os.environ if environ is None else environ)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        where, text = _explain(error, present)
        detail = layers.detail_at(root, where)
        raise SettingsError(f"{where}: {text}", detail=detail) from error
    if settings.target not in settings.targets:
        where = _locate(("target",), present)
        raise SettingsError(
            f"{where}: target {settings.target!r} is not one of "
            f"{sorted({*settings.targets, *OWN_TYPES})}",
            detail=layers.detail_at(root, where),
        )
    origins = {".".join(path): layer.name for layer in present for path, _ in layer.leaves()}
    if env is not None and origins.get("data_dir", _COMMON) == _COMMON:
        _check_is_free(env, settings)
        settings = settings.model_copy(update={"data_dir": settings.data_dir / env})
        origins["data_dir"] = _own(env)
    return Resolved(root, env, settings, origins)


def _add_own_target(merged: dict[str, Any]) -> None:
    """A target that is named as its type needs no entry in ``targets``, and no type in one."""
    name = str(merged.get("target", DEFAULT_TARGET))
    targets = merged.get("targets", {})
    if not isinstance(targets, dict):
        return  # which the settings' model says
    typed = {
        key: {"type": key, **value} if key in OWN_TYPES and isinstance(value, dict) else value
        for key, value in targets.items()
    }
    if name not in targets and name in OWN_TYPES:
        typed[name] = {"type": name}
    merged["targets"] = typed


def _check_is_free(env: str, settings: Settings) -> None:
    """Check that no other folder of the data has the environment's name.

    Raises:
        SettingsError: it is one of Headrace's, or of a source.
    """
    if env in _TAKEN or env in settings.sources or portable.is_reserved(env):
        raise SettingsError(
            f"the environment {env!r} would have its data in {settings.data_dir / env}, which has "
            f"another use: rename config/{env}.yml, or set data_dir in it"
        )


def _learn_secrets(
    root: Path, merged: Mapping[str, Any], environ: Mapping[str, str | None]
) -> None:
    """From now on, whatever is written is without the secrets of this project."""
    secrets.forget()
    secrets.learn(merged)
    secrets.learn_environment(environ)
    secrets.learn_environment(layers.dotenv_variables(root / ".env"))
    homes = [root]
    with suppress(RuntimeError):  # a user without an account, and no HOME
        homes.append(Path.home())
    for home in homes:
        with suppress(OSError, ValueError):  # dlt says what is wrong with it
            secrets.learn(tomllib.loads((home / ".dlt" / "secrets.toml").read_text("utf-8")))


def _environment_name(
    flag: str | None, variables: layers.Layer, dotenv: layers.Layer | None
) -> str | None:
    name = flag or variables.values.get("env") or (dotenv.values.get("env") if dotenv else None)
    if name is not None and not str(name).replace("-", "_").isidentifier():
        raise SettingsError(f"{name!r} is no name of an environment: letters, digits, - and _ only")
    return str(name) if name and name != DEFAULT_ENV else None


def _without_env(layer: layers.Layer) -> layers.Layer:
    """HEADRACE_ENV chooses a file; it is no setting itself."""
    if layer.name not in {".env", "environment"}:
        return layer
    values = {key: value for key, value in layer.values.items() if key != "env"}
    return layers.Layer(layer.name, values, layer.locate)


def _locate(path: tuple[str, ...], present: list[layers.Layer]) -> str:
    for layer in reversed(present):
        if layer.holds(path):
            return layer.locate(path)
    for length in range(len(path) - 1, 0, -1):
        for layer in reversed(present):
            if layer.holds(path[:length]):
                return layer.locate(path[:length])
    return "settings"


def _explain(error: ValidationError, present: list[layers.Layer]) -> tuple[str, str]:
    """Pydantic's first error: where, and in one line which key, what is wrong, what is allowed."""
    first = error.errors()[0]
    path = tuple(str(part) for part in first["loc"] if part != "[key]")
    key = ".".join(path)
    where = _locate(path, present)
    if first["type"] == "extra_forbidden":
        allowed = sorted(_model_at(path[:-1]).model_fields)
        meant = did_you_mean(path[-1], allowed)
        hint = f"; {meant}" if meant else ""
        return where, f"unknown key {key!r}{hint} Allowed: {', '.join(allowed)}"
    is_open = not any(map(secrets.is_secret, path)) and path[-1:] != ("url",)
    is_open = is_open and path[:2] != ("openlineage", "transport")
    shown = secrets.hide(repr(secrets.hide_in(first.get("input")))) if is_open else secrets.MASK
    why = first["msg"].removeprefix("Value error, ")
    return where, f"{key} = {shown}: {why}"


def _model_at(path: tuple[str, ...]) -> type[BaseModel]:
    """The settings model that a dotted path leads to."""
    model: type[BaseModel] = Settings
    for part in path:
        if part in model.model_fields:
            annotation = model.model_fields[part].annotation
            # without what Annotated adds
            arguments = [
                getattr(one, "__origin__", one) for one in getattr(annotation, "__args__", ())
            ]
            found = [
                kind
                for kind in (annotation, *arguments)
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ]
            if found:
                model = found[-1]
    return model
