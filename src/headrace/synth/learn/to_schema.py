"""From a sample to the text of a schema file, by NumPy alone."""

import pyarrow as pa

from headrace.synth.learn.correlate import correlate
from headrace.synth.learn.data import Sample
from headrace.synth.learn.field import Column, Field, make_field
from headrace.synth.learn.flow import flow, one_line
from headrace.synth.learn.relations import Relations


def to_schema(sample: Sample, relations: Relations, *, seed: int = 0) -> str:
    """The text of a schema file that gives data like the sample, of any size.

    Keys become serials, UUIDs or unique patterns; foreign keys keep how unevenly the parents are
    chosen; numbers and moments keep 101 quantiles and their precision, categories their weights,
    all columns their share of null; and each table the correlations between its
    own columns. What depends on another table's columns is not learned.

    Args:
        sample: the tables.
        relations: their keys and relations.
        seed: the seed that is written into the file.
    """
    lines = [
        "# Learned from a sample by `headrace learn --to-schema`. Read it before you share it:",
        "# quantiles and categories are values of the sample.",
    ]
    lines += [f"# {one_line(note)}" for note in (*sample.notes, *relations.notes)]
    lines += [f"seed: {seed}", "schema:"]
    for name, data in sample.tables.items():
        lines += _table(sample, relations, name, data)
    return "\n".join(lines) + "\n"


def fields_of(sample: Sample, relations: Relations, table: str) -> list[Field]:
    """The fields of a table, and the order of categories that shows their correlations."""
    return correlate(_fields(sample, relations, table))[0]


def _fields(sample: Sample, relations: Relations, table: str) -> list[Field]:
    data, keys = sample.tables[table], relations.of(table)
    beside = tuple(data.column_names)
    return [
        make_field(
            Column(table, name, data.column(name), beside), relations, keys.get(name), sample
        )
        for name in data.column_names
    ]


def _table(sample: Sample, relations: Relations, name: str, data: pa.Table) -> list[str]:
    keys = relations.of(name)
    fields, correlation = correlate(_fields(sample, relations, name))
    lines = [f"  {flow(name)}:", f"    count: {len(data)}"]
    children = [len(sample.tables[r.table]) for r in relations.relations if r.parent == name]
    if not keys and len(data) <= 50 and min(children, default=0) >= 20 * len(data):
        lines.append("    scale: false  # few rows that many refer to; leave out to let it grow")
    lines += correlation
    lines.append("    fields:")
    for each in fields:
        comment = f"  # {one_line(each.comment)}" if each.comment else ""
        lines.append(f"      {flow(each.name)}: {flow(each.settings)}{comment}")
    return lines
