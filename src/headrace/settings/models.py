"""The settings as Pydantic models: what each key holds, its default, and what it is for."""

import shlex
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from headrace import portable
from headrace.settings.simulation import SimulateSettings
from headrace.targets import DuckDbSettings
from headrace.targets.registry import settings_of_type

DEFAULT_TARGET = "duckdb"
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}

_NAME = r"^[a-z][a-z0-9_]*$"
_SCHEMA = r"^[A-Za-z_][A-Za-z0-9_]*$"
ContractMode = Literal["evolve", "freeze", "discard_row", "discard_value"]
"""What dlt does with data that does not fit the raw schema."""
Name = Annotated[str, Field(pattern=_NAME)]


def _usable(name: str) -> str:
    """A folder of every source's name is made: on Windows there can be none of a device's."""
    if portable.is_reserved(name):
        raise ValueError(f"{name} is a device's name on Windows: choose another one")
    return name


SourceName = Annotated[Name, AfterValidator(_usable)]


def _network(text: str) -> str:
    """An IP address, or a network of them."""
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError("write an IP address or a network, like 127.0.0.1 or 10.0.0.0/8") from None


def _contract(value: Any) -> Any:
    """A bare mode stands for tables and columns; for values too, unless it is ``evolve``."""
    if isinstance(value, str):
        mode = "discard_row" if value == "discard" else value
        data_type = None if mode == "evolve" else mode
        return {"tables": mode, "columns": mode, "data_type": data_type}
    return value


class ContractSettings(BaseModel):
    """dlt's schema contract: what happens when data does not fit the raw schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tables: ContractMode = Field("evolve", description="a new table")
    columns: ContractMode = Field("evolve", description="a new column")
    data_type: ContractMode | None = Field(
        None,
        description="a value that does not fit its column; by default, rows of files are "
        "quarantined, and other sources stop",
    )


class SourceSettings(BaseModel):
    """One source (``sources.<name>``); keys beside these go to its ``build_source``."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Name | None = Field(
        None, description="the folder in `dlt_pipelines` that loads it; by default its own name"
    )
    enabled: bool = Field(True, description="whether `headrace run` loads it unless told otherwise")
    dataset_name: str | None = Field(
        None, min_length=1, description="the raw schema that it loads into; by default `<name>_raw`"
    )
    schema_contract: Annotated[ContractSettings, BeforeValidator(_contract)] = Field(
        default_factory=ContractSettings,
        description="evolve, freeze, discard_row or discard_value; or one for each of tables, "
        "columns and data_type",
    )

    @property
    def options(self) -> dict[str, Any]:
        """What goes to the source's ``build_source``."""
        return dict(self.model_extra or {})


class ProfileSettings(BaseModel):
    """An output in a ``profiles.yml`` that the dbt project has of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="the `profiles.yml`")
    name: str = Field(min_length=1, description="the profile")
    output: str = Field(min_length=1, description="the entry of its `outputs`")


class DbtSettings(BaseModel):
    """How dbt is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project_dir: Path = Field(Path("dbt_project"), description="the dbt project")
    profile: ProfileSettings | None = Field(
        None, description="the project's own profile: its schema, extensions, attached databases "
        "and so on hold; the database and its memory limit are the target's",
    )  # fmt: skip
    working_dir: Path | None = Field(
        None, description="the folder that relative paths in SQL start at, such as of "
        "`read_csv('x.csv')`; by default the current one",
    )  # fmt: skip
    vars: dict[str, Any] = Field(default_factory=dict, description="dbt variables")
    reuse_results: bool = Field(
        True,
        description="whether a model or test whose SQL, config and inputs are what they were keeps "
        "its last good result, where the target can tell; else a build runs all",
    )
    store_failures: bool = Field(
        True, description="whether the rows that a test found are kept, in a table of the schema "
        "that dbt names `dbt_test__audit`, until the test passes; a million at most",
    )  # fmt: skip


