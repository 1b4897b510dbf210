"""The workshop's files: what can be said of CI and hooks without GitHub."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schema_check import check_jsonschema

ROOT = Path(__file__).parents[2]
CI_RUN = ROOT / ".ci" / "run"

needs_bash = pytest.mark.skipif(sys.platform == "win32", reason=".ci/run is for Linux and macOS")


def load_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def yaml_files() -> list[Path]:
    folders = [".github", "config", "dlt_pipelines", "dbt_project", "data/schemas"]
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.y*ml")]
    written_by_dbt = {ROOT / "dbt_project" / "target", ROOT / "dbt_project" / "dbt_packages"}
    return sorted(
        path
        for path in [*ROOT.glob("*.y*ml"), *ROOT.glob(".*.y*ml"), *found]
        if not written_by_dbt & set(path.parents)
    )


@pytest.mark.parametrize("path", yaml_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_yaml_parses(path: Path) -> None:
    assert load_yaml(path) is not None


# ── the workflow ────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def workflow() -> Any:
    return load_yaml(ROOT / ".github" / "workflows" / "ci.yml")


def test_workflow_covers_every_system_with_every_python(workflow: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = set(re.findall(r":: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE))

    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]

    assert {os_.split("-")[0] for os_ in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert set(matrix["python"]) == promised == {"3.11", "3.12", "3.13"}
    assert not {"include", "exclude"} & set(matrix), "nine full jobs, no exception"


def test_workflow_lints_once_and_tests_and_runs_twice_everywhere(workflow: Any) -> None:
    def commands(job: str) -> list[str]:
        return [step["run"] for step in workflow["jobs"][job]["steps"] if "run" in step]

    assert commands("lint") == [".ci/run lint"]
    assert commands("bare") == [".ci/run bare rest"]
    assert commands("test") == [
        "uv sync --locked --all-extras --all-groups",
        "uv run playwright install --with-deps chromium",
        "uv run --all-groups pytest",
        "uv run headrace run",
        "uv run headrace run",
    ]


def test_workflow_builds_the_docs_strictly_and_keeps_them(workflow: Any) -> None:
    *_, build, keep = workflow["jobs"]["docs"]["steps"]
    assert build["run"] == "uv run --locked --all-groups mkdocs build --strict"
    site = load_yaml(ROOT / "mkdocs.yml")["site_dir"]
    assert keep["with"]["path"] == site
    assert f"/{site}/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()


def test_workflow_has_least_rights_pins_and_time_limits(workflow: Any) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job
        assert 0 < job["timeout-minutes"] <= (90 if name == "seeds" else 30)
        for step in job["steps"]:
            assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])


def test_workflow_tries_other_seeds_each_night(workflow: Any) -> None:
    """The job runs at night alone; its test files are there, and read what it sets."""
    job = workflow["jobs"]["seeds"]
    assert job["if"] == "${{ github.event_name == 'schedule' }}"
    assert workflow["on"]["schedule"]
    seeded = 0
    for step in job["steps"]:
        files = [word for word in step.get("run", "").split() if word.endswith(".py")]
        texts = [(ROOT / file).read_text("utf-8") for file in files]
        for name in step.get("env", {}):
            assert any(name in text for text in texts), name
            seeded += name.endswith("_SEED")
    assert seeded == 2


# ── .ci/run ─────────────────────────────────────────────────────────────────


_TOOLS = ("bash", "dirname", "cp", "sed", "env", "mktemp", "mkdir", "chmod", "rm", "cat", "df")


class Bench:
    """A throw-away clone that holds `.ci/run` alone, and a PATH whose `uv` only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.bin, self.notes = folder / "clone", folder / "bin", folder / "notes"
        (self.clone / ".ci").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copy(CI_RUN, self.clone / ".ci" / "run")
        shutil.copy(ROOT / "README.md", self.clone)
        for tool in _TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is needed"
            (self.bin / tool).symlink_to(found)
        # a test that is skipped is one that could run with more: its name goes to the next pass
        note = 'echo "$*" >> "$NOTES"; echo "$HOME|$UV_PROJECT_ENVIRONMENT|$TZ" >> "$NOTES.places"'
        skip = '[[ "$PYTEST_ADDOPTS" == "--skips-to "* ]] && echo x > "${PYTEST_ADDOPTS:11:25}"'
        self.script("uv", f'{note}; {skip}; [[ "$*" != "$FAILS" ]]')
        self.script("pip", 'echo "pip $*" >> "$NOTES"')
        self.script("python", "exit 0")
        self.script("chromium", "exit 0")

    def script(self, name: str, body: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def run(self, *words: str, fails: str = "") -> int:
        self.notes.write_text("", encoding="utf-8")
        env = {"PATH": str(self.bin), "HOME": str(self.clone), "CI": "true"}
        env |= {"NOTES": str(self.notes), "FAILS": fails}
        command = [str(self.bin / "bash"), str(self.clone / ".ci" / "run"), *words]
        return subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=300,
        ).returncode

    @property
    def calls(self) -> list[str]:
        return self.notes.read_text("utf-8").splitlines()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@needs_bash
