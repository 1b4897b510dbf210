"""Bad input: one line that says what is wrong and what to do, or a lenient reading with notes."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts import Manifest, Read, Reading, load_manifest, read_artifacts
from headrace.artifacts.reading import MAX_NOTES
from headrace.errors import TransformError, UserError

REAL = Path(__file__).parents[2] / "fixtures" / "artifacts" / "dbt_1_12"
ORDERS = "model.shop.fct_orders"
Document = dict[str, Any]


def real(name: str = "manifest.json") -> Document:
    document: Document = json.loads((REAL / name).read_text("utf-8"))
    return document


def version(number: str) -> bytes:
    document = real()
    document["metadata"]["dbt_schema_version"] = f"https://schemas.getdbt.com/dbt/{number}.json"
    return json.dumps(document).encode()


def read(tmp_path: Path, content: bytes | Document) -> Read[Manifest]:
    path = tmp_path / "manifest.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return load_manifest(path)


WHOLE = (REAL / "manifest.json").read_bytes()
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\0\0", "is empty"),
    "cut in half": (WHOLE[: len(WHOLE) // 2], "is cut off"),
    "cut in a text": (WHOLE[: WHOLE.index(b"select") + 3], "is cut off"),
    "not JSON": (b"models:\n  - name: orders\n", "is not JSON (Expecting value, line 1"),
    "a comma too many": (b'{"metadata": {},}', "is not JSON ("),
    "a list": (b"[1, 2]", "holds a list where a JSON object is expected"),
    "a text": (b'"manifest"', "holds a text where a JSON object is expected"),
    "a number": (b"5", "holds a number where a JSON object is expected"),
    "null": (b"null", "holds null where a JSON object is expected"),
    "an empty object": (b"{}", "is not dbt's manifest: its metadata names no format of dbt's"),
    "another tool's": (b'{"name": "x", "version": 2}', "is not dbt's manifest"),
    "dbt's catalog": (
        (REAL / "catalog.json").read_bytes(),
        "is not dbt's manifest, but its catalog",
    ),
    "format 4": (
        version("manifest/v4"),
        "format v4; Headrace reads v7 to v12 (those of dbt 1.3 to 1.12)",
    ),
    "no format": (version("manifest"), "names no format of dbt's"),
    "no nodes": (version("manifest/v12").replace(b'"nodes"', b'"knots"'), "it has no `nodes`"),
    "nodes in a list": (
        json.dumps(real() | {"nodes": []}).encode(),
        "its `nodes` cannot be read: expected object, got array",
    ),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "is not UTF-8 (byte 0)"),
    "Latin-1": (
        WHOLE.replace("päid".encode(), b"p\xe4id").replace(rb"p\u00e4id", b"p\xe4id"),
        "UTF-8",
    ),
    "nested too deep": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "is nested too deep"),
    "a number too long": (b'{"metadata": ' + b"1" * 5_000 + b"}", "is not"),
    "bytes of anything": (bytes(range(256)) * 40, "is not UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_a_manifest_is_an_error_of_one_line(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(TransformError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert reason in message
    assert str(tmp_path / "manifest.json") in message
    assert message.endswith("delete it and run `headrace build`")
    assert "\n" not in message


def test_a_path_that_is_not_a_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(TransformError, match="run `headrace build` first"):
        load_manifest(path)
    (tmp_path / "folder").mkdir()
    path.symlink_to(tmp_path / "folder")
    with pytest.raises(TransformError, match="is a directory: delete it"):
        load_manifest(path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(TransformError, match="cannot be opened"):
        load_manifest(path)
    path.unlink()
    os.mkfifo(path)  # nobody writes to it: who opens it waits for ever
    with pytest.raises(TransformError, match="is not a file"):
        load_manifest(path)
    with pytest.raises(TransformError, match="cannot be opened"):
        load_manifest(tmp_path / "manifest.json" / "manifest.json")


def retyped(key: str, value: Any) -> Callable[[Document], None]:
    def damage(document: Document) -> None:
        document["nodes"][ORDERS][key] = value

    return damage


def renamed(document: Document) -> None:
    document["nodes"]["model.shop.<b>\u202e"] = document["nodes"].pop(ORDERS)


MENDED: dict[str, tuple[Callable[[Document], Any], str]] = {
    "a text for a list": (retyped("tags", "pii"), "`model.shop.fct_orders.tags` is left out"),
    "null for a map": (retyped("columns", None), "`columns` is null 1 time: read as not given"),
    "a column that is a list": (
        lambda document: document["nodes"][ORDERS]["columns"].update(status=[1]),
        "`model.shop.fct_orders.columns.status` is left out: expected object, got array",
    ),
    "a constraint without a type": (
        retyped("constraints", [{"type": "check"}, {"name": "x"}]),
        "`model.shop.fct_orders.constraints[1]` is left out: it has no `type`",
    ),
    "a node without a name": (
        lambda document: document["nodes"][ORDERS].pop("name"),
        "`model.shop.fct_orders` in `nodes` is left out: it has no `name`",
    ),
    "a node that is null": (
        lambda document: document["nodes"].update({ORDERS: None}),
        "`model.shop.fct_orders` in `nodes` is left out: expected object, got null",
    ),
    "a kind that is a number": (
        retyped("resource_type", 5),
        "in `nodes` is left out: its `resource_type` cannot be read: expected str, got int",
    ),
    "exposures in a list": (
        lambda document: document.update(exposures=[1]),
        "`exposures` is left out: expected object, got array",
    ),
    "an id that is another's": (
        retyped("unique_id", "model.shop.other"),
        "`model.shop.fct_orders` in `nodes` calls itself `model.shop.other`",
    ),
    "a name that would not print": (renamed, "`model.shop.<b> ` in `nodes` calls itself"),
    "a number that is too large": (
        lambda document: document["metadata"].update(dbt_version=1 << 70),
        "`metadata.dbt_version` is left out",
    ),
}


@pytest.mark.parametrize("name", MENDED)
def test_a_manifest_edited_by_hand_is_read_leniently(name: str, tmp_path: Path) -> None:
    damage, note = MENDED[name]
    document = real()
    damage(document)
    found = read(tmp_path, document)
    assert found.reading.mode == "lenient"
    assert any(note in line for line in found.reading.notes), found.reading.notes
    assert len(found.reading.notes) == 1
    untouched = "model.shop.stg_payments"
    assert found.value.nodes[untouched] == read(tmp_path, WHOLE).value.nodes[untouched]
    assert all(key == node.unique_id for key, node in found.value.nodes.items())


def test_a_bad_field_does_not_affect_the_rest_of_its_node(tmp_path: Path) -> None:
    document = real()
    document["nodes"][ORDERS]["columns"]["status"] = "x"
    document["nodes"][ORDERS]["description"] = 5
    node = read(tmp_path, document).value.nodes[ORDERS]
    assert list(node.columns) == ["order_id", "customer_id"]
    assert node.description == ""
    assert node.compiled_code == read(tmp_path, WHOLE).value.nodes[ORDERS].compiled_code


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"\xef\xbb\xbf" + WHOLE, "it starts with a byte order mark"),
        (WHOLE.replace(b'"owner": "shop"', b'"owner": NaN', 1), "NaN in place of a number"),
        (WHOLE.replace(b'"owner": "shop"', b'"owner": 1e999', 1), "a number is too large"),
        (WHOLE.replace(b'"One row per order."', rb'"\ud83d alone"'), "half a surrogate pair"),
        (
            WHOLE.replace(b'"nodes": {', b'"nodes": {"model.shop.fct_orders": {},', 1),
            "is a duplicate key",
        ),
        (version("manifest/v20"), "its format v20 is newer than v12"),
    ],
)
def test_json_that_only_lenient_parsers_accept_is_read_with_a_note(
    content: bytes, note: str, tmp_path: Path
) -> None:
    found = read(tmp_path, content)
    assert found.reading.mode == "lenient"
    assert note in "".join(found.reading.notes)
    assert len(found.value.nodes) == len(real()["nodes"])
    json.dumps(found.value.nodes[ORDERS].all_meta, allow_nan=False)
    found.value.nodes[ORDERS].description.encode()


def test_a_duplicate_id_is_found_in_a_large_file(tmp_path: Path) -> None:
    document = real()
    document["nodes"][ORDERS]["raw_code"] = "x" * 50_000_000
    assert read(tmp_path, document).reading.mode == "strict"
    first = json.dumps(document["nodes"]["seed.shop.orders"])
    content = json.dumps(document).replace(
        '"nodes": {', f'"nodes": {{"seed.shop.orders": {first},', 1
    )
    notes = read(tmp_path, content.encode()).reading.notes
    assert notes == ("`seed.shop.orders` is a duplicate key: the last value counts",)


def test_very_many_notes_are_counted(tmp_path: Path) -> None:
    document = real()
    document["nodes"] |= {f"model.shop.n{number}": {} for number in range(MAX_NOTES + 7)}
    notes = read(tmp_path, document).reading.notes
    assert len(notes) == MAX_NOTES + 1
    assert notes[-1] == "and 7 more notes like these"


@pytest.mark.parametrize("name", ["catalog.json", "run_results.json", "sources.json"])
def test_an_optional_file_may_be_missing_or_broken(name: str, tmp_path: Path) -> None:
    target, nowhere = tmp_path / "target", tmp_path / "dlt"
    shutil.copytree(REAL, target)
    (target / name).unlink()
    assert reading(target, nowhere, name) == Reading(name, None, "missing")
    for content in (b"", b"[]", b"{", b"{}", (REAL / "manifest.json").read_bytes()):
        (target / name).write_bytes(content)
        found = reading(target, nowhere, name)
        assert found.mode == "unreadable"
        assert name in found.notes[0]
        assert ": delete it and run `" in found.notes[0]


def reading(target: Path, pipelines: Path, name: str) -> Reading:
    artifacts = read_artifacts(target, pipelines)
    assert artifacts.manifest is not None
    (found,) = [each for each in artifacts.readings if each.artifact == name]
    return found


def test_a_bad_result_does_not_affect_the_others(tmp_path: Path) -> None:
    shutil.copytree(REAL, tmp_path / "target")
    document = real("run_results.json")
    document["results"][3]["execution_time"] = "long"
    document["results"][5].pop("status")
    (tmp_path / "target" / "run_results.json").write_text(json.dumps(document))
    artifacts = read_artifacts(tmp_path / "target", tmp_path)
    assert artifacts.run_results is not None
    assert len(artifacts.run_results.results) == len(document["results"]) - 1
    (found,) = [each for each in artifacts.readings if each.artifact == "run_results.json"]
    assert found.notes == (
        "`results[3].execution_time` is left out: expected float, got str",
        "`results[5]` is left out: it has no `status`",
    )


def test_only_the_absence_of_all_artifacts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `headrace run` first") as caught:
        read_artifacts(tmp_path / "target", tmp_path / "dlt")
    assert str(tmp_path / "target") in str(caught.value)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text("{")
    with pytest.raises(TransformError, match="is cut off"):
        read_artifacts(tmp_path / "target", tmp_path / "dlt")
