"""Datasets and jobs of OpenLineage, with all that the catalog knows of them as facets."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    set_producer,
)
from openlineage.client.generated.base import DatasetFacet, JobFacet, OutputDatasetFacet
from openlineage.client.generated.column_lineage_dataset import (
    ColumnLineageDatasetFacet,
    Fields,
    InputField,
    Transformation,
)
from openlineage.client.generated.dataset_type_dataset import DatasetTypeDatasetFacet
from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
from openlineage.client.generated.datasource_dataset import DatasourceDatasetFacet
from openlineage.client.generated.documentation_dataset import DocumentationDatasetFacet
from openlineage.client.generated.documentation_job import DocumentationJobFacet
from openlineage.client.generated.job_type_job import JobTypeJobFacet
from openlineage.client.generated.ownership_dataset import Owner as DatasetOwner
from openlineage.client.generated.ownership_dataset import OwnershipDatasetFacet
from openlineage.client.generated.ownership_job import Owner as JobOwner
from openlineage.client.generated.ownership_job import OwnershipJobFacet
from openlineage.client.generated.schema_dataset import (
    SchemaDatasetFacet,
    SchemaDatasetFacetFields,
)
from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet
from openlineage.client.generated.sql_job import SQLJobFacet
from openlineage.client.generated.storage_dataset import StorageDatasetFacet
from openlineage.client.generated.symlinks_dataset import Identifier, SymlinksDatasetFacet
from openlineage.client.generated.tags_dataset import TagsDatasetFacet, TagsDatasetFacetFields

from headrace import __version__
from headrace.catalog.model import Asset, Catalog, Column
from headrace.export.openlineage.context import RunContext
from headrace.export.openlineage.naming import DatasetName, Names
from headrace.export.upstream import edges_read

PRODUCER = f"urn:headrace:{__version__}"
_MARKDOWN = "text/markdown"

# https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet
_TRANSFORMATIONS = {
    "copied": ("DIRECT", "IDENTITY"),
    "renamed": ("DIRECT", "IDENTITY"),
    "computed": ("DIRECT", "TRANSFORMATION"),
    "aggregated": ("DIRECT", "AGGREGATION"),
    "filtered": ("INDIRECT", "FILTER"),
    "joined": ("INDIRECT", "JOIN"),
    "grouped": ("INDIRECT", "GROUP_BY"),
    "sorted": ("INDIRECT", "SORT"),
    "windowed": ("INDIRECT", "WINDOW"),
}

set_producer(PRODUCER)


def source_facets(name: DatasetName) -> dict[str, DatasetFacet]:
    """Where a dataset is."""
    uri = name.namespace if ":" in name.namespace else f"{name.namespace}://{name.name}"
    return {"dataSource": DatasourceDatasetFacet(name=name.namespace, uri=uri)}


def input_facets(asset: Asset, name: DatasetName) -> dict[str, DatasetFacet]:
    """The facets of a dataset that is read: where it is, and its columns.

    Readers such as Marquez join column lineage to the columns of the inputs.
    """
    found = source_facets(name)
    if asset.columns:
        found["schema"] = SchemaDatasetFacet(
            fields=[_field(column, place) for place, column in enumerate(asset.columns, start=1)]
        )
    return found


def dataset_facets(asset: Asset, catalog: Catalog, names: Names) -> dict[str, DatasetFacet]:
    """All that the catalog knows of a dataset."""
    name = names.dataset(asset)
    found = input_facets(asset, name) if name else {}
    if asset.description:
        found["documentation"] = DocumentationDatasetFacet(asset.description, contentType=_MARKDOWN)
    if asset.owners:
        found["ownership"] = OwnershipDatasetFacet(
            owners=[DatasetOwner(name=owner) for owner in asset.owners]
        )
    tags = [*_tags(asset.tags, None), *(tag for column in asset.columns for tag in _of(column))]
    if tags:
        found["tags"] = TagsDatasetFacet(tags=tags)
    lineage = column_lineage(asset, catalog, names)
    if lineage is not None:
        found["columnLineage"] = lineage
    return found | relation_facets(asset, names)


def relation_facets(asset: Asset, names: Names) -> dict[str, DatasetFacet]:
    """The kind of a relation, where it is stored, and its other names."""
    found: dict[str, DatasetFacet] = {}
    if asset.is_relation:
        kind = "VIEW" if asset.materialized == "view" else "TABLE"
        found["datasetType"] = DatasetTypeDatasetFacet(datasetType=kind)
        found["storage"] = StorageDatasetFacet(storageLayer="duckdb", fileFormat="duckdb")
    others = names.symlinks(asset)
    if others:
        found["symlinks"] = SymlinksDatasetFacet(
            identifiers=[
                Identifier(namespace=other.namespace, name=other.name, type="TABLE")
                for other in others
            ]
        )
    return found


def version_facets(run_id: str) -> dict[str, DatasetFacet]:
    """The version of a dataset that a run wrote: the run's id; empty without a run."""
    return {"version": DatasetVersionDatasetFacet(datasetVersion=run_id)} if run_id else {}


def column_lineage(
    asset: Asset, catalog: Catalog, names: Names
) -> ColumnLineageDatasetFacet | None:
    """What each column is made from, and what decides the rows; None where nothing is known.

    An edge without a parent column (``count(*)``) cannot be expressed in the standard, which wants
    a field; the parent is an input of the job all the same.
    """
    merged: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for edge in edges_read(catalog, asset.id):
        parent = names.dataset(catalog.assets[edge.parent]) if edge.parent_column else None
        if parent is None:
            continue
        place = (parent.namespace, parent.name, edge.parent_column)
        kinds = merged.setdefault(edge.child_column, {}).setdefault(place, [])
        if edge.kind not in kinds:
            kinds.append(edge.kind)
    if not merged:
        return None
    whole = _input_fields(merged.pop("", {}))
    return ColumnLineageDatasetFacet(
        fields={
            column: Fields(inputFields=_input_fields(found)) for column, found in merged.items()
        },
        dataset=whole,
    )


