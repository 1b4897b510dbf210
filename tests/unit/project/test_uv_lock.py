"""``uv lock``, and what is said when it fails."""

from pathlib import Path

import pytest
from project_bench import posix_only, stand_in

from headrace.project.uv_lock import lock

OFFLINE = """\
error: Request failed after 3 retries
  Caused by: Failed to fetch: `https://example.com/simple/dlt/`
  Caused by: dns error
"""
UNSOLVABLE = """\
Using CPython 3.11.2
  x No solution found when resolving dependencies:
  ╰─▶ Because there is no version of dlt==99 and your project depends on dlt==99, we can
      conclude that your project's requirements are unsatisfiable.
hint: something
"""


@posix_only
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (OFFLINE, "dns error"),
        (
            UNSOLVABLE,
            "Because there is no version of dlt==99 and your project depends on dlt==99, we can",
        ),
        ("error: no such thing\n", "no such thing"),
        ("", "uv lock failed"),
    ],
)
def test_a_failure_is_a_line_and_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    (tmp_path / "said").write_text(said)
    monkeypatch.setenv("UV", stand_in(tmp_path, f"cat '{tmp_path / 'said'}' >&2; exit 2"))
    report = lock(tmp_path, shown="my project")
    assert report.status == "failed"
    assert report.detail.startswith(told)
    assert report.detail.endswith(": run `uv lock` in my project")
    assert "\n" not in report.detail


@posix_only
def test_the_projects_own_lock_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one of the project, or the environment, that this process runs in."""
    script = 'echo "$@" "${VIRTUAL_ENV-}" "${UV_PROJECT-}" "${UV_FROZEN-}" > uv.lock'
    monkeypatch.setenv("UV", stand_in(tmp_path / "bin", script))
    for name in ("VIRTUAL_ENV", "UV_PROJECT", "UV_FROZEN"):
        monkeypatch.setenv(name, "another")
    assert lock(tmp_path, shown="x").status == "locked"
    said = (tmp_path / "uv.lock").read_text().split()
    assert said == ["lock", "--no-progress", "--color", "never"]


def test_no_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV", str(tmp_path / "gone"))
    report = lock(tmp_path, shown="x")
    assert report.status == "failed"
    assert report.detail == "uv is not installed: install it and run `uv lock` in x"
