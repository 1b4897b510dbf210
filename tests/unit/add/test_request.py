"""Which names and options a new source may have."""

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.add import AddRequest, add_source
from headrace.errors import AddError, UserError
from headrace.settings import Resolved, resolve

API = AddRequest("crm", "rest_api", resource=("customers",), primary_key=("id",))
FILES = AddRequest("crm", "files", path="data", pattern=("orders=*.csv",))
SQL = AddRequest("crm", "sql_database")


@pytest.fixture
def project(tmp_path: Path) -> Resolved:
    """The least that is a project; the source ``shop`` is in it, and a folder ``Legacy``."""
    for folder in ("config", "dlt_pipelines/shop", "dlt_pipelines/files", "dlt_pipelines/Legacy"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "config" / "default.yml").write_text("sources:\n  shop:\n    enabled: true\n")
    (tmp_path / "config" / "production.yml").write_text("sources: {billing: {kind: files}}\n")
    (tmp_path / "tests" / "project").mkdir(parents=True)
    (tmp_path / "dlt_pipelines" / "files" / "__init__.py").write_text("")
    (tmp_path / "tests" / "project" / "test_tested.py").write_text("")
    return resolve(tmp_path, environ={})


def tree(project: Resolved) -> dict[str, bytes]:
    return {
        str(path.relative_to(project.root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(project.root.rglob("*"))
    }


def refused(project: Resolved, request: AddRequest) -> str:
    before = tree(project)
    with pytest.raises(UserError) as caught:
        add_source(project, request)
    assert caught.type is AddError, caught.value
    assert tree(project) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "not a valid name of a source"),
        ("My-API", "my_api would do"),
        ("MyApi", "my_api would do"),
        ("Shop", "shop would do"),
        ("1st", "not a valid name of a source"),
        ("a__b", "a_b would do"),
        ("_crm", "crm would do"),
        ("crm_", "crm would do"),
        ("données", "not a valid name of a source"),
        ("客户", "not a valid name of a source"),
        ("\u0441rm", "not a valid name of a source"),  # a Cyrillic letter
        ("../crm", "crm would do"),
        ("a b", "a_b would do"),
        ("crm\n", "not a valid name of a source"),
        ("a" * 31, "30 characters at most"),
        ("class", "a word of Python, SQL, dlt or dbt"),
        ("lambda", "a word of Python"),
        ("select", "a word of Python, SQL"),
        ("user", "a word of Python, SQL"),
        ("dlt", "a word of Python, SQL, dlt"),
        ("dlt_loads", "a word of Python, SQL, dlt"),
        ("headrace", "a word of"),
        ("shop", "config/default.yml line 2"),
        ("billing", "config/production.yml line 1"),
        ("files", "there is a dlt_pipelines/files"),
        ("legacy", "there is a dlt_pipelines/Legacy"),
        ("tested", "there is a tests/project/test_tested.py"),
    ],
)
def test_names(project: Resolved, name: str, words: str) -> None:
    assert words in refused(project, replace(API, name=name))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (replace(API, table=("a",)), "--table is not for --kind rest_api, which takes --url"),
        (replace(API, schema="a"), "--schema is not for --kind rest_api"),
        (replace(SQL, resource=("a",)), "--resource is not for --kind sql_database"),
        (replace(FILES, url="http://x"), "--url is not for --kind files"),
        (AddRequest("crm", "synth", cursor="a"), "--cursor is not for --kind synth"),
        (replace(API, resource=()), "name what to load: --resource"),
        (replace(API, resource=("Customers",)), "not a valid name of a raw table"),
        (replace(API, resource=("a", "a=b")), "--resource a is named twice"),
        (replace(API, resource=('a="b',)), "not a path"),
        (replace(API, resource=("a={b}",)), "not a path"),
        (replace(API, primary_key=(), cursor="at"), "--cursor needs --primary-key"),
        (replace(API, primary_key=('i"d',)), "not a valid name of a column"),
        (replace(API, cursor="at=since=x"), "not a valid name of a column"),
        (replace(API, paginator="magic"), "write one of auto, json_link"),
        (replace(API, url="api.example.com"), "not the address of an API"),
        (replace(API, url="https://"), "not the address of an API"),
        (replace(API, url="https://x:y/"), "not the address of an API"),
        (replace(API, url="https://a:b@x/"), "no user, password"),
        (replace(API, url="https://x/?key=b"), "no user, password, query"),
        (replace(SQL, url="nonsense"), "not a SQLAlchemy URL"),
        (replace(SQL, url="postgresql://x/y?password=hush"), "must not hold password"),
        (replace(SQL, url="sqlite://"), "names no SQLite file"),
        (replace(SQL, url="sqlite:////no/such/file"), "there is no SQLite file"),
        (replace(SQL, table=("a",)), "--table needs --url"),
        (replace(SQL, cursor="a=b"), "without ="),
        (replace(FILES, path=None), "name the folder of the files"),
        (replace(FILES, cursor="at"), "--cursor needs --primary-key"),
        (replace(FILES, cursor="at=x", primary_key=("id",)), "a column, without ="),
        (replace(FILES, deleted="gone"), "--deleted is not for --kind files"),
        (replace(API, primary_key=(), deleted="gone"), "--deleted needs --primary-key"),
        (replace(API, deleted='a"b'), "not a valid name of a column"),
        (replace(FILES, pattern=("*.csv",)), "write it as TABLE=GLOB"),
        (replace(FILES, pattern=("a=",)), "write it as TABLE=GLOB"),
        (replace(FILES, pattern=("a=*.csv", "a=*.tsv")), "--pattern a is named twice"),
        (AddRequest("crm", "synth", schema="no/such.yml"), "no/such.yml"),
    ],
)
def test_options(project: Resolved, request_: AddRequest, words: str) -> None:
    assert words in refused(project, request_)


