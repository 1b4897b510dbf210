"""The catalog as events of jobs and datasets."""

import json
from pathlib import Path

import pytest
from small_catalog import CATALOG, MART

from headrace.export.openlineage.catalog_events import to_file
from headrace.settings import resolve

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")


def test_file_has_every_dataset_and_job_once(tmp_path: Path) -> None:
    resolved = resolve(tmp_path, flags=[f"data_dir={tmp_path}"], environ={})
    path = tmp_path / "events.jsonl"

    report = to_file(resolved, CATALOG, path)

    events = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert report.kinds == {"DatasetEvent": 4, "JobEvent": 2}
    assert [event["dataset"]["name"] for event in events[:4]] == [
        "orders",
        "wh.shop_raw.orders",
        "wh.shop_raw.orders__items",
        "wh.marts.fct_orders",
    ]
    load, mart = events[4:]
    assert (load["job"]["name"], mart["job"]["name"]) == ("load.shop", MART)
    assert "run" not in mart
    assert mart["outputs"][0]["facets"]["columnLineage"]["fields"].keys() == {
        "order_id",
        "amount",
        "email",
    }
