"""OpenLineage's specification as JSON Schemas, from the classes that the project generates of it.

openlineage-python's ``generated`` package is written by the OpenLineage project from the files at
https://openlineage.io/spec; each class knows the URL of its file. Here each class becomes a JSON
Schema again: what is required, which types, and no key besides. What the classes do not say is
added by hand: the formats, and the key that each facet goes by.

Where the published files themselves are at hand, in ``tests/fixtures/openlineage`` and named as
they are published (``OpenLineage.json``, ``ColumnLineageDatasetFacet.json``, ...), each event and
each facet is checked against them, too. Their ``$ref`` by URL are found in the same folder.
"""

import importlib
import json
import pkgutil
import types
import typing
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import generated
from openlineage.client.generated import base
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

PUBLISHED = Path(__file__).parents[1] / "fixtures" / "openlineage"

KEYS = {
    "ColumnLineageDatasetFacet": "columnLineage",
    "DataQualityAssertionsDatasetFacet": "dataQualityAssertions",
    "DataQualityMetricsInputDatasetFacet": "dataQualityMetrics",
    "DatasourceDatasetFacet": "dataSource",
    "DocumentationDatasetFacet": "documentation",
    "DocumentationJobFacet": "documentation",
    "ErrorMessageRunFacet": "errorMessage",
    "JobTypeJobFacet": "jobType",
    "OutputStatisticsOutputDatasetFacet": "outputStatistics",
    "OwnershipDatasetFacet": "ownership",
    "OwnershipJobFacet": "ownership",
    "ParentRunFacet": "parent",
    "ProcessingEngineRunFacet": "processing_engine",
    "DatasetTypeDatasetFacet": "datasetType",
    "DatasetVersionDatasetFacet": "version",
    "NominalTimeRunFacet": "nominalTime",
    "StorageDatasetFacet": "storage",
    "SymlinksDatasetFacet": "symlinks",
    "SchemaDatasetFacet": "schema",
    "SourceCodeLocationJobFacet": "sourceCodeLocation",
    "SQLJobFacet": "sql",
    "TagsDatasetFacet": "tags",
    "TagsRunFacet": "tags",
    "TestRunFacet": "test",
}
_FORMATS = {
    "runId": "uuid",
    "eventTime": "date-time",
    "producer": "uri",
    "schemaURL": "uri",
    "_producer": "uri",
    "_schemaURL": "uri",
    "url": "uri",
    "uri": "uri",
}
_SCALARS: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _is_uri(value: object) -> bool:
    return bool(urlparse(str(value)).scheme)


def _is_moment(value: object) -> bool:
    return datetime.fromisoformat(str(value)).tzinfo is not None


_CHECKER = FormatChecker(formats=["uuid"])
_CHECKER.checks("uri")(_is_uri)
_CHECKER.checks("date-time", raises=ValueError)(_is_moment)


def problems(event: dict[str, Any], *, published: Path = PUBLISHED) -> list[str]:
    """What is wrong with an event, in words; nothing of one that is valid.

    Args:
        event: as it goes over the wire.
        published: the folder of published schemas; it need not be there.
    """
    kind = event.get("schemaURL", "").rpartition("/")[2]
    found = _check(getattr(base, kind, None), event, "event")
    found += _by_published(event.get("schemaURL", ""), event, "event", published)
    places: list[tuple[str, Any, str, type]] = [
        ("run", event.get("run"), "facets", base.RunFacet),
        ("job", event.get("job"), "facets", base.JobFacet),
        ("dataset", event.get("dataset"), "facets", base.DatasetFacet),
    ]
    for dataset in event.get("inputs", ()):
        places.append(("inputs", dataset, "facets", base.DatasetFacet))
        places.append(("inputs", dataset, "inputFacets", base.InputDatasetFacet))
    for dataset in event.get("outputs", ()):
        places.append(("outputs", dataset, "facets", base.DatasetFacet))
        places.append(("outputs", dataset, "outputFacets", base.OutputDatasetFacet))
    for place, holder, key, kind_ in places:
        for name, facet in ((holder or {}).get(key) or {}).items():
            at = f"{place}.{key}.{name}"
            found += _facet(name, facet, at, kind_)
            found += _by_published(facet.get("_schemaURL", ""), facet, at, published)
    return found


