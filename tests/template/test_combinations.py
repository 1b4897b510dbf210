"""What holds in a project whatever was answered."""

import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML
from template_lab import DEMOS, EXTRAS, ROOT, Project, needs_git, needs_uv, plain_environment
from warm_process import PYTEST_HERE, as_started, run_module

Answers = dict[str, Any]

# What names a source that was not chosen. web_analytics is simulated from data/schemas/shop.yml, so
# that the shop is named by its tables and folders where only web_analytics is there.
_TRACES = {
    "jaffle_shop": r"(?i)jaffle|stg_jaffle|raw_payments|int_payments|customer_value",
    "shop": (
        r"stg_shop|int_shop|\bshop_raw|\bfct_(orders|order_lines|refunds|inventory_by_day|web_orders)"
        r"|\bdim_(customers|products)|dlt_pipelines[./]shop|(?m:^  shop:)|source shop"
    ),
    "web_analytics": r"(?i)web_analytics|\bga4\b|fct_sessions|fct_web_orders|web_performance",
    "files": r"my_files",
    "rest_api": r"(?i)my_api\b(?!`\.)",
    "sql_database": r"(?i)my_database",
    "serve": r"fastapi|uvicorn|HEADRACE_SERVE|--extra serve|(?m:^  page:)|headrace docs",
    "postgres": r"--extra postgres|RUN_STORE__URL|(?m:^  postgres:)|pg_isready",
    "openlineage": r"(?i)openlineage|marquez",
    "datahub": r"(?i)datahub",
    "learn": r"\bsdv>|headrace\[learn\]",
}

# Where a name may stand that was not chosen: the machinery with its locks and schemas knows all of
# them, and some texts name what can be added later.
_MACHINERY = re.compile(r"^(src/headrace/|uv\.lock$|\.vscode/schemas/)")
_MAY_NAME = {
    "shop": r"data/schemas/shop\.yml$",
    "files": r"dlt_pipelines/files/|config/",
    "rest_api": r"dbt_project/macros/_macros\.yml$",  # as an example of a name
    "serve": r"AGENTS\.md$|\.devcontainer/|\.github/workflows/",
    "postgres": r"pyproject\.toml$|\.github/workflows/",
    "openlineage": r"pyproject\.toml$|tests/project/test_project\.py$|\.github/workflows/",
    "datahub": r"pyproject\.toml$",
    "learn": r"$^",
}
_IN_EVERY_PROJECT = (
    "s3", "gs", "az", "avro", "ducklake", "lake", "anomaly", "spark", "sail", "redshift",
    "snowflake", "simulate", "otel",
)  # fmt: skip
"""Extras that are not asked for: what files a project loads is found out later."""
_RENDERED = [
    path.relative_to(ROOT).as_posix().removesuffix(".jinja")
    for folder in (".", "config", "dlt_pipelines/*", "tests/project")
    for path in ROOT.glob(f"{folder}/*.jinja")
]


@cache  # most files are the same in all projects
def _is_yaml(text: str) -> bool:
    return YAML(typ="safe").load(text) is not None