def job_facets(
    kind: str, *, integration: str, asset: Asset | None = None, dialect: str | None = None
) -> dict[str, JobFacet]:
    """The type of a job, and what the catalog knows of the asset that it makes."""
    found: dict[str, JobFacet] = {
        "jobType": JobTypeJobFacet(processingType="BATCH", integration=integration, jobType=kind)
    }
    if asset is None:
        return found
    if asset.description:
        found["documentation"] = DocumentationJobFacet(asset.description, contentType=_MARKDOWN)
    if asset.owners:
        found["ownership"] = OwnershipJobFacet(
            owners=[JobOwner(name=owner) for owner in asset.owners]
        )
    if asset.compiled_code:
        found["sql"] = SQLJobFacet(query=asset.compiled_code.strip(), dialect=dialect)
    return found


def code_facets(context: RunContext, path: str) -> dict[str, JobFacet]:
    """Where a file with a job's code is; empty if it is missing or in no public repository."""
    repository = context.repository
    if repository is None or not (context.root / path).is_file():
        return {}
    return {
        "sourceCodeLocation": SourceCodeLocationJobFacet(
            type="git",
            url=repository.page(path),
            repoUrl=repository.url,
            path=repository.inside(path),
            version=repository.commit,
            branch=repository.branch,
        )
    }


def _input_fields(found: Mapping[tuple[str, str, str], Iterable[str]]) -> list[InputField]:
    return [
        InputField(
            namespace=namespace,
            name=name,
            field=field,
            transformations=[_transformation(kind) for kind in kinds],
        )
        for (namespace, name, field), kinds in found.items()
    ]


def _transformation(kind: str) -> Transformation:
    type_, subtype = _TRANSFORMATIONS[kind]
    return Transformation(type=type_, subtype=subtype, description=kind)


def _of(column: Column) -> list[TagsDatasetFacetFields]:
    pii = [_tag("pii", column.pii, "HEADRACE", column.name)] if column.pii else []
    return [*_tags(column.tags, column.name), *pii]


def _tags(tags: Iterable[str], field: str | None) -> list[TagsDatasetFacetFields]:
    return [_tag(tag, "true", "DBT", field) for tag in tags]


def _tag(key: str, value: str, source: str, field: str | None) -> TagsDatasetFacetFields:
    return TagsDatasetFacetFields(key=key, value=value, source=source, field=field)


def _field(column: Column, place: int) -> SchemaDatasetFacetFields:
    return SchemaDatasetFacetFields(
        name=column.name,
        type=column.data_type,
        description=column.description or None,
        ordinal_position=place,
        fields=_nested(column.data_type) if column.data_type else [],
    )


@cache
def _inner(data_type: str) -> tuple[tuple[str, str], ...]:
    """Name and type of what a nested type holds; of a list its ``_element``."""
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        parsed: Any = parse_one(data_type, into=exp.DataType, dialect="duckdb")
    except SqlglotError:
        return ()
    if not parsed.args.get("nested"):
        return ()
    parts = [
        (part.name, part.args.get("kind")) if isinstance(part, exp.ColumnDef) else ("", part)
        for part in parsed.expressions
    ]
    names = {1: ("_element",), 2: ("key", "value")}.get(len(parts), ())
    return tuple(
        (name or names[number], kind.sql(dialect="duckdb"))
        for number, (name, kind) in enumerate(parts)
        if kind is not None and (name or number < len(names))
    )


def _nested(data_type: str) -> list[SchemaDatasetFacetFields]:
    if not any(mark in data_type for mark in "(["):
        return []
    return [
        SchemaDatasetFacetFields(name=name, type=kind, ordinal_position=place, fields=_nested(kind))
        for place, (name, kind) in enumerate(_inner(data_type), start=1)
    ]


def node_job(context: RunContext, asset: Asset) -> Job:
    """The job that makes a model, snapshot or seed."""
    code: dict[str, JobFacet] = {}
    if asset.path and context.dbt_project is not None:
        code = code_facets(context, f"{context.dbt_project}/{asset.path}")
    kind = asset.kind.upper()
    known = job_facets(kind, integration="DBT", asset=asset, dialect=context.dialect)
    return Job(context.names.jobs, asset.id, facets=known | code)


def load_job(context: RunContext, source: str, kind: str | None) -> Job:
    """The job that loads a source; its code is the folder in ``dlt_pipelines``."""
    known = job_facets("LOAD", integration="DLT")
    code = code_facets(context, f"dlt_pipelines/{kind or source}/__init__.py")
    return Job(context.names.jobs, f"load.{source}", facets=known | code)


def input_dataset(asset: Asset, context: RunContext) -> InputDataset:
    """A dataset as what a job reads."""
    name = context.names.dataset(asset)
    assert name is not None, "only datasets are read"
    known = input_facets(asset, name) | relation_facets(asset, context.names)
    return InputDataset(name.namespace, name.name, facets=known)


def output_dataset(
    asset: Asset,
    catalog: Catalog,
    context: RunContext,
    statistics: dict[str, OutputDatasetFacet] | None = None,
) -> OutputDataset:
    """A dataset as what a job writes."""
    name = context.names.dataset(asset)
    assert name is not None, "only datasets are written"
    return OutputDataset(
        name.namespace,
        name.name,
        facets=dataset_facets(asset, catalog, context.names) | version_facets(context.run_id),
        outputFacets=statistics or {},
    )
