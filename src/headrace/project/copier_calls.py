"""The calls to copier: its errors as one line, and the names of files as git has them."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from headrace.errors import TemplateError
from headrace.project import answers as answers_file
from headrace.project import git
from headrace.secrets import without_user

_SYNC_MODE = "_sync_git_index_executable_bit"
_RENDER_STRING = "_render_string"


@dataclass(frozen=True)
class Rendered:
    """A project as the template makes it."""

    folder: Path
    version: str
    """As copier describes the commit: ``v0.1.0``, ``v0.1.0-3-g1a2b3c4``; empty without git."""
    answers: Mapping[str, Any]
    notes: tuple[str, ...]


def render(
    source: str,
    ref: str | None,
    folder: Path,
    *,
    data: Mapping[str, Any],
    ask: bool = False,
    known: Mapping[str, Any] | None = None,
) -> Rendered:
    """Copy the template into a folder; the folder's name is the default name of the project.

    Args:
        source: the template, as copier takes it.
        ref: tag or commit; none for a folder without git.
        folder: it may hold an answers file, whose answers are then the defaults.
        data: answers, which are not asked for.
        ask: whether to ask for the others; else their defaults are taken.
        known: further names that ``data`` may have, such as those of an earlier version.

    Raises:
        TemplateError: the template, an answer or the network is not as it must be.
        KeyboardInterrupt: Ctrl-C, also at a question.
    """
    from copier import run_copy

    with _in_words(source) as notes, less_repeated():
        worker = run_copy(
            source,
            folder,
            data=dict(data),
            vcs_ref=ref,
            defaults=not ask,
            overwrite=True,
            quiet=True,
        )
        questions = worker.template.questions_data
    if not (folder / answers_file.FILE).is_file():
        raise TemplateError(
            f"{without_user(source)} at {ref or 'its folder'} is not a Headrace template "
            f"(it brings no {answers_file.FILE}): is it an older version?"
        )
    _check_names(data, [*_to_answer(questions), *(known or ())])
    entries = answers_file.load(folder)
    version = str(entries.get("_commit", ""))
    return Rendered(folder, version, answers_file.values_of(entries), tuple(notes))


def merge_update(project: Path, ref: str | None, *, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Let copier merge another version into a project, in place; its warnings are returned.

    Raises:
        TemplateError: copier refused; the project may be half updated.
    """
    from copier import run_update

    with _in_words("") as notes, _unquoted_names(), less_repeated():
        run_update(
            project,
            data=dict(data),
            vcs_ref=ref,
            defaults=True,
            overwrite=True,
            conflict="inline",
            quiet=True,
        )
    return tuple(notes)


def _to_answer(questions: Mapping[str, Any]) -> list[str]:
    """Without those that are computed."""
    return [name for name, details in questions.items() if details.get("when") is not False]


def _check_names(data: Mapping[str, Any], known: list[str]) -> None:
    for name in data:
        if name not in known:
            asked = ", ".join(dict.fromkeys(known))
            raise TemplateError(f"the template asks no question {name}; it asks {asked}")


@contextmanager
def _in_words(source: str) -> Iterator[list[str]]:
    """Turn warnings into notes, and what copier raises into one line."""
    from copier.errors import CopierError, CopierWarning
    from jinja2 import TemplateError as JinjaError
    from plumbum import ProcessExecutionError

    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield notes
        except KeyboardInterrupt:  # copier's own is a CopierError as well
            raise
        except ProcessExecutionError as error:
            told = without_user(git.last_line(str(error.stderr)))
            said = f"git {_subcommand(error.argv)}failed: {told}"
            raise TemplateError(_words(ValueError(said), source)) from error
        except (CopierError, JinjaError, ValueError, TypeError, OSError) as error:
            raise TemplateError(_words(error, source)) from error
    ours = (each.message for each in caught if isinstance(each.message, CopierWarning))
    notes += dict.fromkeys(" ".join(str(message).split()) for message in ours)


def _subcommand(argv: Any) -> str:
    words = [str(word) for word in argv[1:] if not str(word).startswith("-")]
    return f"{words[0]} " if words else ""


def _words(error: Exception, source: str) -> str:
    """What copier says, as one line that says what to change."""
    text = " ".join(str(error).split()) or type(error).__name__
    if found := re.match(r"(?:Unknown revision|.*invalid reference): '?(.*?)'?$", text):
        where = f" at {without_user(source)}" if source else ""
        return f"the template{where} has no version {found[1]}"
    if found := re.match(r"Validation error for question '(\w+)': (.*)", text):
        return f"{found[1]}: {found[2]}"
    if found := re.match(r"Invalid choice for '(\w+)': (.*)", text):
        return f"{found[1]}: {found[2].replace(' is not in [', ' is none of [')}"
    if found := re.match(r"Not a YAML list: (.*)", text):
        return f"a list is written as --data 'NAME=[one, two]', not as {found[1]}"
    if "requires Copier version" in text:
        return f"{text} Take in a newer copier: `uv lock --upgrade-package copier && uv sync`"
    if "unsafe feature" in text:
        return "the template wants to run commands of its own, which Headrace's never does"
    return text.split(" See the docs")[0]