class PublishSettings(BaseModel):
    """What readers get."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path | None = Field(
        None, description="the published file; by default `published.duckdb` in `data_dir`"
    )
    keep: int = Field(
        1, ge=0, le=100, description="how many earlier published files are kept beside it, for "
        "`headrace diff`; each takes as much disk space as the published file",
    )  # fmt: skip
    local_copy: Literal["always", "never"] = Field(
        "always", description="whether the published file is also written where the target "
        "publishes in its own engine, such as Postgres: the page, `headrace diff` and notebooks "
        "read it; of a DuckDB warehouse it is always written",
    )  # fmt: skip
    local_copy_limit: int = Field(
        10 * 1024**3, gt=0, description="bytes; a copy beside a target's own publication that would"
        " take more is left out",
    )  # fmt: skip
    on_failed_load: Literal["nothing", "unaffected"] = Field(
        "nothing", description="what is published when a source or table could not be loaded: "
        "`nothing`, so that all marts are of one time, or the marts that do not depend on it",
    )  # fmt: skip
    schemas: tuple[Annotated[str, Field(pattern=_SCHEMA)], ...] = Field(
        ("marts",), min_length=1, description="the dbt schemas whose tables are published"
    )
    models: tuple[str, ...] = Field(
        (), description="of these schemas only models of such a name, or below such a folder: "
        "`orders`, `dim_*`, `marts/*`; by default all",
    )  # fmt: skip


class AuditSettings(BaseModel):
    """What has to hold before a build is published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modules: tuple[str, ...] = Field(
        (), description="modules of the project with further checks, such as `my_checks`"
    )
    checks: dict[Name, bool | dict[str, Any]] = Field(
        default_factory=dict,
        description="settings by the name of a check, `severity: warn` among them; `false` "
        "switches it off",
    )
    timeout: float = Field(
        60.0, gt=0, le=3600, description="seconds that one check in Python may take"
    )


class ContractsSettings(BaseModel):
    """The contracts between teams, in the Open Data Contract Standard, that each run holds to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[str, ...] = Field(
        ("contracts/*.yaml", "contracts/*.yml"),
        description="the files, as paths or patterns below the project",
    )
    timeout: float = Field(
        60.0, gt=0, le=3600, description="seconds that the checks of one contract may take"
    )


class QualitySettings(BaseModel):
    """What each run keeps to watch the data by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_profiles: int = Field(
        30, ge=0, le=1000, description="profiles of each raw table and mart that are kept, one for "
        "each run in which it changed; 0: none are made",
    )  # fmt: skip


