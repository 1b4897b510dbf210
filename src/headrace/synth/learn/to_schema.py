"""The text of a schema file that is learned from a sample, by NumPy alone."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from headrace.synth.learn.correlation import correlate
from headrace.synth.learn.field import make_field
from headrace.synth.learn.learned_field import LearnedField, SampleColumn, number_of
from headrace.synth.learn.relations import KeyedTable, Relations, find_references
from headrace.synth.learn.sample_data import LearningSample
from headrace.synth.learn.structure import structured_fields


def to_schema(sample: LearningSample, relations: Relations, *, seed: int = 0) -> str:
    """The text of a schema file that gives data like the sample, of any size.

    Keys become serials, UUIDs or unique patterns; foreign keys keep how unevenly the parents are
    chosen; numbers and timestamps keep 101 quantiles and their precision, categories their weights,
    all columns their share of null; and each table the correlations between its
    own columns. What depends on another table's columns is not learned.

    Args:
        sample: the tables.
        relations: their keys and relations.
        seed: the seed that is written into the file.
    """
    lines = [
        "# Learned from a sample by `headrace learn`. Read it before you share it:",
        "# quantiles and categories are values of the sample.",
    ]
    lines += [f"# {one_line(note)}" for note in (*sample.notes, *relations.notes)]
    references = find_references(sample, relations)
    lines += [
        f"# {name}: {'copied, ' if each.values else 'keys listed, '}few rows that many refer to"
        for name, each in references.items()
    ]
    lines.append(f"seed: {seed}")
    lines += _orphans(relations, references)
    lines.append("schema:")
    for name, data in sample.tables.items():
        lines += _table(sample, relations, name, data, references)
    return "\n".join(lines) + "\n"


def fields_of(sample: LearningSample, relations: Relations, table: str) -> list[LearnedField]:
    """The fields of a table, and the order of categories that shows their correlations."""
    return correlate(_fields(sample, relations, table))[0]


def _fields(sample: LearningSample, relations: Relations, table: str) -> list[LearnedField]:
    data, keys = sample.tables[table], relations.of(table)
    beside = tuple(data.column_names)
    return [
        make_field(
            SampleColumn(table, name, data.column(name), beside), relations, keys.get(name), sample
        )
        for name in data.column_names
    ]


def _orphans(relations: Relations, references: Mapping[str, KeyedTable]) -> list[str]:
    """Faults that give keys that no parent has; codes of listed tables need none."""
    lines = [
        f"  - {{kind: orphan_keys, table: {flow_yaml(each.table)}, "
        f"column: {flow_yaml(each.column)}, share: {number_of(share, 9)}}}"
        for each, share in relations.orphans.items()
        if each in relations.relations and each.parent not in references
    ]
    return ["faults:", *lines] if lines else []


def _table(
    sample: LearningSample,
    relations: Relations,
    name: str,
    data: pa.Table,
    references: Mapping[str, KeyedTable],
) -> list[str]:
    keys = relations.of(name)
    fields, correlations = correlate(structured_fields(sample, relations, name, references))
    lines = [f"  {flow_yaml(name)}:", f"    count: {len(data)}"]
    children = [len(sample.tables[r.table]) for r in relations.relations if r.parent == name]
    if name in references:
        lines.append("    scale: false  # its keys are listed")
    elif not keys and len(data) <= 50 and min(children, default=0) >= 20 * len(data):
        lines.append("    scale: false  # few rows that many refer to; leave out to let it grow")
    if correlations is not None:
        lines += ["    correlation:", f"      columns: {flow_yaml(correlations.columns)}"]
        lines.append("      matrix:")
        lines += [
            f"        - {flow_yaml([number_of(value, None) for value in row])}"
            for row in correlations.matrix
        ]
    lines.append("    fields:")
    for each in fields:
        comment = f"  # {one_line(each.comment)}" if each.comment else ""
        lines.append(f"      {flow_yaml(each.name)}: {flow_yaml(each.settings)}{comment}")
    return lines


def flow_yaml(value: Any) -> str:
    """A value in YAML's flow_yaml style."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{flow_yaml(key)}: {flow_yaml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", value)
        if plain and value.lower() not in {"null", "true", "false", "yes", "no", "on", "off",
                                           "y", "n"}:  # fmt: skip
            return value
        text = json.dumps(value, ensure_ascii=False)
        return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in text)
    return json.dumps(value)


def one_line(text: str) -> str:
    """A text as a comment takes it."""
    return re.sub(r"[^ -~\u00a1-\ufffd]+", " ", text)