def _by_published(url: str, content: Any, place: str, folder: Path) -> list[str]:
    """What the published schema of a URL has to say; nothing where its file is not at hand."""
    file, _, part = url.partition("#")
    if file.rpartition("/")[2] not in _files(folder):
        return []
    schema = {"$ref": f"{_id(file, folder)}#{part}"}
    validator = Draft202012Validator(schema, registry=_registry(folder), format_checker=_CHECKER)
    try:
        return [
            f"{place}{error.json_path[1:]}: {error.message} (published schema)"
            for error in validator.iter_errors(content)
        ]
    except Unresolvable as error:
        return [f"{place}: {url} is not in the published schemas: {error}"]


def _id(url: str, folder: Path) -> str:
    """What the file at hand calls itself; its version may be another than the URL's."""
    content = _files(folder)[url.rpartition("/")[2]]
    return str(content.get("$id", url))


@cache
def _files(folder: Path) -> dict[str, Any]:
    """The published schemas by the name of their file."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    return {path.name: json.loads(path.read_text("utf-8")) for path in paths}


@cache
def _registry(folder: Path) -> Registry[Any]:
    """Any URL that ends with the name of a file of the folder is that file."""

    def retrieve(url: str) -> Resource[Any]:
        content = _files(folder).get(url.partition("#")[0].rpartition("/")[2])
        if content is None:
            raise Unresolvable(ref=url)
        return Resource.from_contents(content, default_specification=DRAFT202012)

    return Registry(retrieve=retrieve)  # type: ignore[call-arg]  # attrs, which mypy misreads


def _facet(name: str, facet: dict[str, Any], place: str, kind: type) -> list[str]:
    cls = _facets().get(facet.get("_schemaURL", ""))
    if cls is None:
        return [f"{place}: no such schema: {facet.get('_schemaURL')}"]
    found = _check(cls, facet, place)
    if not issubclass(cls, kind):
        found.append(f"{place}: {cls.__name__} is no {kind.__name__}")
    if KEYS.get(cls.__name__) != name:
        found.append(f"{place}: {cls.__name__} goes by {KEYS.get(cls.__name__)!r}")
    return found


def _check(cls: type | None, content: Any, place: str) -> list[str]:
    if cls is None:
        return [f"{place}: no such schema"]
    validator = Draft202012Validator(schema_of(cls), format_checker=_CHECKER)
    return [
        f"{place}{error.json_path[1:]}: {error.message}" for error in validator.iter_errors(content)
    ]


@cache
def _facets() -> dict[str, type]:
    """The facet classes by the URL of their schema."""
    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(generated.__path__):
        content = importlib.import_module(f"{generated.__name__}.{module.name}")
        for cls in vars(content).values():
            if isinstance(cls, type) and issubclass(cls, base.BaseFacet):
                found[cls._get_schema()] = cls
    return found


@cache
def schema_of(cls: type) -> dict[str, Any]:
    """A class as a JSON Schema."""
    definitions: dict[str, Any] = {}
    reference = _object(cls, definitions)
    return {**reference, "$defs": definitions}


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
    if name not in definitions:
        definitions[name] = {}
        hints = typing.get_type_hints(cls)
        fields = attr.fields(cls)
        definitions[name] |= {
            "type": "object",
            "properties": {
                field.name: _typed(field.name, hints[field.name], definitions) for field in fields
            },
            "required": [
                field.name
                for field in fields
                if field.default is attr.NOTHING
                or (field.name in _FORMATS and not field.init)
                or field.name in {"_producer", "producer"}
            ],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}


def _typed(name: str, hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        kinds = [part for part in parts if part is not type(None)]
        return {"anyOf": [_typed(name, kind, definitions) for kind in kinds]}
    if origin is list:
        return {"type": "array", "items": _typed("", parts[0], definitions)}
    if origin is dict:
        inner = parts[1]
        if isinstance(inner, type) and issubclass(inner, base.BaseFacet):
            return {"type": "object"}  # each by its own schema
        return {"type": "object", "additionalProperties": _typed("", inner, definitions)}
    if origin is typing.Literal:
        return {"enum": list(parts)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if isinstance(hint, type) and attr.has(hint):
        return _object(hint, definitions)
    if hint is Any:
        return {}
    scalar: dict[str, Any] = {"type": _SCALARS[hint]}
    return scalar | ({"format": _FORMATS[name]} if name in _FORMATS else {})
