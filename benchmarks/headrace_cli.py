"""Headrace's command line, measured."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Sample, python, run_process


def headrace(
    *arguments: str, data_dir: Path, sets: tuple[str, ...] = (), project: Path = ROOT
) -> tuple[Sample, dict[str, Any]]:
    """Run a command on a data directory of its own; gives the sample and the command's report.

    Args:
        arguments: the command, for example ``load --source bench``.
        data_dir: where it writes.
        sets: settings, ``key=value``.
        project: the project's folder.
    """
    flags = [flag for value in (f"data_dir={data_dir}", *sets) for flag in ("--set", value)]
    sample = run_process(
        python("-m", "headrace", *arguments, "--json", "--project-dir", project, *flags)
    )
    report: dict[str, Any] = json.loads(sample.stdout)
    load = report.get("load")
    return replace(sample, inner_seconds=load["seconds"] if load else None, stdout=""), report


def warm_load(
    source: str, *, data_dir: Path, sets: tuple[str, ...] = ()
) -> tuple[Sample, dict[str, Any]]:
    """Load a source in a process that has imported everything before its clock starts.

    The sample's ``inner_seconds`` are what matters; the report is the run's.
    """
    sample = run_process(
        python("-m", "benchmarks.warm_load", source, f"data_dir={data_dir}", *sets)
    )
    seconds, _, rest = sample.stdout.partition("\n")
    report: dict[str, Any] = json.loads(rest)
    return replace(sample, inner_seconds=float(seconds), stdout=""), report


def files_source(folder: Path, *, pattern: str) -> str:
    """The setting of a `files` source `bench` with one table `orders`, its key `id`."""
    source = {
        "kind": "files",
        "path": str(folder),
        "tables": {"orders": {"pattern": pattern, "primary_key": ["id"]}},
    }
    return f"sources.bench={json.dumps(source)}"
