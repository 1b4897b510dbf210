"""What is measured: the models of a dbt project with their SQL and tests, as dbt compiled them."""

from collections.abc import Mapping
from dataclasses import dataclass

Name = tuple[str, str, str]
"""Database, schema and identifier of a relation."""


@dataclass(frozen=True, slots=True)
class EnforcedContract:
    """What dbt enforces of a model's columns.

    Attributes:
        columns: their names, in order.
        checks: what must hold of each row: SQL, by the constraint in words.
        keys: columns that must be unique, together.
    """

    columns: tuple[str, ...]
    checks: Mapping[str, str]
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelUnderTest:
    """A model, as it is built.

    Attributes:
        id: dbt's unique id.
        label: its name, for people.
        path: of its file, from the dbt project.
        name: where it is; None of an ephemeral model, which those that read it hold in themselves.
        sql: its select; None where it is no SQL: its table is taken as it is.
        is_view: whether it is built as a view.
        parents: ids of the models and raw tables that it reads.
        contract: None where none is enforced.
        is_published: whether readers see it.
    """

    id: str
    label: str
    path: str
    name: Name | None
    sql: str | None
    is_view: bool
    parents: frozenset[str]
    contract: EnforcedContract | None = None
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """A table that no model makes: a source's, or a seed.

    Attributes:
        id: dbt's unique id.
        label: ``source.table``, or the seed's name.
        name: where it is.
    """

    id: str
    label: str
    name: Name


@dataclass(frozen=True, slots=True)
class DataTest:
    """A data test of severity error.

    Attributes:
        id: dbt's unique id.
        label: as dbt's users know it.
        sql: a query with the columns ``failures`` and ``should_error``, as dbt runs it.
        parents: ids of the models and raw tables that it reads.
    """

    id: str
    label: str
    sql: str
    parents: frozenset[str]


@dataclass(frozen=True, slots=True)
class ModelUnitTest:
    """A unit test.

    Attributes:
        id: dbt's unique id.
        label: its name.
        model: id of the model that it is about.
        sql: the model's select over the given rows.
        compared: the query that dbt runs, which holds ``sql``: actual and expected rows.
    """

    id: str
    label: str
    model: str
    sql: str
    compared: str


@dataclass(frozen=True)
class ProjectUnderTest:
    """All of a measurement.

    Attributes:
        database: what SQL calls the warehouse.
        models: parents before children.
        raws: by id.
        data_tests: those that pass now.
        unit_tests: those that pass now.
        notes: what is not measured, and why; sentences.
    """

    database: str
    models: tuple[ModelUnderTest, ...]
    raws: Mapping[str, Raw]
    data_tests: tuple[DataTest, ...]
    unit_tests: tuple[ModelUnitTest, ...]
    notes: tuple[str, ...] = ()

    def label(self, id_: str) -> str:
        """The name of a model or raw table, for people."""
        raw = self.raws.get(id_)
        if raw is not None:
            return raw.label
        return next(model.label for model in self.models if model.id == id_)