class OnFailureSettings(BaseModel):
    """Whom a run that failed is reported to."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    command: str | tuple[str, ...] | None = Field(
        None, description="a command that gets the report as JSON on its standard input; it runs "
        "in the project's directory, without a shell",
    )  # fmt: skip
    webhook: SecretStr | None = Field(
        None, description="an `http` or `https` URL that the report is posted to as JSON; "
        "set it by `HEADRACE_ON_FAILURE__WEBHOOK`",
    )  # fmt: skip
    timeout: float = Field(10.0, gt=0, le=600, description="seconds that each of them may take")
    on_recovery: bool = Field(
        False, description="whether the first good run after one that failed is reported, too"
    )
    modules: tuple[str, ...] = Field(
        (), description="modules of the project with further notifiers, such as `my_notifiers`"
    )
    notifiers: dict[Name, bool | dict[str, Any]] = Field(
        default_factory=dict,
        description="settings by the name of a notifier; `false` switches it off",
    )

    @field_validator("command")
    @classmethod
    def _splits(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        try:
            words = shlex.split(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"a quotation mark has no other end ({error})") from None
        if words is not None and not any(words):
            raise ValueError("name a program, and its arguments")
        return value

    @field_validator("webhook")
    @classmethod
    def _is_web(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("write it like https://hooks.example.com/services/...")
        return value


class TableMonitorSettings(BaseModel):
    """How one table is monitored; a model's `meta: {monitor: ...}` in dbt takes the same keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="whether it is monitored")
    event_time: str | None = Field(
        None, min_length=1, description="the column that says when what a row tells of happened; "
        "by default dbt's `event_time`, else found by name and type",
    )  # fmt: skip
    grain: Literal["hour", "day", "week", "month"] | None = Field(
        None, description="the length of its periods; by default chosen from the data"
    )
    sensitivity: float | None = Field(
        None, gt=0, le=50, description="half the width of a band in usual deviations; less is more "
        "alarms",
    )  # fmt: skip
    direction: Literal["both", "up", "down"] | None = Field(
        None, description="the side of the band that is an alarm; by default as fits the metric"
    )
    model: Literal["baseline", "prophet", "isolation_forest"] | None = Field(
        None, description="what draws the bands; the latter two need the extra `anomaly`"
    )
    training_periods: int | None = Field(
        None, ge=5, le=5000, description="how many periods a model looks at"
    )
    ignore: tuple[str, ...] = Field(
        (), description="metrics that never alarm: `amount.mean`, `*.drift`, `status.*`"
    )
    columns: tuple[str, ...] | None = Field(
        None, description="the only columns that are measured; by default all"
    )
    fresh_within: str | None = Field(
        None, pattern=r"^[0-9]+ ?(minutes?|hours?|days?|m|h|d)$", description="the promise to its "
        "readers: its newest data are never older, as `26 hours`",
    )  # fmt: skip


class MonitorSettings(BaseModel):
    """Metrics of raw tables and marts, taken by each run, and alarms on them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(True, description="whether a run takes metrics")
    on_alarm: Literal["warn", "block"] = Field(
        "warn", description="what an open alarm on a mart, or on what it is made from, does: "
        "`warn`, or `block` the publication",
    )  # fmt: skip
    sensitivity: float = Field(
        4.0, gt=0, le=50, description="half the width of a band in usual deviations; less is more "
        "alarms",
    )  # fmt: skip
    model: Literal["baseline", "prophet", "isolation_forest"] = Field(
        "baseline", description="what draws the bands"
    )
    country: str | None = Field(
        None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,4})?$", description="whose public holidays "
        "are known: an ISO code, `DE` or `US-CA`",
    )  # fmt: skip
    training_periods: int | None = Field(
        None, ge=5, le=5000, description="how many periods a model looks at; by default 1344 "
        "hours, 400 days, 156 weeks or 72 months",
    )  # fmt: skip
    exclude: tuple[str, ...] = Field(
        (), description="tables that are not monitored: `shop_raw.tmp_*`, `marts.orders`"
    )
    tables: dict[str, TableMonitorSettings] = Field(
        default_factory=dict, description="what is otherwise of a table, by `schema.table`"
    )


class RunStoreSettings(BaseModel):
    """Where runs are recorded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr | None = Field(
        None, description="a SQLAlchemy URL; by default SQLite in `data_dir`/headrace.sqlite"
    )


class ServeSettings(BaseModel):
    """How `headrace serve` listens, and whom it answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1", min_length=1, description="the address to listen at; beyond loopback a token "
        "is required",
    )  # fmt: skip
    port: int = Field(8585, ge=0, le=65535, description="the port; 0 is any that is free")
    token: SecretStr | None = Field(
        None, description="what a client must send; of 16 characters or more; set it by "
        "`HEADRACE_SERVE__TOKEN` or a file (`--token-file`)",
    )  # fmt: skip
    public_metrics: bool = Field(
        False, description="whether `/metrics` needs no token; it names tables and counts rows"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="names that the server answers to, besides those of this machine"
    )
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        (), description="addresses or networks of proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed; from all others they are ignored",
    )  # fmt: skip


class TransportSettings(BaseModel):
    """Where events go; keys beside these are openlineage-python's own, as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    type: str = Field(
        "http", description="`http`, `file`, `console`, or another transport of openlineage-python"
    )
    url: SecretStr | None = Field(None, description="of an `http` transport; it may hold a secret")
    timeout: float = Field(3.0, gt=0, description="seconds that one `http` request may take")

    @field_validator("type")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("name a transport: http, file, console, ...")
        return value.strip()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Nothing but the type: any other key may hold a secret."""
        yield "type", self.type

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as openlineage-python takes it; it holds secrets."""
        extra = {key: _plain(value) for key, value in (self.model_extra or {}).items()}
        known: dict[str, Any] = {"type": self.type}
        if self.url is not None:
            known["url"] = self.url.get_secret_value()
        if self.type in {"http", "async_http"}:
            known["timeout"] = self.timeout
        return extra | known


