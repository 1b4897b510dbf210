"""The check of events against published schemas, with a small set of such files."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")

from openlineage_spec import problems

BASE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FACET = "https://openlineage.io/spec/facets/1-1-1/NominalTimeRunFacet.json"
SCHEMAS: dict[str, dict[str, Any]] = {
    "OpenLineage.json": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": BASE,
        "$defs": {
            "RunEvent": {"type": "object", "required": ["eventTime", "run"]},
            "RunFacet": {
                "type": "object",
                "required": ["_producer", "_schemaURL"],
                "properties": {"_producer": {"type": "string", "format": "uri"}},
            },
        },
    },
    "NominalTimeRunFacet.json": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://openlineage.io/spec/facets/1-0-0/NominalTimeRunFacet.json",
        "$defs": {
            "NominalTimeRunFacet": {
                # another version than the file at hand, as published files have them
                "allOf": [
                    {"$ref": "https://openlineage.io/spec/1-0-2/OpenLineage.json#/$defs/RunFacet"},
                    {"type": "object", "properties": {"nominalStartTime": {"maxLength": 30}}},
                ]
            }
        },
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in SCHEMAS.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def event(**facet: object) -> dict[str, Any]:
    content = {
        "_producer": "urn:x",
        "_schemaURL": f"{FACET}#/$defs/NominalTimeRunFacet",
        "nominalStartTime": "2024-06-01T00:00:00Z",
    }
    run = {"runId": "1", "facets": {"nominalTime": content | facet}}
    return {"schemaURL": f"{BASE}#/$defs/RunEvent", "eventTime": "2024-06-01T00:00:00Z", "run": run}


def published(found: list[str]) -> list[str]:
    return [each for each in found if "published" in each]


def test_facets_are_checked_through_their_references(folder: Path) -> None:
    assert published(problems(event(), published=folder)) == []
    found = published(problems(event(_producer="", nominalStartTime="x" * 31), published=folder))
    assert len(found) == 2
    assert "is not a 'uri'" in found[0]
    assert "is too long" in found[1]


def test_events_are_checked(folder: Path) -> None:
    content = event()
    del content["run"]
    assert published(problems(content, published=folder)) == [
        "event: 'run' is a required property (published schema)"
    ]


def test_reference_to_a_file_that_is_not_there_is_said(folder: Path) -> None:
    (folder / "OpenLineage.json").unlink()
    (found,) = published(problems(event(), published=folder))
    assert "is not in the published schemas" in found


def test_nothing_is_asked_of_files_that_are_not_there(tmp_path: Path) -> None:
    assert published(problems(event(_producer=""), published=tmp_path)) == []