def test_a_schema_file_that_is_wrong(project: Resolved, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text("schema:\n  a:\n    fields:\n      id: {type: cereal}\n")
    assert "wrong.yml:4" in refused(project, AddRequest("crm", "synth", schema=str(file)))


def test_a_secret_in_the_environment_is_no_source(project: Resolved) -> None:
    variables = {"HEADRACE_SOURCES__CRM__TOKEN": "a-token", "HEADRACE_SOURCES__CRM__KIND": "files"}
    with_token = resolve(project.root, environ=variables)
    report = add_source(with_token, API, dry_run=True)
    assert len(report.files) == 5


def test_a_dry_run_writes_nothing(project: Resolved) -> None:
    before = tree(project)
    report = add_source(project, replace(API, url="http://127.0.0.1:9/"), dry_run=True)
    assert tree(project) == before
    assert [(file.path, file.status) for file in report.files] == [
        ("dlt_pipelines/crm/__init__.py", "added"),
        ("dlt_pipelines/crm/__main__.py", "added"),
        ("dlt_pipelines/crm/README.md", "added"),
        ("tests/project/test_crm.py", "added"),
        ("config/default.yml", "changed"),
    ]
    assert "+    base_url: http://127.0.0.1:9\n" in report.files[-1].diff
    assert all(file.diff for file in report.files)


def test_a_password_goes_to_no_file(project: Resolved) -> None:
    (project.root / ".env.example").write_text("# first\n# HEADRACE_ENV=production\n")
    url = "postgresql://reader:hush-hush@127.0.0.1:1/crm"
    report = add_source(project, replace(SQL, url=url, table=("orders",), cursor="at"))
    assert report.not_loaded is not None
    assert "Connection refused" in report.not_loaded
    assert report.commands == ("headrace load --source crm", "headrace scaffold crm")
    assert not [name for name, content in tree(project).items() if b"hush-hush" in content]
    assert "hush-hush" not in report.model_dump_json()
    assert (
        (project.root / "config" / "default.yml")
        .read_text()
        .endswith(
            "    enabled: false\n"
            "    url: postgresql+psycopg://reader@127.0.0.1:1/crm?connect_timeout=10\n"
            "    # password: never here; set HEADRACE_SOURCES__CRM__PASSWORD, as in .env\n"
            "    tables:\n"
            "      orders: {cursor: at}\n"
        )
    )
    assert (project.root / ".env.example").read_text() == (
        "# first\n# HEADRACE_ENV=production\n\n"
        "# The password of the source crm's database.\n"
        "# HEADRACE_SOURCES__CRM__PASSWORD=the-password\n"
    )
    # a second one of the name is refused now
    assert "there is a source crm" in refused(project, SQL)