def test_ci_run_is_executable() -> None:
    assert os.access(CI_RUN, os.X_OK)


README_COMMANDS = ["pip install uv", "run headrace run", "run --all-groups pytest"]


@needs_bash
def test_ci_run_does_every_check_then_the_readmes_commands_then_what_they_skipped(
    bench: Bench,
) -> None:
    assert bench.run() == 0

    assert bench.calls[:2] == ["--version", "sync --locked --quiet --all-extras --all-groups"]
    start = bench.calls.index(README_COMMANDS[0])
    tools = {call.split()[1] for call in bench.calls[:start] if call.startswith("run ")}
    assert tools == {
        *("ruff", "mypy", "lint-imports", "sqlfluff", "check-jsonschema", "pre-commit"),
        *("hadolint", "shellcheck", "mkdocs"),
    }
    assert bench.calls[start : start + 3] == README_COMMANDS
    rest, find, other = bench.calls[start + 3 :]
    assert rest.startswith("run --locked --all-extras --all-groups pytest ")
    assert rest.endswith(" @.pytest_cache/skipped.txt")
    assert find == "python find --no-python-downloads 3.13"
    assert other.endswith("--all-groups pytest tests/unit -m not slow")


@needs_bash
def test_ci_run_gives_the_readmes_commands_an_empty_home_and_another_environment(
    bench: Bench,
) -> None:
    assert bench.run() == 0
    places = [line.split("|") for line in Path(f"{bench.notes}.places").read_text().splitlines()]
    lint = bench.calls.index(README_COMMANDS[0])

    assert {tuple(place) for place in places[:lint]} == {(str(bench.clone), "", "")}
    homes = {home for home, _, _ in places[lint:] if home != str(bench.clone)}
    assert len(homes) == 1
    assert not Path(homes.pop()).exists(), "it is deleted at the end"
    assert [Path(venv).name for _, venv, _ in places if venv] == ["first", "bare", ".venv", "other"]
    assert [zone for *_, zone in places if zone] == ["America/New_York"]


@needs_bash
def test_ci_run_lint_stops_before_the_tests(bench: Bench) -> None:
    assert bench.run() == 0
    everything = bench.calls

    assert bench.run("lint") == 0
    assert bench.calls == everything[: len(bench.calls)]
    assert bench.calls[-1].endswith("mkdocs build --strict --quiet")


@needs_bash
def test_ci_run_ends_at_the_first_failure(bench: Bench) -> None:
    assert bench.run() == 0
    everything = bench.calls

    for number, call in enumerate(everything, start=1):
        if call.startswith(("pip ", "cache ", "python find ")):
            continue  # a step of the next call, or may fail
        assert bench.run(fails=call) != 0, call
        assert bench.calls == everything[:number]


@needs_bash
def test_ci_run_fails_where_a_test_is_skipped_with_everything_there(bench: Bench) -> None:
    uv = bench.bin / "uv"
    again = 'for word; do [[ "$word" == *.again ]] && echo x > "$word"; done'
    bench.script(
        "uv",
        uv.read_text("utf-8").split("\n", 1)[1].replace('; [[ "$*" !=', f'; {again}; [[ "$*" !='),
    )
    assert bench.run() == 1
    assert bench.calls[-1].endswith("@.pytest_cache/skipped.txt")


def test_ci_run_installs_each_program_without_which_a_test_is_skipped() -> None:
    """A machine has bash and git already."""
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    needed = {name for text in texts for name in re.findall(r'which\("(\w+)"\) is None', text)}
    looked_for = re.findall(r"command -v (.+?) >/dev/null \|\| missing", CI_RUN.read_text("utf-8"))
    assert needed - {"bash", "git"} == {"java", "promtool", "wget"}
    assert needed - {"bash", "git"} <= {name for names in looked_for for name in names.split()}


@needs_bash
@pytest.mark.parametrize(
    "line", ["Run the tests with `uv run --all-groups pytest`.", "$ pip install uv &&"]
)
def test_ci_run_says_when_the_readme_has_no_such_command(bench: Bench, line: str) -> None:
    readme = bench.clone / "README.md"
    readme.write_text(readme.read_text("utf-8").replace(line, "x"), encoding="utf-8")
    assert bench.run("bare") == 1


