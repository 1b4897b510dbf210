"""The suite and the package need no extra: what only an extra brings is asked for, not assumed."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WITH_EXTRAS = {
    "src/headrace/targets/snowflake_standin/": "snowflake",
    "src/headrace/server": "serve",
    "src/headrace/libraries/uvicorn.py": "serve",
    "src/headrace/export/openlineage": "openlineage",
    "src/headrace/export/datahub": "datahub",
    "src/headrace/synth/learn": "learn",
    "src/headrace/libraries/uvicorn": "serve",
    "src/headrace/libraries/sdv": "learn",
    "src/headrace/libraries/dlt_postgres.py": "postgres",
    "src/headrace/targets/redshift_mock": "redshift",
    "src/headrace/targets/s3_standin/": "simulate",
    "src/headrace/simulate/": "simulate",
}
"""Packages and modules of the machinery that are imported when their extra is there."""
HELPERS = ("openlineage_spec.py",)
"""Only tests that ask for the extra import these."""
modules = cache(packages_distributions)
OURS = {path.stem for path in (ROOT / "tests").rglob("*.py")}
OURS |= {"headrace", "dlt_pipelines", "benchmarks", "docs", "tests"}


@cache
def lock() -> dict[str, dict[str, Any]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    return {package["name"]: package for package in packages}


@cache
def brought(*groups: str, extras: tuple[str, ...] = ()) -> set[str]:
    """All that `uv sync` installs for the project with these groups and extras."""
    packages = lock()
    ours = packages["headrace"]
    wanted = list(ours["dependencies"])
    for group in groups:
        wanted += ours["dev-dependencies"][group]
    for extra in extras:
        wanted += ours["optional-dependencies"][extra]
    seen: set[tuple[str, str]] = set()
    while wanted:
        entry = wanted.pop()
        for extra in ("", *entry.get("extra", ())):
            name = entry["name"]
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            package = packages[name]
            wanted += (
                package.get("optional-dependencies", {}).get(extra, ())
                if extra
                else package.get("dependencies", ())
            )
    return {name for name, _ in seen}


def imports(
    tree: ast.AST, *, outside: tuple[type[ast.stmt], ...] = ()
) -> Iterator[tuple[ast.stmt, str]]:
    """Each import that is run, less those that a type checker alone reads.

    Args:
        tree: A module, or a statement in it.
        outside: Statements that are not looked into.
    """
    for part in ("body", "orelse", "handlers", "finalbody", "cases"):
        for node in getattr(tree, part, ()):
            if isinstance(node, ast.Import):
                yield from ((node, name.name.split(".")[0]) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                if node.level == 0 and node.module:
                    yield node, node.module.split(".")[0]
            elif not isinstance(node, outside) and not is_for_types(node):
                yield from imports(node, outside=outside)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def is_missing(module: str, here: set[str]) -> bool:
    """Whether a bare `uv sync` of these packages does not bring a module."""
    if module in sys.stdlib_module_names or module in OURS:
        return False
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in modules().get(module, ())}
    return not names & here


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_what_is_brought() -> None:
    assert {"dlt", "dbt-core", "plumbum", "requests"} <= brought()
    assert {"fastapi", "psutil"} <= brought("dev", "machinery") - brought()
    assert not {"pandas", "acryl-datahub", "openlineage-python", "sdv"} & brought(
        "dev", "machinery"
    )
    assert "pandas" in brought(extras=("learn",))
    assert is_missing("pandas", brought())


def test_a_test_that_needs_an_extra_is_skipped_without_it() -> None:
    here = brought("dev", "machinery")
    assumed = []
    for path in python_files("tests"):
        text = path.read_text("utf-8")
        for node, module in imports(ast.parse(text)):
            asked = rf'importorskip\("{module}[.\w]*", reason="uv sync --extra \w+"\)'
            guarded = re.search(asked, text) or "suppress(ImportError)" in text
            if is_missing(module, here) and not guarded:
                assumed.append(f"{path.name}:{node.lineno} {module}")
    assert [each for each in assumed if not each.startswith(HELPERS)] == []


def test_a_module_is_imported_without_extras() -> None:
    assumed = []
    for path in python_files("src", "dlt_pipelines"):
        name = path.relative_to(ROOT).as_posix()
        extras = tuple(extra for folder, extra in WITH_EXTRAS.items() if name.startswith(folder))
        here = brought(extras=extras)
        tree = ast.parse(path.read_text("utf-8"))
        assumed += [
            f"{name}:{node.lineno} {module}"
            for node, module in imports(
                tree, outside=(ast.FunctionDef, ast.AsyncFunctionDef, ast.Try)
            )
            if is_missing(module, here)
            # what is not installed cannot be told from what the extra would bring
            and not (extras and module not in modules())
        ]
    assert assumed == []