class OpenLineageSettings(BaseModel):
    """OpenLineage events of each run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(False, description="whether each run sends OpenLineage events")
    namespace: str = Field(
        "headrace", min_length=1, description="the namespace of the jobs; one per project"
    )
    nominal_time: AwareDatetime | None = Field(
        None,
        description="the time that a scheduler meant the run for, with its zone; "
        "`{{ data_interval_start }}` of Airflow, for example",
    )
    transport: TransportSettings | None = Field(
        None,
        description="where to; by default what OPENLINEAGE_URL or openlineage.yml says, else "
        "openlineage.jsonl in `data_dir`",
    )


def _by_type(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """The settings of a target, by the class of its type."""
    name = value.get("type", "duckdb") if isinstance(value, dict) else "duckdb"
    if name == "duckdb":
        return handler(value)
    try:
        return settings_of_type(str(name)).model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{key}: {first['msg']}") from error


class Settings(BaseModel):
    """All settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(
        Path("data"),
        description="everything that Headrace writes; relative to the project. Another environment "
        "than the default one has its folder in it, unless it sets its own",
    )
    target: str = Field(
        DEFAULT_TARGET, description="the entry of `targets` to load into and build in"
    )
    # another type is possible; the annotation gives editors the keys of this one
    targets: dict[Name, Annotated[SerializeAsAny[DuckDbSettings], WrapValidator(_by_type)]] = Field(
        default_factory=lambda: {"duckdb": DuckDbSettings()}, description="the targets by name"
    )
    sources: dict[SourceName, SourceSettings] = Field(
        default_factory=dict, description="the sources by name"
    )
    dbt: DbtSettings = Field(default_factory=DbtSettings, description="how dbt is run")
    publish: PublishSettings = Field(
        default_factory=PublishSettings, description="what readers get"
    )
    audit: AuditSettings = Field(
        default_factory=AuditSettings, description="what has to hold before a build is published"
    )
    quality: QualitySettings = Field(
        default_factory=QualitySettings, description="what runs keep to watch the data by"
    )
    contracts: ContractsSettings = Field(
        default_factory=ContractsSettings, description="the contracts that each run holds to"
    )
    monitors: MonitorSettings = Field(
        default_factory=MonitorSettings, description="metrics of tables, and alarms on them"
    )
    run_store: RunStoreSettings = Field(
        default_factory=RunStoreSettings, description="where runs are recorded"
    )
    on_failure: OnFailureSettings = Field(
        default_factory=OnFailureSettings, description="whom a run that failed is reported to"
    )
    openlineage: OpenLineageSettings = Field(
        default_factory=OpenLineageSettings, description="OpenLineage events of each run"
    )
    serve: ServeSettings = Field(
        default_factory=ServeSettings, description="how `headrace serve` listens"
    )
    simulate: SimulateSettings = Field(
        default_factory=SimulateSettings, description="the stages of `headrace simulate`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="of the log file; of the log on stdout, `info` at least"
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="`json`: `run`, `load`, `build`, `publish` and `generate` print their log as "
        "one JSON object a line, and nothing else (or `--log-format json`)",
    )


def _plain(value: Any) -> Any:
    """A switch that came as text from the environment as a switch."""
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE if not value.isdigit() else value
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