@needs_bash
def test_ci_run_installs_uv_where_it_is_missing(bench: Bench, tmp_path: Path) -> None:
    scripts = tmp_path / "scripts"  # not on PATH, as with a user install
    scripts.mkdir()
    (bench.bin / "uv").rename(tmp_path / "uv")
    bench.script(
        "python",
        f"""case "$*" in
            "-m pip install -q uv") cp {tmp_path}/uv {scripts}/uv ;;
            "-m venv "*) ;;
            *sysconfig*) echo {scripts}:{tmp_path} ;;
            *) exit 9 ;;
        esac""",
    )

    assert bench.run() == 0
    assert README_COMMANDS[-1] in bench.calls


# ── schemas ─────────────────────────────────────────────────────────────────


def schema_checks() -> list[list[str]]:
    """The arguments of each `check-jsonschema` in `.ci/run`, with its file patterns expanded."""
    prefix = "uv run check-jsonschema "
    lines = [line.strip() for line in CI_RUN.read_text("utf-8").splitlines()]
    lines = [line for line in lines if line.startswith(prefix)]
    checks = []
    for line in lines:
        option, schema, *patterns = shlex.split(line.removeprefix(prefix))
        files = [p.relative_to(ROOT).as_posix() for pattern in patterns for p in ROOT.glob(pattern)]
        checks.append([option, schema, *files])
    return checks


def test_every_file_with_a_schema_is_checked() -> None:
    checked = {file for _, _, *files in schema_checks() for file in files}
    workflows = {p.relative_to(ROOT).as_posix() for p in (ROOT / ".github/workflows").iterdir()}
    settings = {p.relative_to(ROOT).as_posix() for p in (ROOT / "config").glob("*.yml")}
    assert checked == workflows | settings | {
        ".devcontainer/devcontainer.json",
        ".github/dependabot.yml",
        "docker-compose.yml",
    }


@pytest.mark.parametrize("words", schema_checks(), ids=lambda words: words[-1])
def test_file_fits_its_schema(words: list[str]) -> None:
    result = check_jsonschema(*words)
    assert result.exit_code == 0, result.output


# ── settings, hooks, licence ────────────────────────────────────────────────


def test_env_example_offers_only_headrace_settings_each_explained() -> None:
    blocks = (ROOT / ".env.example").read_text("utf-8").strip().split("\n\n")[1:]
    names = set()
    for block in blocks:
        explanation, setting = block.splitlines()
        assert re.fullmatch(r"# [A-Z].*\.", explanation)
        match = re.fullmatch(r"# (HEADRACE_[A-Z0-9_]+)=\S+", setting)
        assert match, f"{setting}: commented out, prefixed, with an example value"
        names.add(match[1])
    assert names == {
        "HEADRACE_DATA_DIR",
        "HEADRACE_ENV",
        "HEADRACE_RUN_STORE__URL",
        "HEADRACE_SERVE__TOKEN",
        "HEADRACE_SOURCES__JAFFLE_SHOP__PATH",
        "HEADRACE_TARGET",
    }


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    config = load_yaml(ROOT / ".pre-commit-config.yaml")
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    return {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}


def test_hooks_run_what_the_lock_names(hooks: dict[str, Any]) -> None:
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    entries = [hook["entry"] for hook in hooks.values()]
    assert all(entry.startswith(("uv run ", "git ")) for entry in entries)
    for tool in ["ruff check", "ruff format", "mypy", "sqlfluff lint"]:
        assert any(entry.startswith(f"uv run {tool}") for entry in entries), tool


def test_a_bare_mypy_checks_src_too(hooks: dict[str, Any]) -> None:
    """The hook and `just lint` name no folder."""
    files = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]["files"]
    assert files == ["src", "tests", "dlt_pipelines"]
    assert hooks["mypy"]["entry"] == "uv run mypy"
    assert "    uv run mypy\n" in (ROOT / "justfile").read_text("utf-8")


def test_just_test_runs_on_what_just_setup_installs() -> None:
    recipes = re.findall(r"(?m)^ {4}(uv .*)$", (ROOT / "justfile").read_text("utf-8"))
    assert "uv sync --locked --all-extras --all-groups" in recipes
    assert "uv run --all-groups pytest {{ flags }}" in recipes


@pytest.mark.parametrize(("size", "code"), [(1_000_000, 0), (1_000_001, 1)])
def test_large_file_hook(hooks: dict[str, Any], tmp_path: Path, size: int, code: int) -> None:
    words = shlex.split(hooks["large-files"]["entry"])
    assert words[:3] == ["uv", "run", "python"]
    file = tmp_path / "some.csv"
    file.write_bytes(b"x" * size)

    result = subprocess.run(
        [sys.executable, *words[3:], str(file)], capture_output=True, text=True, check=False
    )

    assert result.returncode == code
    assert ("some.csv" in result.stderr) is bool(code)


def test_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
    assert text.rstrip().endswith("limitations under the License.")
