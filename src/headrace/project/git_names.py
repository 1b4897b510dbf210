"""Names of files as git has them, where copier reads them quoted.

git quotes a name that is not plain ASCII (``"gr\\303\\266\\303\\237e.sql"``). In its list of files
that were added on both sides copier takes that for the name itself, and fails; elsewhere it fails
at a name that is no UTF-8, and hands on a ``[`` as a pattern. The tests of an update fail when
copier's calls change.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


def unquote(name: str) -> str:
    """The name that git printed; what is no UTF-8 in it survives as surrogates."""
    if not name.startswith('"'):
        return name
    content = name[1:-1].encode().decode("unicode-escape").encode("latin-1")
    return os.fsdecode(content)


class _Names(str):
    """What git printed, a name per line."""

    __slots__ = ()

    def splitlines(self, keepends: bool = False) -> list[str]:
        return [unquote(line) for line in super().splitlines(keepends)]


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
def unquoted() -> Iterator[None]:
    """Let copier read all names that git can hold, and hand them on literally."""
    from copier._vcs import get_git

    def ours(**context: Any) -> Any:
        command = get_git(**context).with_env(GIT_LITERAL_PATHSPECS="1")
        return _Git(command["-c", "core.quotePath=true"])

    with patch.multiple("copier._main", get_git=ours, normalize_git_path=unquote):
        yield
