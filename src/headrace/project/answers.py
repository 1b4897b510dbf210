"""The answers file of a copy, and answers that are given on the command line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.errors import TemplateError

FILE = ".copier-answers.yml"
_AGAIN = f"restore it, such as by `git checkout HEAD -- {FILE}`"


@dataclass(frozen=True)
class CopierAnswers:
    """What an answers file says."""

    source: str
    """Address of the template, as copier wrote it (``_src_path``)."""
    commit: str
    """Version of the last copy or update: a tag, or what ``git describe`` made of a commit."""
    values: Mapping[str, Any]
    """The answers, without copier's own keys."""


def find(start: Path) -> Path | None:
    """The nearest folder, here or above, with an answers file."""
    start = start.resolve()
    return next((at for at in (start, *start.parents) if (at / FILE).is_file()), None)


def read(project: Path) -> CopierAnswers:
    """Read the answers file of a project.

    Raises:
        TemplateError: it is not valid YAML, or does not name the template and its version.
    """
    entries = load(project)
    source, commit = entries.get("_src_path"), entries.get("_commit")
    if not isinstance(source, str) or not source:
        raise TemplateError(f"{FILE} does not say where the template is (_src_path): {_AGAIN}")
    if commit is None:
        raise TemplateError(
            f"{FILE} names no version (_commit): either the line is lost ({_AGAIN}), or the "
            "template was a folder without git, and such a copy cannot be updated"
        )
    if not isinstance(commit, str) or not re.fullmatch(r"[\w.+/][\w.+/-]*", commit):
        raise TemplateError(f"{FILE} says {commit!r} for _commit, which is not a version: {_AGAIN}")
    return CopierAnswers(source, commit, values_of(entries))


def load(project: Path) -> dict[str, Any]:
    """All entries of the answers file.

    Raises:
        TemplateError: it is not valid YAML mapping.
    """
    # copier's reader: ruamel, which reads all else here, takes the commit 12e4567 for a number
    import yaml

    try:
        entries = yaml.safe_load((project / FILE).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}" if mark else "somewhere"
        raise TemplateError(
            f"{FILE} is not valid YAML ({place}: {error.problem}): {_AGAIN}"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TemplateError(f"{FILE} is not valid YAML: {_AGAIN}") from error
    except OSError as error:
        raise TemplateError(f"{FILE} cannot be read ({error.strerror}): {_AGAIN}") from error
    if not isinstance(entries, dict):
        raise TemplateError(f"{FILE} holds no answers: {_AGAIN}")
    return {str(key): value for key, value in entries.items()}


def is_pinned(values: Mapping[str, Any]) -> bool:
    """Whether Headrace is installed from the template's address, at a commit."""
    requirement = str(values.get("headrace_requirement") or "")
    return values.get("machinery") == "dependency" and not requirement.strip()


def values_of(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to questions, without copier's own keys."""
    return {key: value for key, value in entries.items() if not key.startswith("_")}


def given(
    pairs: Iterable[str], *, sources: str | None = None, machinery: str | None = None
) -> dict[str, Any]:
    """Answers of the command line.

    Args:
        pairs: ``KEY=VALUE``, as of ``--data``; a list is written as ``[a, b]``.
        sources: names with commas between, or ``none``, as of ``--sources``.
        machinery: ``dependency`` or ``vendored``, as of ``--machinery``.

    Raises:
        TemplateError: a pair without a name, or a question that is answered twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or name.startswith("_"):
            raise TemplateError(f"--data {pair!r}: write it as NAME=VALUE")
        if name in found:
            raise TemplateError(f"--data gives {name} twice: once is enough")
        found[name] = value
    if sources is not None:
        if "sources" in found:
            raise TemplateError("give the sources once: by --sources, or by --data sources=[…]")
        names = [name.strip() for name in sources.split(",") if name.strip()]
        found["sources"] = [] if names == ["none"] else names
    if machinery is not None:
        if "machinery" in found:
            raise TemplateError("give machinery once: by --machinery, or by --data machinery=…")
        found["machinery"] = machinery
    return found
