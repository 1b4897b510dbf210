"""A runner of GitHub's workflows in small: it does by hand what a job's steps do, one by one.

A `run:` step is run by bash, as GitHub does, in a clone of the project. Of the actions, those that
move files are played (artifacts, the cache); the others leave nothing that the steps need. `uv` is
kept from changing the environment that the tests run in, and `gh` only takes notes and answers.
"""

import fnmatch
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from small_project import is_simulated
from warm_commands import warm_command

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV") or shutil.which("uv") or "uv"
_UV = """#!/usr/bin/env bash
# The steps' uv: what it would install is installed, so nothing is.
echo "uv $*" >> "$NOTES"
case "$1" in
    sync) exec {uv} lock --check --offline --quiet ;;
    run) shift ;;
    *) exit 9 ;;
esac
case "$1" in
    headrace|dbt|pytest) exec {warm} "$@" ;;
    *) exec {uv} run --no-sync --offline --project {root} "$@" ;;
esac
"""
_GH = """#!/usr/bin/env python3
# The steps' gh: it takes notes, and answers what it was told to.
import json, os, pathlib, shutil, sys

words = sys.argv[1:]
with open(os.environ["NOTES"], "a", encoding="utf-8") as notes:
    notes.write("gh " + " ".join(words) + "\\n")
if not os.environ.get("GH_TOKEN") or not os.environ.get("GH_REPO"):
    sys.exit("gh: no token, or no repository")
state = os.environ.get("FAKE_STATE", "")
if words[0] == "api" and "/workflows/nightly.yml/runs" in words[1]:
    print("4711" if state else "")
elif words[:2] == ["run", "download"]:
    assert words[2] == "4711", words
    shutil.copytree(state, words[words.index("--dir") + 1])
elif words[0] == "api" and words[1].endswith("/comments"):
    print(os.environ.get("FAKE_COMMENT", ""))
elif words[:2] == ["pr", "comment"] or words[:3] == ["api", "--method", "PATCH"]:
    assert pathlib.Path("diff.md").is_file()
else:
    sys.exit(f"gh: {words}")
"""
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}", re.DOTALL)


@dataclass
class Runner:
    """One job at a time, in one clone.

    Attributes:
        home: where everything is.
        contexts: dotted name (``github.repository``) to its value.
        environ: what the runner gives each step, besides.
    """

    home: Path
    contexts: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clone, self.bin, self.artifacts = (
            self.home / name for name in ("clone of it", "bin", "artifacts")
        )
        for folder in (self.bin, self.artifacts):
            folder.mkdir(parents=True)
        self._script("uv", _UV.format(uv=UV, root=f"'{ROOT}'", warm=warm_command()))
        self._script("gh", _GH)
        self.notes = self.home / "notes"
        self.summary = self.home / "summary.md"
        for file in (self.notes, self.summary):
            file.touch()

    def _script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """What was asked of uv and gh."""
        return self.notes.read_text("utf-8").splitlines()

    def check_out(self) -> None:
        """A clone of the files as they stand: what git tracks, and would track.

        It is without the models of the simulated sources, which take dbt a while to parse.
        """
        shutil.rmtree(self.clone, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not is_simulated(name):
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.clone / name)

    def job(self, workflow: str, name: str) -> "Job":
        """Run the steps of a job; a failed one ends it, but for those that run all the same."""
        content = YAML(typ="safe").load(self.clone / ".github" / "workflows" / workflow)
        assert content["defaults"]["run"]["shell"] == "bash"
        job = Job(self, {**content.get("env", {}), **content["jobs"][name].get("env", {})})
        for step in content["jobs"][name]["steps"]:
            job.step(step)
        return job


