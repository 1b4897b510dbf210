"""Git: what a copy and an update need of it, and questions that may stay unanswered."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from headrace.errors import TemplateError

# they would send git, and copier's git, into another repository than the folder's own
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
# the user's hooks are for the user's commits
QUIETLY = ("-c", f"core.hooksPath={os.devnull}")


def is_there() -> bool:
    """Whether git is installed."""
    return shutil.which("git") is not None


def require(purpose: str) -> None:
    """Raise unless git can be used.

    Raises:
        TemplateError: no git, or the environment points it to another repository.
    """
    if not is_there():
        raise TemplateError(
            f"git is not installed, and {purpose} needs it: install it, then try again"
        )
    for name in _ELSEWHERE:
        if os.environ.get(name):
            raise TemplateError(
                f"{name} is set, so git would work in another repository: "
                "run this outside of a git hook"
            )


def run(
    folder: Path, *words: str, stdin: str | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; names in its output that are not UTF-8 survive as surrogates."""
    return subprocess.run(
        ["git", *words],
        cwd=folder,
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, "LC_ALL": "C", **(environ or {})},
        check=False,
    )


def ask(folder: Path, *words: str) -> str | None:
    """What git prints, for what can do without it; None where git fails, is missing or slow.

    Without its optional lock, git cannot block a commit that is made at the same time.
    """
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.removesuffix("\n") or None if result.returncode == 0 else None


def out(folder: Path, *words: str, stdin: str | None = None) -> str:
    """What git prints.

    Raises:
        TemplateError: git failed; its last line is in the message.
    """
    result = run(folder, *words, stdin=stdin)
    if result.returncode:
        raise TemplateError(f"git {words[0]} failed in {folder}: {last_line(result.stderr)}")
    return result.stdout


def names(folder: Path, *words: str) -> list[str]:
    """The names that git prints, of a command with ``-z``."""
    return [name for name in out(folder, *words).split("\0") if name]


def last_line(text: str) -> str:
    """The line of an error text that says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    # `fatal:` comes first, what follows is general advice
    return (fatal or lines or ["no message"])[0 if fatal else -1]


def top(folder: Path) -> Path | None:
    """The root of the work tree that a folder is in, or None."""
    result = run(folder, "rev-parse", "--show-toplevel")
    found = result.stdout.removesuffix("\n")
    return Path(found) if result.returncode == 0 and found else None


def is_ignored(folder: Path, path: Path) -> bool:
    """Whether the repository of ``folder`` ignores a path."""
    return run(folder, "check-ignore", "-q", "--", str(path)).returncode == 0


def commit_of(folder: Path, ref: str) -> str | None:
    """The full commit that a tag, branch or abbreviation means; None if it is unknown."""
    if ref.startswith("-") or "\n" in ref:
        return None
    result = run(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return result.stdout.strip() if result.returncode == 0 else None


def status(folder: Path) -> dict[str, str]:
    """What differs from the last commit below a folder: path to git's two letters."""
    prefix = out(folder, "rev-parse", "--show-prefix").removesuffix("\n")
    words = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    found = names(folder, "status", *words, "--", ".")
    # porcelain names are relative to the root of the work tree
    return {entry[3:].removeprefix(prefix): entry[:2] for entry in found}


def has_identity(folder: Path) -> bool:
    """Whether git has a name and an address to commit with, without guessing them."""
    strict = ("-c", "user.useConfigOnly=true")
    return all(
        run(folder, *strict, "var", f"GIT_{role}_IDENT").returncode == 0
        for role in ("AUTHOR", "COMMITTER")
    )