@needs_git
@needs_uv
@pytest.mark.slow
class TestCopies:
    """One project for each entry of ``SETS``: the folder's name and the answers.

    All files of all of them are looked at. Those that are run differ in what runs: each kind of
    source is in one of them, vendored or as a dependency. All demos with all extras are this
    repository itself (test_default_copy.py), whose tests/project is part of this suite, and they
    are locked by test_update.py.
    """

    SETS: ClassVar[dict[str, Answers]] = {
        "all defaults": {},
        "own-sources": {
            "sources": ["files", "rest_api", "sql_database"],
            "extras": ["postgres", "openlineage"],
        },
        # all that can be left out; and a name that has to be made from the folder's
        "Müller & Söhne": {
            "project_description": 'Zahlen von "Müller"',
            "sources": ["web_analytics"],
            "extras": [],
            "license": "MIT",
            "machinery": "vendored",
            "license_holder": "Müller & Söhne",
        },
        "nothing": {"sources": [], "extras": [], "license": "none"},
        "everything": {
            "sources": [*DEMOS, "files", "rest_api", "sql_database"],
            "extras": [*EXTRAS],
            "license": "BSD-3-Clause",
            "machinery": "vendored",
        },
        "shop-and-web": {"sources": ["shop", "web_analytics"], "extras": ["datahub", "learn"]},
        "little": {"sources": ["rest_api"], "extras": [], "license": "none"},
    }
    NOT_RUN: ClassVar[set[str]] = {"everything", "shop-and-web", "little"}
    """These hold nothing that one of the others does not run; they come last."""
    TYPED: ClassVar[set[str]] = {"own-sources"}
    """Where mypy is run, too; it takes its time."""
    OWN_ENVIRONMENT: ClassVar[dict[str, tuple[str, ...]]] = {
        "all defaults": ("headrace", "run"),
        "Müller & Söhne": ("pytest", "-q", "-n", "0", "tests"),
    }
    """What is run in an environment by the project's lock: one has the machinery as a dependency,
    one vendored. Those of the others would hold the same."""

    def test_nothing_names_what_was_not_chosen(self, project: Project) -> None:
        """Nothing of the template's language, and nothing that names what was not chosen."""
        absent = set(_TRACES) - {*project.sources, *project.extras}
        texts = {
            name: (project.root / name).read_text(encoding="utf-8") for name in project.files()
        }
        assert [name for name in texts if re.search(r"jinja|[{}]", name)] == []
        left = [name for name in _RENDERED if re.search(r"{{|{%|{#", texts.get(name, ""))]
        assert left == []
        traces = [
            f"{name}: {found[0]!r} of {what}"
            for name, text in texts.items()
            for what in sorted(absent)
            if not _MACHINERY.match(name) and not re.match(_MAY_NAME.get(what, "$^"), name)
            if (found := re.search(_TRACES[what], f"{name}\n{text}"))
        ]
        assert not traces, "\n".join(traces)
        assert [p for p in project.root.rglob("*") if p.is_dir() and not any(p.iterdir())] == []

    def test_its_files_are_whole(self, project: Project) -> None:
        """YAML and TOML parse, links lead somewhere, the licence is that chosen."""
        for name in project.files():
            path, text = project.root / name, (project.root / name).read_text(encoding="utf-8")
            assert "\r" not in text, name
            if not name.endswith((".sql", ".py")):
                assert not re.search(r"\n{3,}\Z|[^\n]\Z", text), f"{name}: how it ends"
            if path.suffix in {".yml", ".yaml"}:
                assert _is_yaml(text), name
            elif path.suffix == ".toml":
                tomllib.loads(text)
            elif path.suffix == ".md":
                for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
                    assert (path.parent / link).exists(), f"{name}: {link}"
            if name in _RENDERED and not name.endswith(("file", "LICENSE", ".py")):
                assert "\n\n\n" not in text, f"{name}: two empty lines"
        given = YAML(typ="safe").load((project.root / ".copier-answers.yml").read_text("utf-8"))
        assert project.answers.items() <= given.items()
        pyproject = tomllib.loads((project.root / "pyproject.toml").read_text("utf-8"))["project"]
        assert pyproject["name"] == given["project_name"]
        optional = pyproject["optional-dependencies"].keys()
        assert optional == {*given["extras"], *_IN_EVERY_PROJECT}
        assert pyproject.get("license", "none") == given["license"]
        assert (project.root / "LICENSE").exists() == (given["license"] != "none")
        vendored = given["machinery"] == "vendored"
        assert (project.root / "src").exists() == vendored
        assert not vendored or (project.root / "src" / "headrace" / "LICENSE").read_text(
            "utf-8"
        ) == (ROOT / "LICENSE").read_text("utf-8")

    def test_it_has_the_services_of_its_extras(self, project: Project) -> None:
        """Compose has the services of the extras, and their volumes."""
        compose = YAML(typ="safe").load((project.root / "docker-compose.yml").read_text("utf-8"))
        services = {"headrace", "redshift-mock", "seaweedfs", "snowflake-standin"}
        volumes = {"data", "seaweedfs", "standins"}
        if "serve" in project.extras:
            services |= {"page", "prometheus", "grafana", "jaeger"}
            volumes |= {"grafana", "prometheus"}
        configs = compose.get("configs", {})
        assert bool(configs) == ("serve" in project.extras)
        assert all((project.root / one["file"]).is_file() for one in configs.values())
        assert (project.root / "observability").exists() == bool(configs)
        if "postgres" in project.extras:
            services, volumes = services | {"postgres"}, volumes | {"postgres"}
        if "openlineage" in project.extras:
            services |= {"marquez", "marquez-web", "marquez-db"}
            volumes |= {"marquez"}
        assert set(compose["services"]) == services
        assert set(compose["volumes"]) == volumes
        for name, service in compose["services"].items():
            assert set(service.get("depends_on", {})) <= services, name

    def test_it_holds_the_linters(self, project: Project) -> None:
        for words in (("check", "--quiet"), ("format", "--check", "--quiet")):
            subprocess.run([sys.executable, "-m", "ruff", *words], cwd=project.root, check=True)

    def test_it_runs_and_passes_its_tests(self, project: Project) -> None:
        """It locks, syncs, runs, and passes its own tests."""
        name = project.root.name
        command = self.OWN_ENVIRONMENT.get(name, ())
        project.lock()
        if command:
            project.sync()
            project.run(*command)
        if command[:1] == ("headrace",):
            assert (project.root / "data" / "published.duckdb").exists()
        if command[:1] != ("pytest",):
            environ = as_started(plain_environment()) | PYTEST_HERE
            tests = run_module("pytest", ["-q", "tests"], cwd=project.root, env=environ)
            assert tests.returncode == 0, tests.stdout + tests.stderr
        if name in self.TYPED:
            if (ROOT / ".mypy_cache").is_dir():  # what .ci/run found out about the libraries
                shutil.copytree(ROOT / ".mypy_cache", project.root / ".mypy_cache")
            subprocess.run([sys.executable, "-m", "mypy"], cwd=project.root, check=True)
