"""libyaml reads a document as ruamel.yaml does, or leaves it to that."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import HeadraceError
from headrace.synth.schema import quick_yaml
from headrace.synth.schema.schema_file import SchemaDocument, load, parse, read

SCHEMAS = sorted((Path(__file__).parents[3] / "data" / "schemas").glob("*.yml"))
ODD = (
    "", "~", "null", "Null", "NULL", "true", "True", "no", "yes", "on", "off", "y", "0", "-0", "+1",
    "007", "0o17", "0x1F", "0b1", "1_000", "1e3", "1.5", "-1.5", "1.", ".5", ".inf", ".nan", "nan",
    "1.5e3", "12:30", "190:20:30", "2024-01-31", "2024-02-30", "2024-1-31", "2024-01-31T10:00:00",
    "2024-01-31 10:00:00", "2024-01-31T10:00:00Z", "30d", "-x", "- x", "=", "<<", "a: b", "a #b",
    "a#b", "'it''s'", '"tab\\t and \\u00e9 and \\/"', "[1, [2, {a: b}]]", "{a: 1, b: }",
    "{a: , a: }", "{1: a}", "{no: a, on: b}", "{? [a] : b}", "!!str 1", "!x 1", "&a 1",
    "[&a {x: 1}, *a, *a]", "&a [*a]",
    "|\n  two\n  lines\n", ">\n  one\n  line\n\n  two\n", "|+\n  kept\n\n", ">-\n  a\n    b\n  c\n",
    "two\n  lines", "99999999999999999999", "1.23456789012345678901", "é", "\x85", "\u2028", "a\tb",
    "%a", "@a", "`a", "*b", "{<<: {a: 1}, b: 2}", "---\na", "a\n---\nb", "a\n...\n", "🙂",
)  # fmt: skip


def slowly(text: str) -> Any:
    """The plain values by ruamel.yaml; the error where it reads none."""
    try:
        return plain(load(text, None))
    except HeadraceError as error:
        return error


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key) if isinstance(key, str) else key: plain(node[key]) for key in node}
    if isinstance(node, list):
        return [plain(each) for each in node]
    kinds = [kind for kind in (bool, int, float, str) if isinstance(node, kind)]
    return kinds[0](node) if kinds else node


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(other, type(one))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: str(path.stem))
def test_our_schema_files_are_read_by_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = quick_yaml.read(text)
    assert same(found, slowly(text))
    assert isinstance(read(path), SchemaDocument)


@pytest.mark.parametrize("text", ODD)
def test_an_odd_value_is_the_same_or_left(text: str) -> None:
    for document in (text, f"a: {text}\nb: c\n", f"a: [{text}, b]\n", f"{text}: b\n"):
        found = quick_yaml.read(document)
        assert found is None or same(found, slowly(document)), document


scalars = st.one_of(
    st.sampled_from([text for text in ODD if "\n" not in text]), st.text(max_size=12),
    st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.datetimes(),
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(tree=trees, flow=st.sampled_from([True, False, None]))
def test_what_is_written_is_the_same_or_left(tree: Any, flow: bool | None) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    found = quick_yaml.read(text)
    assert found is None or same(found, slowly(text)), text


def test_without_libyaml_files_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = SCHEMAS[0].read_text(encoding="utf-8")
    quickly = parse(text)
    monkeypatch.setattr(quick_yaml, "_Loader", None)
    assert quick_yaml.read(text) is None
    assert parse(text) == quickly