@dataclass
class Job:
    """A job that is running.

    Attributes:
        ran: the names (or commands) of the steps that were run.
        failed: what the step that failed said; None when none did.
    """

    runner: Runner
    environ: Mapping[str, str]
    ran: list[str] = field(default_factory=list)
    failed: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    def step(self, step: Mapping[str, Any]) -> None:
        """Run it, where its condition holds."""
        if not self._holds(step.get("if")):
            return
        label = step.get("name") or step.get("run") or step["uses"]
        self.ran.append(label)
        if "uses" in step:
            self._play(step["uses"].partition("@")[0], step.get("with", {}))
            return
        assert "${{" not in step["run"], f"{label}: an expression in a script can be code"
        result = self._bash(step)
        if result.returncode:
            self.failed = f"{label}: exit {result.returncode}\n{result.stdout}{result.stderr}"

    def _bash(self, step: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
        output = self.runner.home / "output"
        output.write_text("", encoding="utf-8")
        own = {key: self._filled(str(value)) for key, value in step.get("env", {}).items()}
        plain = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR") if key in os.environ}
        environ = {
            **plain,
            "PATH": f"{self.runner.bin}{os.pathsep}{os.environ['PATH']}",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": self.runner.contexts["github.repository"],
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.runner.summary),
            "NOTES": str(self.runner.notes),
            **self.runner.environ,
            **self.environ,
            **own,
        }
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.runner.clone / step.get("working-directory", "."),
            env=environ, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        for line in output.read_text("utf-8").splitlines():
            key, _, value = line.partition("=")
            self.outputs[f"steps.{step['id']}.outputs.{key}"] = value
        return result

    # ── expressions ──────────────────────────────────────────────────────────

    def _filled(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, name: str) -> str:
        if name.startswith("'"):
            return name.strip("'")
        if found := re.fullmatch(r"hashFiles\('(.*)'\)", name):
            return "hash" if (self.runner.clone / found[1]).exists() else ""
        known = {**self.runner.contexts, **self.outputs}
        assert name in known, f"the runner does not know {name}"
        return known[name]

    def _holds(self, condition: str | None) -> bool:
        """Of conditions joined by `&&`; like GitHub, false after a failure unless it says so."""
        if condition is None:
            return self.failed is None
        found = _EXPRESSION.fullmatch(condition.strip())
        assert found, condition
        terms = [term.strip() for term in found[1].split("&&")]
        if terms == ["failure()"]:
            return self.failed is not None
        if terms == ["!cancelled()"]:
            return True
        if self.failed is not None:
            return False
        for term in terms:
            one, sign, other = re.split(r"\s+(==|!=)\s+", term)
            if (self._value(one) == self._value(other)) != (sign == "=="):
                return False
        return True

    # ── actions ──────────────────────────────────────────────────────────────

    def _play(self, action: str, options: Mapping[str, Any]) -> None:
        if action == "actions/upload-artifact":
            self._upload(options)
        elif action == "actions/upload-pages-artifact":
            shutil.copytree(self.runner.clone / options["path"], self.runner.artifacts / "pages")
        elif action.startswith("actions/cache"):
            self._check_cache(options)
        else:
            assert action in {"actions/checkout", "astral-sh/setup-uv"}, action
            assert action != "actions/checkout" or options["persist-credentials"] is False

    def _upload(self, options: Mapping[str, Any]) -> None:
        place = self.runner.artifacts / options["name"]
        for path in options["path"].split():
            found = self.runner.clone / path
            if found.is_dir():
                shutil.copytree(
                    found, place if path == options["path"].strip() else place / found.name
                )
            elif found.is_file():
                place.mkdir(exist_ok=True)
                shutil.copy(found, place)

    def _check_cache(self, options: Mapping[str, Any]) -> None:
        """What is cached is what a run writes, not what git holds."""
        patterns = options["path"].split()
        tracked = [path.name for path in (ROOT / "data").iterdir() if path.name == "schemas"]
        for name in tracked:
            wanted = [p for p in patterns if fnmatch.fnmatch(f"data/{name}", p.lstrip("!"))]
            assert wanted[-1].startswith("!"), f"data/{name} is git's"
