"""Writing the static site: what it replaces, what it refuses, and what a stop leaves."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from lab import Lab
from page_lab import layered, stored

from headrace.errors import ServeError
from headrace.server import static_site
from headrace.server.state import ServerState
from headrace.server.static_site import write_site


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> ServerState:
    folder = tmp_path_factory.mktemp("site")
    url = stored(layered(60), folder / "runs.sqlite")
    return ServerState(project="small", run_store_url=url, published=folder / "no.duckdb")


def _files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def _graph(out: Path) -> dict[str, Any]:
    """What the page's script says of the graph."""
    text = (out / "data" / "graph.js").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text[text.index(" = ") + 3 :].removesuffix(";\n"))
    return found


def test_scripts_are_plain_ones_and_no_module_is_left(state: ServerState, tmp_path: Path) -> None:
    write_site(state, tmp_path / "docs")
    scripts = {path.name for path in (tmp_path / "docs" / "static" / "js").rglob("*.js")}
    assert scripts == {"early.js", "site.js", "site-graph.js", "site-assets.js", "site-run.js"}
    for path in (tmp_path / "docs" / "static" / "js").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.startswith(("import ", "export "))], path.name
    for path in (tmp_path / "docs").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'type="module"' not in text
        assert "modulepreload" not in text


def test_what_is_reported_is_what_is_there(state: ServerState, tmp_path: Path) -> None:
    out = tmp_path / "new" / "docs"
    report = write_site(state, out)
    files = _files(out) - {static_site.FILE_LIST}
    assert report.files == len(files)
    assert report.pages == sum(name.endswith(".html") for name in files)
    assert report.assets == len(list((out / "assets").iterdir())) > 60
    assert [path.name for path in out.parent.iterdir()] == ["docs"]


def test_no_address_leaves_the_site_or_knows_where_it_stands(
    state: ServerState, tmp_path: Path
) -> None:
    write_site(state, tmp_path / "docs")
    for path in (tmp_path / "docs").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'href="/' not in text
        assert 'src="/' not in text
        assert str(tmp_path) not in text
    graph = _graph(tmp_path / "docs")
    assert all((tmp_path / "docs" / page).is_file() for page in graph["pages"])


@pytest.mark.parametrize("force", [True, False])
def test_files_of_others_are_never_deleted(state: ServerState, tmp_path: Path, force: bool) -> None:
    out = tmp_path / "docs"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    if force:
        write_site(state, out, force=True)
        (out / "CNAME").write_text("docs.example.com")
        write_site(state, out)
        assert (out / "CNAME").read_text() == "docs.example.com"
        assert (out / "index.html").is_file()
    else:
        with pytest.raises(ServeError, match=r"not empty.*--force"):
            write_site(state, out)
        assert _files(out) == {"thesis.txt"}
    assert (out / "thesis.txt").read_text() == "years of work"


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "data")
    result = lab.command("docs", "--out", str(tmp_path / "docs"), "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["assets"] == 0
    assert report["pages"] == 7
    home = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert "headrace run" in home
    assert not (tmp_path / "data").exists()
    (tmp_path / "docs" / static_site.FILE_LIST).unlink()
    result = lab.command("docs", "--out", str(tmp_path / "docs"))
    assert result.returncode == 2
    assert "--force" in result.stderr


def test_a_file_is_no_directory(state: ServerState, tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("x")
    with pytest.raises(ServeError, match="not a directory"):
        write_site(state, tmp_path / "docs", force=True)


@pytest.mark.parametrize("with_others", [True, False])
def test_pages_of_assets_that_went_are_deleted(
    state: ServerState, tmp_path: Path, with_others: bool
) -> None:
    out = tmp_path / "docs"
    write_site(state, out)
    if with_others:
        (out / "CNAME").write_text("x")
    small = ServerState(
        project="small",
        run_store_url=stored(layered(30), tmp_path / "runs.sqlite"),
        published=tmp_path / "no.duckdb",
    )
    before = len(_files(out))
    write_site(small, out)
    graph = _graph(out)
    assert len(_files(out)) < before
    pages = {path.name for path in (out / "assets").iterdir()}
    assert {Path(page).name for page in graph["pages"]} <= pages
    assert len(pages) < 50


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("no space left on device")])
def test_a_stop_leaves_the_old_site(
    state: ServerState,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException] | BaseException,
) -> None:
    out = tmp_path / "docs"
    write_site(state, out)
    before = {name: (out / name).read_bytes() for name in _files(out)}

    def stopped(*_: object, **__: object) -> None:
        raise stop

    monkeypatch.setattr("shutil.copytree", stopped)
    with pytest.raises((KeyboardInterrupt, ServeError)):
        write_site(state, out)
    assert {name: (out / name).read_bytes() for name in _files(out)} == before
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


def test_a_kill_between_the_two_renames_is_repaired(state: ServerState, tmp_path: Path) -> None:
    out = tmp_path / "docs"
    write_site(state, out)
    out.rename(tmp_path / ".docs.old")
    with pytest.raises(RuntimeError), static_site.replaced_folder(out):
        raise RuntimeError
    assert (out / "index.html").is_file()
    write_site(state, out)
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_a_directory_stays_a_link(state: ServerState, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "docs"
    link.symlink_to(real)
    write_site(state, link)
    assert link.is_symlink()
    assert (real / "index.html").is_file()
