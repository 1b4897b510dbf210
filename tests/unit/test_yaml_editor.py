"""Lines are put into YAML that somebody else wrote; nothing else is touched."""

import difflib

import pytest

from headrace.errors import ProjectFileError
from headrace.yaml_editor import Edit, ListItem, MappingKey, add, parse

COLUMNS = ("models", 0, "columns")
CITY = ("- name: city", '  description: ""  # to be described')


def item(*lines: str, after: int = 0, path: tuple[str | int, ...] = COLUMNS) -> ListItem:
    return ListItem(path, after, lines)


def new_lines(text: str, *edits: Edit) -> list[str]:
    """The lines that were added; asserts that every other byte is where it was."""
    document, left = add(parse(text, "x.yml"), edits)
    assert left == ()
    old, new = text.splitlines(keepends=True), document.text.splitlines(keepends=True)
    changes = list(difflib.ndiff(old, new))
    assert [line for line in changes if line.startswith("-")] == []
    assert all(line.endswith("\n") for line in new)
    return [line[2:].rstrip("\r\n") for line in changes if line.startswith("+")]


def place(text: str, *edits: Edit) -> str:
    document, left = add(parse(text, "x.yml"), edits)
    assert left == ()
    return document.text


SIMPLE = """\
models:
  - name: a
    columns:
      - name: id
        description: The key.  # stays
      # about the name
      - {name: name,   description: "Its 'name'"}

# the end
"""


def test_between_items_before_the_comment_of_the_next() -> None:
    assert new_lines(SIMPLE, item(*CITY)) == [f"      {line}" for line in CITY]
    text = place(SIMPLE, item(*CITY))
    assert text.index("- name: city") < text.index("# about the name")


def test_after_the_last_item_before_blank_lines_and_comments() -> None:
    text = place(SIMPLE, item(*CITY, after=1))
    assert text.endswith("# to be described\n\n# the end\n")


def test_several_keep_their_order() -> None:
    text = place(SIMPLE, item("- name: x"), item("- name: y"), item("- name: z", after=1))
    names = [column["name"] for column in parse(text, "x.yml").data["models"][0]["columns"]]
    assert names == ["id", "x", "y", "name", "z"]


def test_a_test_and_a_column_at_one_place() -> None:
    test = MappingKey((*COLUMNS, 0), ("data_tests:", "  - unique"))
    text = place(SIMPLE, item(*CITY), test)
    assert parse(text, "x.yml").data["models"][0]["columns"][:2] == [
        {"name": "id", "description": "The key.", "data_tests": ["unique"]},
        {"name": "city", "description": ""},
    ]


def test_the_indentation_is_that_of_the_list() -> None:
    flat = "models:\n- name: a\n  columns:\n  - name: id\n"
    assert new_lines(flat, item(*CITY)) == [f"  {line}" for line in CITY]
    wide = "models:\n    -   name: a\n        columns:\n            -   name: id\n"
    assert new_lines(wide, item(*CITY)) == [f"            {line}" for line in CITY]


def test_a_file_without_a_last_line_end() -> None:
    text = "models:\n- name: a\n  columns:\n  - name: id"
    assert place(text, item("- name: b")) == f"{text}\n  - name: b\n"


def test_crlf_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + SIMPLE.replace("\n", "\r\n")
    new = place(text, item(*CITY))
    assert new.count("\r\n") == new.count("\n") == SIMPLE.count("\n") + 2
    assert new.startswith("\ufeff")


@pytest.mark.parametrize("mark", ["|", ">", "|-", ">+", "|2", ">-"])
def test_what_looks_like_a_comment_in_a_text_is_text(mark: str) -> None:
    body = "          # a heading\n\n          and more\n"
    body = body.replace("          ", "            ") if mark == "|2" else body
    text = (
        "models:\n  - name: a\n    columns:\n      - name: id\n"
        f"        description: {mark}\n{body}      # a comment\n      - name: b\n"
    )
    assert new_lines(text, item(*CITY)) == [f"      {line}" for line in CITY]
    assert new_lines(text, item(*CITY, after=1)) == [f"      {line}" for line in CITY]


def test_long_texts_in_quotes_and_without() -> None:
    for value in ("plain text\n          on two lines", "'one\n\n          two'", '"a\\\n  b"'):
        text = (
            f"models:\n  - name: a\n    columns:\n      - name: id\n        description: {value}\n"
        )
        assert new_lines(text, item(*CITY)) == [f"      {line}" for line in CITY]


def test_blank_lines_between_items_are_kept_up() -> None:
    text = "models:\n  - name: a\n    columns:\n      - name: id\n\n      - name: b\n"
    assert new_lines(text, item("- name: c", after=1)) == ["", "      - name: c"]


def test_an_empty_list_without_brackets_gets_none_but_a_key_does() -> None:
    text = "models:\n  - name: a\n    description: ''\n"
    lines = ("columns:", "  - name: id")
    assert new_lines(text, MappingKey(("models", 0), lines)) == ["    columns:", "      - name: id"]


UNSURE = {
    "a flow list": "models:\n  - name: a\n    columns: [{name: id}]\n",
    "an empty list": "models:\n  - name: a\n    columns: []\n",
    "an empty key": "models:\n  - name: a\n    columns:\n",
    "an alias": (
        "x: &shared\n  - name: id\nmodels:\n  - name: a\n    columns: *shared\n"
        "  - name: b\n    columns: *shared\n"
    ),
    "a merge key": ("x: &base\n  columns:\n    - name: id\nmodels:\n  - <<: *base\n    name: a\n"),
    "a flow mapping": "models: [{name: a, columns: [{name: id}]}]\n",
}


@pytest.mark.parametrize("text", UNSURE.values(), ids=UNSURE.keys())
def test_what_is_not_sure_is_left(text: str) -> None:
    edit = item(*CITY)
    document, left = add(parse(text, "x.yml"), [edit])
    assert (document.text, left) == (text, (edit,))


def test_what_is_sure_is_done_although_something_else_is_not() -> None:
    text = SIMPLE + "  - name: b\n    columns: []\n"
    unsure = item("- name: x", path=("models", 1, "columns"))
    document, left = add(parse(text, "x.yml"), [item(*CITY), unsure, item("- name: z", after=1)])
    assert left == (unsure,)
    names = [column["name"] for column in document.data["models"][0]["columns"]]
    assert names == ["id", "city", "name", "z"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:\n\t- b\n", "x.yml:2: there is a tab where YAML requires spaces"),
        ("a: 1\nb: 2\na: 3\n", 'x.yml:3: found duplicate key "a"'),
        ("a: [1, 2\nb: 3\n", "x.yml:2: "),
        ("a: *nowhere\n", "x.yml:1: "),
        ("a: &x [*x]\n", "x.yml"),
        ("--- a\n--- b\n", "x.yml:"),
        ("a: {{ x }}\n", "x.yml:1: "),
        ("a: \x00\n", "x.yml"),
    ],
)
def test_broken_yaml_names_file_and_line(text: str, words: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        parse(text, "x.yml")
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert message.endswith("fix it first; nothing was written")
