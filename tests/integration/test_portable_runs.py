"""A project as Windows and macOS would have it, as far as this machine can tell."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab import ROOT, Lab, copy_project, fingerprint

from headrace import portable
from headrace.errors import PublishError

# Notes every path that is opened, made or renamed while a command runs, also those that vanish.
RECORDER = """
import os, sys
root, noted = os.path.abspath(sys.argv[1]), set()
def note(event, arguments):
    if event in {"open", "os.mkdir", "os.rename", "os.link"}:
        for each in arguments[:2]:
            if isinstance(each, (str, os.PathLike)):
                path = os.path.abspath(os.fspath(each))
                if path.startswith(root + os.sep):
                    noted.add(path[len(root) + 1:].replace(os.sep, "/"))
sys.addaudithook(note)
sys.argv = ["headrace", *sys.argv[3:]]
from headrace.cli.main import main
try:
    main()
finally:
    with open(os.environ["NOTED"], "w", encoding="utf-8") as stream:
        stream.write("\\n".join(sorted(noted)))
"""


def test_every_path_of_a_run_fits_on_every_system(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = [f"data_dir={data}", "sources.shop.enabled=true", "sources.shop.scale=0.01"]
    flags += ["sources.shop.as_of=2025-01-10", "sources.web_analytics.enabled=true"]
    flags += ["sources.web_analytics.scale=0.01", "sources.web_analytics.as_of=2025-01-10"]
    words = ["run", *(word for flag in flags for word in ("--set", flag))]
    noted = tmp_path / "noted"
    environment = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, str(data), "--", *words],
        cwd=ROOT, env=environment | {"NOTED": str(noted)}, check=False,
        capture_output=True, text=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    paths = noted.read_text("utf-8").splitlines()
    assert len(paths) > 500

    assert max(map(len, paths)) <= portable.LONGEST_BELOW_DATA
    # dbt knows of Windows' limit by itself; what else there is leaves room for any project
    others = [path for path in paths if not path.startswith("dbt/target/")]
    assert max(map(len, others)) <= 120, max(others, key=len)
    assert [path for path in paths if set(path) & set('<>:"|?*\\')] == []
    parts = {part for path in paths for part in path.split("/")}
    assert [part for part in parts if portable.is_reserved(part) or part[-1] in " ."] == []
    by_case = {path.lower() for path in paths}
    assert len(by_case) == len(paths), "no two differ by case alone"


def test_a_published_file_in_use_stays_and_the_next_run_publishes(
    done: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fingerprint(done.published)
    with (done.data_dir / "jaffle_shop" / "raw_customers.csv").open("a", encoding="utf-8") as file:
        file.write("101,Ada,L.\n")
    real, tries = Path.replace, []

    def replace(source: Path, target: Path) -> Path:
        if target == done.published:
            tries.append(source)
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        return real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(portable, "WINDOWS", True)
        patch.setattr(portable.replace, "__kwdefaults__", {"patience": 0.2})
        patch.setattr(Path, "replace", replace)
        with pytest.raises(PublishError) as caught:
            done.run()
    said = str(caught.value)
    assert len(tries) > 1, "it waited"
    assert "\n" not in said
    assert "close the programs that have it open" in said
    assert "headrace publish" in said
    assert fingerprint(done.published) == before
    there = [path.name for path in done.data_dir.glob("published.duckdb*") if path.is_file()]
    assert there == ["published.duckdb"]

    assert done.run().status == "success"
    count = "select count(*) from marts.customers"
    assert done.query(count, path=done.published) == [(101,)]


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("status",),
        ("where",),
        ("doctor",),
        ("lineage", "customers.customer_lifetime_value"),
        ("lineage", "customers.customer_lifetime_value", "--json"),
        ("status", "--json"),
        ("where", "--json"),
        ("run", "--help"),
        ("lineage", "no such thing"),
    ],
    ids=" ".join,
)
def test_output_in_a_code_page(done: Lab, words: tuple[str, ...]) -> None:
    """What redirected output is on Windows: cp1252, which has no ✓ and no box."""

    def said(encoding: str) -> tuple[int, str]:
        flags = () if "--help" in words else ("--set", f"data_dir={done.data_dir}")
        plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
        result = subprocess.run(
            [sys.executable, "-m", "headrace", *words, *flags],
            cwd=done.root, env=plain | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        return result.returncode, (result.stdout + result.stderr).decode(encoding)

    code, text = said("cp1252")
    expected, whole = said("utf-8")
    assert code == expected == (2 if "no such thing" in words else 0), text
    assert "UnicodeEncodeError" not in text
    if "--json" in words:
        assert json.loads(text) == json.loads(whole)
    else:
        assert "\\u" not in text, "every mark of ours has a plain one"


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs rights there")
def test_a_project_behind_a_link(tmp_path: Path) -> None:
    """As macOS has /tmp and /var, which lead to /private."""
    (tmp_path / "private").mkdir()
    link = tmp_path / "var"
    link.symlink_to(tmp_path / "private", target_is_directory=True)
    lab = Lab(link / "data", root=copy_project(link / "project"))
    shutil.copytree(ROOT / "data" / "schemas", link / "project" / "data" / "schemas")
    for words in (("run",), ("scaffold", "jaffle_shop"), ("status",)):
        done = lab.command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "private" / "data" / "published.duckdb").is_file()
