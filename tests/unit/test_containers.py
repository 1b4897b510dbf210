"""Containers and editors: what can be said of their files without Docker."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from headrace import editor_schemas
from schema_check import check_jsonschema

ROOT = Path(__file__).parents[2]
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
DEVCONTAINER_SCHEMA = ROOT / "tests" / "fixtures" / "schemas" / "devcontainer.schema.json"
EDITOR = ROOT / ".vscode"
SCRIPTS = sorted(ROOT.glob(".devcontainer/*.sh"))
DOCKERFILES = (ROOT / "Dockerfile", ROOT / ".devcontainer" / "Dockerfile")

# What a Dockerfile of ours is made of; another instruction wants another look at these tests.
KNOWN = {"FROM", "ARG", "RUN", "ENV", "WORKDIR", "COPY", "USER", "VOLUME", "ENTRYPOINT", "CMD"}

Instructions = list[tuple[str, str]]


def tool(name: str) -> str:
    """A program that comes as a Python package, beside this interpreter."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not available on this system")
    return found


def check(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )


def fits(content: Any, schema: Path) -> bool:
    """The same without a process, for content that holds no date."""
    return bool(Draft202012Validator(json.loads(schema.read_text("utf-8"))).is_valid(content))


def instructions(path: Path) -> Instructions:
    """Pairs of instruction and arguments; comments are dropped, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^\s*#.*\n", "", path.read_text("utf-8")))
    lines = [line for line in joined.splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def pinned(image: str) -> bool:
    """Whether the tag names a version, major and minor at least: `postgres:17.6`."""
    return re.fullmatch(r"[\w./-]+:(\d+-|v)?\d+\.\d+[\w.-]*", image) is not None


@pytest.mark.parametrize(
    "image", ["python", "python:latest", "python:slim", "python:3", "a:1/python"]
)
def test_pinned_refuses(image: str) -> None:
    assert not pinned(image)


# ── Dockerfiles and scripts ─────────────────────────────────────────────────


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_dockerfile_has_nothing_to_mend(path: Path) -> None:
    result = check(tool("hadolint"), str(path))
    assert result.returncode == 0, result.stdout


def test_hadolint_has_teeth(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(f"{DOCKERFILES[0].read_text('utf-8')}\nUSER root\n", encoding="utf-8")
    assert check(tool("hadolint"), str(bad)).returncode == 1


@pytest.mark.parametrize(
    "paths", [SCRIPTS, [ROOT / ".ci" / "run"]], ids=["dev container", ".ci/run"]
)
def test_script_has_nothing_to_mend(paths: list[Path]) -> None:
    assert paths
    result = check(tool("shellcheck"), *map(str, paths))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_dockerfile_pins_its_bases_and_uv(path: Path) -> None:
    found = instructions(path)
    assert {name for name, _ in found} <= KNOWN
    bases = [words.split()[0] for name, words in found if name == "FROM"]
    assert bases
    assert all(pinned(base) and re.search(r"3\.12\b", base) for base in bases)
    assert len(set(bases)) == 1, "what was compiled for one Python is of no use to another"
    arguments = dict(words.split("=") for name, words in found if name == "ARG")
    assert re.fullmatch(r"\d+\.\d+\.\d+", arguments["UV_VERSION"])
    assert any(name == "RUN" and '"uv==${UV_VERSION}"' in words for name, words in found)


def test_both_dockerfiles_take_the_same_uv() -> None:
    versions = {
        words
        for path in DOCKERFILES
        for name, words in instructions(path)
        if name == "ARG" and words.startswith("UV_VERSION=")
    }
    assert len(versions) == 1


@pytest.fixture(scope="module")
def dockerfile() -> Instructions:
    return instructions(DOCKERFILES[0])


def test_dockerfile_caches_dependencies_by_the_lock(dockerfile: Instructions) -> None:
    lock = dockerfile.index(("COPY", "pyproject.toml uv.lock ./"))
    source = dockerfile.index(("COPY", ". ."))
    between = [words for _, words in dockerfile[lock + 1 : source]]

    assert len(between) == 1
    assert {"--locked", "--no-dev", "--no-install-project"} <= set(between[0].split())
    syncs = [words for name, words in dockerfile if name == "RUN" and "uv sync" in words]
    assert len(syncs) == 2
    assert all("--locked" in words and "--no-dev" in words for words in syncs)
    extras = [re.findall(r"--extra (\w+)", words) for words in syncs]
    assert extras[0] == extras[1] == ["openlineage", "otel", "postgres", "serve"]


def test_the_image_runs_headrace_as_an_ordinary_user(dockerfile: Instructions) -> None:
    users = [words for name, words in dockerfile if name == "USER"]
    assert users == ["1000:1000"], "a number: an orchestrator cannot look names up"
    last = dict(dockerfile)  # of several with one name, the last holds
    assert json.loads(last["ENTRYPOINT"]) == ["headrace"]
    assert json.loads(last["CMD"]) == ["run"]
    environment = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', last["ENV"]))
    assert (last["WORKDIR"], last["VOLUME"]) == ("/app", environment["HEADRACE_DATA_DIR"])
    assert not last["VOLUME"].startswith("/app"), "it would hide data/schemas of a newer image"


def test_no_secret_and_no_data_enter_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    secrets = {"**/.env", "**/.env.*", "**/secrets.toml"}
    assert secrets | {"data/*", "!data/schemas", ".git", ".venv"} <= set(ignored)


# ── Compose ─────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def compose() -> Any:
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")


def test_compose_pins_and_declares_what_it_uses(compose: Any) -> None:
    used = set()
    for name, service in compose["services"].items():
        assert "build" in service or pinned(service["image"]), name
        assert service["image"].startswith("docker.io/") or "build" in service, "Podman: full names"
        used |= {volume.split(":")[0] for volume in service["volumes"]}
    assert used == set(compose["volumes"])
    assert "docker.sock" not in (ROOT / "docker-compose.yml").read_text("utf-8")


def test_every_service_of_compose_has_no_right_that_it_does_not_need(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert "/tmp" in service["tmpfs"], name  # noqa: S108
        assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service), name


def test_every_service_of_compose_that_stays_says_whether_it_is_well(compose: Any) -> None:
    staying = {name for name, one in compose["services"].items() if name != "headrace"}
    for name in staying:
        service = compose["services"][name]
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name
        assert {"interval", "timeout", "retries"} <= set(service["healthcheck"]), name
    assert "restart" not in compose["services"]["headrace"], "a failed run must not run again"


def test_ports_are_open_to_this_machine_alone(compose: Any) -> None:
    ports = [port for one in compose["services"].values() for port in one.get("ports", [])]
    assert "127.0.0.1:8585:8585" in ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_up_gives_the_project_and_its_page(compose: Any) -> None:
    services = compose["services"]
    always = {name for name, service in services.items() if "profiles" not in service}
    assert always == {"headrace", "page"}
    for name in always:
        needed = services[name]["depends_on"]
        assert all(one["required"] is False for one in needed.values()), "their profile may be off"
    assert services["headrace"]["volumes"] == services["page"]["volumes"] == ["data:/data"]


def test_compose_asks_for_no_secret_that_its_profile_does_not_need(compose: Any) -> None:
    text = json.dumps(compose)
    # A required variable is asked for even where its profile is off: nothing would start.
    assert ":?" not in text
    for name, service in compose["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            is_secret = re.search("PASSWORD|TOKEN|KEY|URL", variable)
            assert not is_secret or value is None, f"{name}: {variable} is passed on from the shell"


def test_compose_passes_on_settings_alone_that_there_are(compose: Any) -> None:
    from headrace.settings import Settings

    for service in compose["services"].values():
        for variable in service.get("environment") or {}:
            if variable.startswith("HEADRACE_") and variable != "HEADRACE_ENV":
                first = variable.removeprefix("HEADRACE_").split("__")[0].lower()
                assert first in Settings.model_fields


def test_configs_of_compose_are_files_and_all_are_used(compose: Any) -> None:
    used = {
        one["source"] for each in compose["services"].values() for one in each.get("configs", ())
    }
    assert used == set(compose["configs"])
    for one in compose["configs"].values():
        assert (ROOT / one["file"]).is_file()
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "observability").rglob("*.*")}
    assert there == {one["file"].removeprefix("./") for one in compose["configs"].values()}


# ── Prometheus and Grafana ──────────────────────────────────────────────────


OBSERVABILITY = ROOT / "observability"


def panels() -> list[dict[str, Any]]:
    content = json.loads((OBSERVABILITY / "grafana" / "headrace.json").read_text("utf-8"))
    found: list[dict[str, Any]] = content["panels"]
    return found


def metric_names() -> dict[str, set[str]]:
    """Names of samples, and the labels that they have."""
    from headrace.server.metrics import FAMILIES

    names: dict[str, set[str]] = {}
    for name, (kind, _, labels) in FAMILIES.items():
        names[name] = set(labels)
        if kind == "histogram":
            names |= {f"{name}_{end}": {*labels, "le"} for end in ("bucket", "sum", "count")}
    return names


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    known = metric_names()
    asked = set()
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            found = re.findall(r"\bheadrace_\w+", text)
            assert set(found) <= set(known), panel["title"]
            asked |= set(found)
            labels = set().union(*(known[name] for name in found)) | {"job"}
            chosen = re.findall(r"(\w+)=~?\"", text)
            grouped = [word for words in re.findall(r"by \(([^)]*)\)", text)
                       for word in words.split(", ")]  # fmt: skip
            shown = re.findall(r"{{(\w+)}}", target["legendFormat"])
            assert {*chosen, *grouped, *shown} <= labels, panel["title"]
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    unasked = {"headrace_build_info", "headrace_nodes_total", "headrace_last_run_timestamp_seconds"}
    assert families == {name for name in known if not name.endswith(("bucket", "sum", "count"))} - (
        unasked
    )


def test_the_dashboard_fits_its_sources_and_its_grid() -> None:
    yaml = YAML(typ="safe")
    sources = {
        each["uid"]
        for each in yaml.load(OBSERVABILITY / "grafana" / "datasources.yml")["datasources"]
    }
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["datasource"]["uid"] in sources
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))


def test_addresses_of_prometheus_and_grafana_are_services(compose: Any) -> None:
    yaml = YAML(typ="safe")
    config = yaml.load(OBSERVABILITY / "prometheus.yml")
    (job,) = config["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    hosts = [target for each in job["static_configs"] for target in each["targets"]]
    datasources = yaml.load(OBSERVABILITY / "grafana" / "datasources.yml")["datasources"]
    hosts += [each["url"].removeprefix("http://") for each in datasources]
    for host in hosts:
        name, port = host.split(":")
        ports = compose["services"][name]["ports"]
        assert any(each.endswith(f":{port}") for each in ports), host
    (provider,) = yaml.load(OBSERVABILITY / "grafana" / "dashboards.yml")["providers"]
    targets = [one["target"] for one in compose["services"]["grafana"]["configs"]]
    assert f"{provider['options']['path']}/headrace.json" in targets


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
def test_prometheus_accepts_its_configuration() -> None:
    words = ["promtool", "check", "config", "--syntax-only", str(OBSERVABILITY / "prometheus.yml")]
    assert check(*words).returncode == 0


# ── the dev container ───────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def devcontainer() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DEVCONTAINER.read_text("utf-8"))
    return content


@pytest.mark.parametrize(
    "change",
    [
        {"postCreateComand": "true"},
        {"image": "mcr.microsoft.com/devcontainers/python:1-3.12"},
        {"build": {"dockerFile": "Dockerfile"}},
        {"hostRequirements": {"memory": "4 GB"}},
        {"forwardPorts": [85850]},
        {"customizations": {"vscode": {"extensions": ["ruff"]}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_dev_container_schema_has_teeth(change: dict[str, Any]) -> None:
    content = json.loads(DEVCONTAINER.read_text("utf-8"))
    assert fits(content, DEVCONTAINER_SCHEMA)
    assert not fits(content | change, DEVCONTAINER_SCHEMA)


def test_dev_container_names_files_that_there_are(devcontainer: dict[str, Any]) -> None:
    assert (DEVCONTAINER.parent / devcontainer["build"]["dockerfile"]).is_file()
    for command in (devcontainer["updateContentCommand"], devcontainer["postCreateCommand"]):
        word, script = command.split()
        assert word == "bash"
        assert (ROOT / script).is_file()
    profiles = devcontainer["containerEnv"]["DBT_PROFILES_DIR"]
    folder = profiles.replace("${containerWorkspaceFolder}", str(ROOT))
    assert (Path(folder) / "profiles.yml").is_file()


def test_dev_container_agrees_with_its_image(devcontainer: dict[str, Any]) -> None:
    last = dict(instructions(DOCKERFILES[1]))
    environment = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', last["ENV"]))
    venv = environment["UV_PROJECT_ENVIRONMENT"]
    assert environment["PATH"].startswith(f'"{venv}/bin:')
    assert not venv.startswith("/workspaces"), "it may be a slow folder of another system"
    assert last["USER"] == "1000:1000"
    settings = devcontainer["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"] == f"{venv}/bin/python"
    python = re.search(r"-(3\.\d+)-", last["FROM"])
    assert python
    packages = f"{venv}/lib/python{python[1]}/site-packages/dbt"
    for url in settings["yaml.schemas"]:
        assert url.startswith(f"file://{packages}/")
        # the same file of dbt-core as it is installed here
        assert (dbt_folder() / url.removeprefix(f"file://{packages}/")).is_file()


def dbt_folder() -> Path:
    found = importlib.util.find_spec("dbt.jsonschemas")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parents[1]


# ── the editor ──────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def editor() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EDITOR / "settings.json").read_text("utf-8"))
    return content


def test_editor_has_the_same_extensions_in_and_outside_the_container(
    devcontainer: dict[str, Any],
) -> None:
    outside = json.loads((EDITOR / "extensions.json").read_text("utf-8"))["recommendations"]
    assert devcontainer["customizations"]["vscode"]["extensions"] == outside
    wanted = {"innoverio.vscode-dbt-power-user", "dorzey.vscode-sqlfluff", "redhat.vscode-yaml"}
    assert wanted <= set(outside)


def test_editor_reads_the_published_copy_on_every_system(
    editor: dict[str, Any], devcontainer: dict[str, Any]
) -> None:
    inside = {
        name: value.replace("containerWorkspaceFolder", "workspaceFolder")
        for name, value in devcontainer["containerEnv"].items()
    }
    for system in ("linux", "osx", "windows"):
        assert editor[f"terminal.integrated.env.{system}"] == inside


@pytest.mark.parametrize("name", editor_schemas.FILES)
def test_schema_of_the_editor_is_up_to_date(name: str) -> None:
    there = (EDITOR / "schemas" / name).read_text(encoding="utf-8")
    assert there == editor_schemas.FILES[name](), "run: uv run python -m headrace.editor_schemas"


def test_schemas_of_the_editor_are_written_by_one_command(tmp_path: Path) -> None:
    result = check(sys.executable, "-m", "headrace.editor_schemas", str(tmp_path / "schemas"))
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "schemas").iterdir()} == set(editor_schemas.FILES)
    assert len(result.stdout.splitlines()) == len(editor_schemas.FILES)


def test_every_schema_of_the_editor_is_there_and_takes_its_files(editor: dict[str, Any]) -> None:
    schemas: dict[str, str] = editor["yaml.schemas"]
    assert {Path(schema).name for schema in schemas} == set(editor_schemas.FILES)
    for schema, pattern in schemas.items():
        files = sorted(map(str, ROOT.glob(pattern)))
        assert files
        result = check_jsonschema("--schemafile", str(ROOT / schema), *files)
        assert result.exit_code == 0, result.output


def test_schema_files_name_their_schema() -> None:
    for path in (ROOT / "data" / "schemas").glob("*.yml"):
        line = path.read_text("utf-8").splitlines()[0]
        name = line.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / name).resolve() == EDITOR / "schemas" / "schema-file.schema.json"


def test_schemas_of_dbt_take_the_dbt_project(devcontainer: dict[str, Any]) -> None:
    settings = devcontainer["customizations"]["vscode"]["settings"]
    for url, pattern in settings["yaml.schemas"].items():
        schema = dbt_folder() / url.rpartition("/dbt/")[2]
        files = sorted(map(str, ROOT.glob(pattern)))
        assert files
        result = check_jsonschema("--schemafile", str(schema), *files)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("sources: {shop: {enabled: true, scale: 0.1}}", True),
        ("sources: {shop: {schema_contract: freeze}}", True),
        ("sources: {shop: {schema_contract: discard}}", True),
        ("sources: {shop: {schema_contract: {tables: freeze}}}", True),
        ("targets: {duckdb: {memory_limit: 4GB}}", True),
        ("sorces: {}", False),
        ("sources: {Shop: {}}", False),
        ("sources: {shop: {enabled: 3}}", False),
        ("sources: {shop: {schema_contract: frozen}}", False),
        ("targets: {duckdb: {memory: 4GB}}", False),
        ("log_level: loud", False),
    ],
)
def test_schema_of_settings_says_what_headrace_says(
    tmp_path: Path, text: str, is_good: bool
) -> None:
    """What the editor marks is what `headrace` refuses, and nothing else."""
    from headrace.errors import SettingsError
    from headrace.settings import resolve

    file = tmp_path / "config" / "default.yml"
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
    schema = EDITOR / "schemas" / "settings.schema.json"

    assert fits(YAML(typ="safe").load(text), schema) is is_good
    try:
        resolve(tmp_path, environ={})
    except SettingsError:
        assert not is_good
    else:
        assert is_good
