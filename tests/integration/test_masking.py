"""No secret of the settings is in anything that a run writes or a command prints."""

import base64
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("openlineage.client", reason="uv sync --extra openlineage")
pytest.importorskip("datahub", reason="uv sync --extra datahub")

from lab import Lab

NAMES = (
    "token", "password", "passphrase", "pwd", "pat", "sas", "dsn", "auth", "jwt", "signature",
    "session", "cookie", "bearer", "api_key", "apikey", "access_key", "secret_access_key",
    "private_key", "client_secret", "credentials", "connection_string", "webhook_url",
)  # fmt: skip
CANARIES = {name: f"Canary/{name}+{number:03}?&" for number, name in enumerate(NAMES)}
IN_URL, IN_QUERY, IN_STORE = "Canary-url+901", "Canary-query-902", "Canary-store-903"
IN_HEADER, IN_DBT, IN_DOTENV, IN_TOML = (
    "Canary-header-904", "Canary-dbt-905", "Canary-dotenv-906", "Canary-toml-907"
)  # fmt: skip
SECRET_STR = "Canary-plainly-named-908"  # noqa: S105
SHORT = "s5x!"
SOURCE = '''
"""A source that fails, and tells everything."""

import base64
from urllib.parse import quote

import dlt
from dlt.extract import DltSource
from pydantic import SecretStr


def build_source(
    *, url: str, headers: dict[str, str], code: SecretStr, {parameters}
) -> DltSource:
    """Rows until the connection breaks."""

    @dlt.resource(name="people")
    def people(secret: str = dlt.secrets.value):
        yield [{{"id": 1}}]
        told = [{names}, secret, headers["X-Custom"], code.get_secret_value()]
        quoted = [quote(one, safe="") for one in told]
        basic = [base64.b64encode(f"joe:{{one}}".encode()).decode() for one in told]
        raise ConnectionError(f"{{url}} is gone {{told}} {{quoted}} {{basic}}")

    return dlt.source(lambda: people, name="crm")()
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, jaffle_root: Path) -> Path:
    root = tmp_path_factory.mktemp("secret") / "project"
    shutil.copytree(jaffle_root, root)
    folder = root / "dlt_pipelines" / "crm"
    folder.mkdir(parents=True)
    parameters = ", ".join(f"{name}: str" for name in NAMES)
    source = SOURCE.format(parameters=parameters, names=", ".join(NAMES))
    (folder / "__init__.py").write_text(source)
    (root / ".env").write_text(f"HEADRACE_SOURCES__CRM__TOKEN={IN_DOTENV}\n")
    (root / ".dlt").mkdir(exist_ok=True)
    (root / ".dlt" / "secrets.toml").write_text(f'[sources.crm]\nsecret = "{IN_TOML}"\n')
    model = "select cast('{{ env_var(\"CRM_DB_PASSWORD\") }}' as integer) as number_of_it\n"
    (root / "dbt_project" / "models" / "marts" / "telling.sql").write_text(model)
    return root


@pytest.fixture(scope="module")
def lab(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    data_dir = tmp_path_factory.mktemp("data")
    prefix = "HEADRACE_SOURCES__CRM__"
    store = f"sqlite:///{data_dir / 'headrace.sqlite'}?password={IN_STORE}"
    return Lab(
        data_dir,
        project,
        flags=("openlineage.enabled=true", "log_level=debug"),
        environ={
            **{f"{prefix}{name.upper()}": text for name, text in CANARIES.items()},
            f"{prefix}URL": f"postgresql://joe:{quote(IN_URL)}@h/d?api_key={IN_QUERY}&key={SHORT}",
            f"{prefix}HEADERS": f"{{X-Custom: {IN_HEADER}, Accept: text/html}}",
            f"{prefix}CODE": SECRET_STR,
            f"{prefix}ENABLED": "false",
            "HEADRACE_RUN_STORE__URL": store,
            "CRM_DB_PASSWORD": IN_DBT,
        },
        observes=True,
    )


def leaks(text: bytes) -> Iterator[str]:
    """The canaries in something that was written."""
    for secret in (*CANARIES.values(), IN_URL, IN_QUERY, IN_STORE, IN_HEADER, IN_DBT, IN_DOTENV,
                   IN_TOML, SECRET_STR):  # fmt: skip
        basic = base64.b64encode(f"joe:{secret}".encode()).decode()
        for form in (secret, quote(secret), quote(secret, safe=""), basic.rstrip("=")[:-1]):
            if form.encode() in text:
                yield form


def assert_no_leak(lab: Lab, *outputs: str) -> None:
    for output in outputs:
        assert not set(leaks(output.encode())), output
    found = {
        (str(path.relative_to(lab.data_dir)), form)
        for path in sorted(lab.data_dir.rglob("*"))
        if path.is_file()
        for form in leaks(path.read_bytes())
    }
    assert not found


def test_a_load_that_fails_tells_no_secret(lab: Lab) -> None:
    for more in ((), ("--debug", "--json")):
        result = lab.command("load", "--source", "crm", *more)
        assert result.returncode == 2, result.stdout + result.stderr
        assert "ConnectionError" in result.stderr
        assert "postgresql://joe:***@h/d" in result.stderr
        assert SHORT not in result.stderr
        assert_no_leak(lab, result.stdout, result.stderr)
    log = (lab.data_dir / "logs" / "headrace.jsonl").read_text("utf-8")
    assert "Traceback" in log
    assert "***" in log
    events = (lab.data_dir / "openlineage.jsonl").read_text("utf-8")
    assert "postgresql://***@h/d" in events


def test_a_build_that_fails_tells_no_secret_and_nothing_that_is_made_from_it(
    lab: Lab, tmp_path: Path
) -> None:
    for more in ((), ("--json", "--debug")):
        result = lab.command("run", *more)
        assert result.returncode == 1, result.stdout + result.stderr
        assert "telling" in result.stdout
        assert_no_leak(lab, result.stdout, result.stderr)
    out = tmp_path / "out"
    out.mkdir()
    for arguments in (
        ("status", "--json"), ("doctor", "--json"), ("docs", "--out", str(out / "site")),
        ("export", "openlineage", "--out", str(out / "events.jsonl")),
        ("export", "datahub", "--out", str(out / "datahub.json")),
        ("build", "--select", "telling"),
    ):  # fmt: skip
        result = lab.command(*arguments)
        assert result.returncode in {0, 1}, (arguments, result.stdout + result.stderr)
        assert_no_leak(lab, result.stdout, result.stderr)
    assert_no_leak(Lab(out))
    assert list(out.rglob("*.html"))


def test_where_tells_no_secret(lab: Lab) -> None:
    # which parameters of a source are a SecretStr is known to its folder alone
    environ = {name: text for name, text in lab.environ.items() if text != SECRET_STR}
    for more in ((), ("--json",)):
        result = replace(lab, environ=environ).command("where", *more)
        assert result.returncode == 0, result.stderr
        assert_no_leak(lab, result.stdout, result.stderr)
        assert SHORT not in result.stdout
        assert result.stdout.count("***") >= len(NAMES) + 3


def test_a_run_store_that_cannot_be_opened_tells_no_secret(lab: Lab) -> None:
    url = f"postgresql://joe:{quote(IN_URL)}@127.0.0.1:1/d?sslpassword={IN_QUERY}&passfile=/none"
    docs = ("docs", "--debug", "--out", str(lab.data_dir / "site"))
    broken = Lab(lab.data_dir, lab.root, lab.flags, {**lab.environ, "HEADRACE_RUN_STORE__URL": url})
    for arguments in (("run", "--debug"), ("status",), docs):
        result = broken.command(*arguments)
        assert result.returncode in {1, 2}, result.stdout
        assert "joe:***@" in result.stdout + result.stderr
        assert_no_leak(broken, result.stdout, result.stderr)
