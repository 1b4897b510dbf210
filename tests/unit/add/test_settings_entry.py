"""An entry goes below ``sources``, and nothing else of the file changes."""

import difflib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from headrace.add.files import with_source
from headrace.errors import AddError, ProjectFileError

ROOT = Path(__file__).parents[3]
ENTRY = "# what it is\ncrm:\n  enabled: true\n  tables:\n    a: {cursor: b}\n  # the end\n"
DATA = {"enabled": True, "tables": {"a": {"cursor": "b"}}}
GOOD = {
    "the last key": "a: 1\nsources:\n  shop:\n    enabled: true\n",
    "comments after it": "sources:\n  shop:\n    x: 1\n    # y: 2\n\n  # more:\n  #   z: 3\n",
    "another key after it": "sources:\n  shop: {}\n  # of sources\n\n# of dbt\ndbt:\n  vars: {}\n",
    "no end of line": "sources:\n  shop:\n    x: 1",
    "wide indentation": "sources:\n    shop:\n        x: 1\nserve: {port: 1}\n",
    "a comment without indentation": "sources:\n# odd\n  shop:\n    x: 1\n# odd, too\n",
    "empty": "",
    "comments alone": "# nothing here\n",
    "no sources": "log_level: debug\n",
    "sources are null": "# top\nsources:\ndbt: {}\n",
    "sources are null, with comments": "sources:\n  # shop:\n  #   x: 1\n\nlog_level: debug\n",
    "sources are an empty mapping": "sources: {}  # none yet\ndbt: {}\n",
    "a block of text": "sources:\n  shop:\n    sql: |\n      select 1\n\n      from x\n",
    "an anchor": "sources:\n  a: &one\n    x: 1\n  b: *one\n",
    "Windows line ends": "sources:\r\n  shop:\r\n    x: 1\r\n\r\ndbt: {}\r\n",
    "a flow value": "sources:\n  shop: {x: 1,\n    y: 2}\n",
}


def read(text: str) -> dict[str, object]:
    return YAML(typ="safe", pure=True).load(text) or {}


@pytest.mark.parametrize("text", GOOD.values(), ids=list(GOOD))
def test_it_is_added_and_all_else_stays(text: str) -> None:
    new = with_source(text, "crm", ENTRY, "config/default.yml")
    before = read(text)
    sources = before.get("sources") or {}
    assert isinstance(sources, dict)
    assert read(new) == before | {"sources": {**sources, "crm": DATA}}
    ending = "\r\n" if "\r\n" in text else "\n"
    assert all(line.endswith(ending) for line in new.splitlines(keepends=True))
    lines = difflib.ndiff(text.splitlines(), new.splitlines())
    gone = [line[2:] for line in lines if line.startswith("- ")]
    assert gone == (["sources: {}  # none yet"] if "{}  #" in text else [])


def test_a_second_one_follows_the_first() -> None:
    one = with_source(GOOD["comments after it"], "crm", ENTRY, "x")
    two = with_source(one, "erp", ENTRY.replace("crm", "erp"), "x")
    assert two.startswith(one)
    assert list(read(two)["sources"]) == ["shop", "crm", "erp"]  # type: ignore[call-overload]


def test_the_settings_of_this_project() -> None:
    text = (ROOT / "config" / "default.yml").read_text(encoding="utf-8")
    new = with_source(text, "crm", ENTRY, "config/default.yml")
    assert new.replace("\n" + "".join(f"  {line}\n" for line in ENTRY.splitlines()), "") == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sources: {shop: {x: 1}}\n", "add by hand: crm:"),
        ("sources: [a]\n", "add by hand: crm:"),
        ("sources: text\n", "add by hand: crm:"),
        ("- a list\n", "add by hand: crm:"),
        ("sources:\n  shop: {\n", "fix it first"),
        ("sources:\n\tshop: 1\n", "config/default.yml:2: there is a tab"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str, words: str) -> None:
    with pytest.raises((AddError, ProjectFileError)) as caught:
        with_source(text, "crm", ENTRY, "config/default.yml")
    assert words in str(caught.value)
    assert "nothing was written" in str(caught.value)
    assert "\n" not in str(caught.value)
