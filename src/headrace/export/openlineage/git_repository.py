"""The remote git repository of a project, and the web page of a file in it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from headrace.project import git

_SCP = re.compile(r"(?:[^@/]+@)?(?P<host>[^:/]+):(?P<path>(?!//).+)")
_URL = re.compile(
    r"(?P<scheme>https?|ssh|git)://(?:[^@/]*@)?(?P<host>[^/:]+)(?::\d+)?/(?P<path>.+)"
)


@dataclass(frozen=True)
class GitRepository:
    """The remote of a clone.

    Attributes:
        url: for browsers, without a user or a password.
        commit: the whole hash of what is checked out.
        branch: None where none is checked out.
        prefix: the project's directory in the repository; empty, or with a slash at its end.
    """

    url: str
    commit: str
    branch: str | None = None
    prefix: str = ""

    def inside(self, path: str) -> str:
        """A path of the project as a path of the repository."""
        return f"{self.prefix}{path}"

    def page(self, path: str) -> str:
        """The page of a file at this commit, as GitHub and GitLab call it."""
        return f"{self.url}/blob/{self.commit}/{quote(os.fsencode(self.inside(path)))}"


def find_repository(root: Path) -> GitRepository | None:
    """The repository of a project; None without git, a commit or a remote with a web page."""
    remote = git.ask(root, "config", "--get", "remote.origin.url")
    url = browsable(remote) if remote else None
    commit = git.ask(root, "rev-parse", "HEAD") if url else None
    if not url or not commit:
        return None
    branch = git.ask(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    return GitRepository(url, commit, branch, git.ask(root, "rev-parse", "--show-prefix") or "")


def browsable(remote: str) -> str | None:
    """``git@host:org/repo.git`` as ``https://host/org/repo``; None for a path on this machine."""
    if "://" in remote:
        match = _URL.fullmatch(remote)
    else:
        # C:\repo is a path, not a host
        match = _SCP.fullmatch(remote) if not re.match(r"[A-Za-z]:[\\/]", remote) else None
    if match is None or remote.startswith(("/", ".")):
        return None
    scheme = "http" if remote.startswith("http://") else "https"
    path = match["path"].strip("/").removesuffix(".git")
    return f"{scheme}://{match['host']}/{path}"
