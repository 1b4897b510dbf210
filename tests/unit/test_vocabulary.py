"""Pages, messages and help texts use the words of docs/reference/vocabulary.md."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VOCABULARY = ROOT / "docs" / "reference" / "vocabulary.md"
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "AGENTS.md")),
    *sorted({*(ROOT / "docs").rglob("*.md")} - {VOCABULARY}),
    *sorted(ROOT.glob("dlt_pipelines/*/README.md")),
    ROOT / "dbt_project" / "README.md",
    ROOT / "benchmarks" / "README.md",
]


def unused_phrases() -> list[str]:
    """The first column of the vocabulary's last table."""
    rows = VOCABULARY.read_text("utf-8").split("## Phrases that are not used")[1]
    cells = re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE)[1:]
    return [phrase for cell in cells for phrase in cell.split(", ")]


def pattern(phrases: list[str]) -> re.Pattern[str]:
    """Any of the phrases, with its endings, wherever a line breaks."""
    words = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"\b(?:{words})(?:s|ed|ing)?\b", re.IGNORECASE)


def strings(path: Path) -> list[str]:
    """What people read of a file of code: its messages, help texts and docstrings."""
    text = path.read_text("utf-8")
    if path.suffix == ".html":
        return [re.sub(r"\{[{%#].*?[}%#]\}", " ", text, flags=re.DOTALL)]
    nodes = ast.walk(ast.parse(text))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@pytest.mark.parametrize("folder", ["src/headrace", "dlt_pipelines"])
def test_messages_help_texts_and_pages_use_the_words_of_the_vocabulary(folder: str) -> None:
    find = pattern(unused_phrases())
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".html"}]
    assert files
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        for text in strings(path)
        for match in find.finditer(text)
    ]
    assert not found, "say it as docs/reference/vocabulary.md does"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_uses_the_words_of_the_vocabulary(page: Path) -> None:
    found = [match[0] for match in pattern(unused_phrases()).finditer(page.read_text("utf-8"))]
    assert not found, "say it as docs/reference/vocabulary.md does"


def test_unused_phrases_are_found_with_their_endings_and_over_lines() -> None:
    find = pattern(unused_phrases())
    assert "room" in unused_phrases()
    for text in ("The rooms", "bit\nby bit", "mended", "Put aside"):
        assert find.search(text), text
    for text in ("a mushroom", "recommend", "momentum"):
        assert not find.search(text), text


def test_every_term_has_a_meaning_and_is_there_once() -> None:
    lines = VOCABULARY.read_text("utf-8").split("## Phrases that are not used")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| (?!-|term)", line)]
    terms = [term for row in rows for term in row[0].split(", ")]
    assert len(terms) == len(set(terms))
    assert all(row[1].endswith(".") or ". " in row[1] for row in rows)