@contextmanager
def less_repeated() -> Iterator[None]:
    """For each file copier compiles the same few names again, and asks git for the same setting.

    Most names are plain text, which is what it renders to: no context has to be gathered for that.
    """
    from copier._main import Worker
    from jinja2 import Environment, Template

    compiled: dict[tuple[Environment, Any], Template] = {}
    from_string = Environment.from_string
    render_string, answers_path = getattr(Worker, _RENDER_STRING), Worker.answers_relpath

    def once(environment: Environment, source: Any, *more: Any, **options: Any) -> Template:
        if more or options:
            return from_string(environment, source, *more, **options)
        if (environment, source) not in compiled:
            compiled[environment, source] = from_string(environment, source)
        else:
            environment.preprocess(source)  # a `yield` of an earlier name ends here
        return compiled[environment, source]

    def render_unless_plain(worker: Worker, string: Any, *more: Any, **options: Any) -> str:
        if _is_plain(worker.jinja_env, string):
            worker.jinja_env.preprocess(string)  # as above
            return str(string)
        return cast("str", render_string(worker, string, *more, **options))

    def relpath(worker: Worker) -> Path:
        path = worker.answers_file or worker.template.answers_relpath
        if _is_plain(worker.jinja_env, str(path)):
            return Path(path)
        return cast("Path", answers_path.__get__(worker))

    sync_mode = getattr(Worker, _SYNC_MODE, None)  # older copiers have none, and ask nothing

    @cache
    def sees_no_modes(folder: Path) -> bool:
        return git.ask(folder, "config", "--type=bool", "--get", "core.fileMode") == "false"

    def sync_where_needed(worker: Worker, *arguments: Any) -> None:
        if sync_mode and sees_no_modes(worker.subproject.local_abspath):
            sync_mode(worker, *arguments)

    with (
        patch.object(Environment, "from_string", once),
        patch.object(Worker, _RENDER_STRING, render_unless_plain),
        patch.object(Worker, "answers_relpath", property(relpath)),
        patch.object(Worker, _SYNC_MODE, sync_where_needed, create=True),
    ):
        yield


def _is_plain(environment: Any, text: Any) -> bool:
    """Whether Jinja would only copy a text, by its usual delimiters, which all begin with ``{``."""
    return (
        isinstance(text, str)
        and not {"{", "\n", "\r"} & set(text)
        and environment.line_statement_prefix is environment.line_comment_prefix is None
        and environment.variable_start_string[0]
        == environment.block_start_string[0]
        == environment.comment_start_string[0]
        == "{"
    )


# git quotes a name that is not plain ASCII ("gr\\303\\266\\303\\237e.sql"). In its list of files
# that were added on both sides copier takes that for the name itself, and fails; elsewhere it fails
# at a name that is not UTF-8, and passes a ``[`` on as a pattern. The tests of an update fail when
# copier's calls change.


def _unquote(name: str) -> str:
    """The name that git printed; bytes that are not UTF-8 survive as surrogates."""
    if not name.startswith('"'):
        return name
    content = name[1:-1].encode().decode("unicode-escape").encode("latin-1")
    return os.fsdecode(content)


class _Names(str):
    """What git printed, a name per line."""

    __slots__ = ()

    def splitlines(self, keepends: bool = False) -> list[str]:
        return [_unquote(line) for line in super().splitlines(keepends)]


class _Git:
    """A command of plumbum's whose lists of added files are without quotes."""

    def __init__(self, command: Any, *, lists: bool = False) -> None:
        self._command = command
        self._lists = lists

    def __getitem__(self, words: Any) -> Any:
        bound = self._command[words]
        return _Git(bound, lists=True) if "--diff-filter=A" in words else bound

    def __call__(self, *words: Any, **options: Any) -> Any:
        printed = self._command(*words, **options)
        return _Names(printed) if self._lists else printed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._command, name)


@contextmanager
def _unquoted_names() -> Iterator[None]:
    """Let copier read all names that git can hold, and hand them on literally."""
    from copier._vcs import get_git

    def ours(**context: Any) -> Any:
        command = get_git(**context).with_env(GIT_LITERAL_PATHSPECS="1")
        return _Git(command["-c", "core.quotePath=true"])

    with patch.multiple("copier._main", get_git=ours, normalize_git_path=_unquote):
        yield
