"""Rows of an API: types over all rows, names of their own, cursors by their meaning, no leak."""

import gzip
import json
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from headrace.errors import SourceError
from headrace.ingest.model import SchemaContract
from headrace.ingest.rest import ApiLimits, ApiResource
from headrace.ingest.rest.session import open_session
from rest_lab import Asked, Reply, RestLab, serve

pytestmark = pytest.mark.slow

TOKEN = "s3cret-of-the-test"  # noqa: S105 - of a server on this machine


def load(lab: RestLab, *bodies: bytes | str, **options: Any) -> None:
    """Load pages, as they are written."""

    def answer(asked: Asked) -> Reply:
        number = int(asked.query.get("page", "0"))
        body = bodies[number]
        is_last = number + 1 == len(bodies)
        link = {} if is_last else {"Link": f'</orders?page={number + 1}>; rel="next"'}
        return Reply(body.encode() if isinstance(body, str) else body, link)

    with serve(answer) as api:
        lab.load(api.url, **options)


def failure(lab: RestLab, *bodies: bytes | str, **options: Any) -> str:
    with pytest.raises(SourceError) as caught:
        load(lab, *bodies, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_types_hold_for_all_rows_and_pages(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    load(
        lab,
        '[{"id": 1, "total": 5, "ref": 12345678901234567890, "wide": 0.12345678901234567890, '
        '"at": "2024-01-05T10:00:00.123456789Z", "late": null, "mixed": true, "on": true, '
        '"moment": "2024-01-05T10:00:00+02:00", "local": "2024-01-05T10:00:00"}]',
        '[{"id": 2, "total": 6.5, "ref": 1, "wide": 1, "at": "2024-01-05T10:00:00Z", "late": 7, '
        '"mixed": 1, "on": false, "moment": "2024-01-05T10:00:00.5Z", "local": null}]',
    )
    assert lab.types() == {
        "id": "BIGINT", "total": "DOUBLE", "ref": "DECIMAL(38,0)", "wide": "DECIMAL(38,20)",
        "at": "VARCHAR", "late": "BIGINT", "mixed": "VARCHAR", "on": "BOOLEAN",
        "moment": "TIMESTAMP WITH TIME ZONE", "local": "TIMESTAMP",
    }  # fmt: skip
    assert lab.query(
        "select total, ref::varchar, wide::varchar, \"at\", late, mixed, moment::varchar "
        "from crm_raw.orders order by id"
    ) == [
        (
            5.0, "12345678901234567890", "0.12345678901234567890",
            "2024-01-05T10:00:00.123456789Z", None, "true", "2024-01-05 08:00:00+00",
        ),
        (
            6.5, "1", "1.00000000000000000000", "2024-01-05T10:00:00Z", 7, "1",
            "2024-01-05 10:00:00.5+00",
        ),
    ]  # fmt: skip


def test_wide_numbers_in_lists_are_text(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    load(lab, '[{"id": 1, "lines": [{"n": 12345678901234567890, "v": 1}, {"n": 1, "v": 1.5}], '
         '"codes": ["01", "2024-01-05T10:00:00Z"], "matrix": [[1, 2], [3]]}]')  # fmt: skip
    assert lab.query("select n, v from crm_raw.orders__lines order by v") == [
        ("12345678901234567890", 1.0), ("1", 1.5),
    ]  # fmt: skip
    codes = lab.query("select value from crm_raw.orders__codes order by _dlt_list_idx")
    assert codes == [("01",), ("2024-01-05T10:00:00Z",)]
    assert lab.query("select count(*) from crm_raw.orders__matrix__list") == [(3,)]


def test_names_that_are_alike_keep_their_values(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    body = (
        '[{"id": 1, "name": "a", "Name": "b", "Order ID": 1, "order-id": 2, '
        '"in": {"x": 1, "X": 2}, "lines": [{"k": 1, "K": 2}]}]'
    )
    for _ in range(2):
        load(lab, body)
        assert lab.query(
            "select name, name_2, order_id, order_id_2, in__x, in__x_2 from crm_raw.orders"
        ) == [("a", "b", 1, 2, 1, 2)]
        assert lab.query("select k, k_2 from crm_raw.orders__lines") == [(1, 2)]
    assert any("'Name' is name_2" in note for note in lab.told[0].notes)
    assert not lab.told[1].notes


def test_objects_and_scalars_in_one_field(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    load(lab, '[{"id": 1, "a": {"b": 1}}, {"id": 2, "a": "x"}, {"id": 3, "a": [5]}]')
    assert lab.query("select id, a__b, a from crm_raw.orders order by id") == [
        (1, 1, None), (2, None, "x"), (3, None, None),
    ]  # fmt: skip
    assert lab.query("select value from crm_raw.orders__a") == [(5,)]


def test_a_value_that_does_not_fit_a_column_that_is_there(tmp_path: Path) -> None:
    """The remedies that the message names are carried out."""
    lab = RestLab(tmp_path)
    load(lab, '[{"id": 1, "total": 5}]')
    both = '[{"id": 1, "total": 5}, {"id": 2, "total": 6.5}]'
    assert failure(lab, both) == (
        "source crm: orders.total is bigint, and a row came with '6.5' there (id 2): to have the "
        "type decided again from all rows, run `headrace load --full-refresh --source crm`; or set "
        "sources.crm.schema_contract to {data_type: evolve} (such values go to a column of their "
        "own), discard_value or discard_row"
    )
    load(lab, both, contract=SchemaContract(data_type="evolve"))
    found = lab.query("select total, total__v_double from crm_raw.orders order by id")
    assert found == [(5, None), (None, 6.5)]
    load(lab, both, full_refresh=True)
    assert lab.query("select total from crm_raw.orders order by id") == [(5.0,), (6.5,)]
    assert lab.types()["total"] == "DOUBLE"


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("1", "12345678901234567890"), ("1", '"007"'), ("1.5", "0.12345678901234567890"),
        ('"2024-01-05T10:00:00Z"', '"2024-01-05T10:00:00.123456789Z"'), ("true", "1"),
        ('"2024-01-05T10:00:00Z"', '"yesterday"'),
    ],
)  # fmt: skip
def test_no_value_is_bent_to_fit(first: str, later: str, tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    load(lab, f'[{{"id": 1, "v": {first}}}]')
    before = lab.query("select * from crm_raw.orders")
    assert "orders.v is " in failure(lab, f'[{{"id": 2, "v": {later}}}]')
    assert lab.query("select * from crm_raw.orders") == before
    load(lab, f'[{{"id": 2, "v": {later}}}]', contract=SchemaContract(data_type="discard_row"))
    assert lab.told[-1].rows_quarantined == lab.told[-1].rows_given == 1


CURSOR = ApiResource(primary_key=["id"], cursor="at", start_param="since")


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [
        ("2024-10-27T02:50:00+02:00", "2024-10-27T02:15:00+01:00", "second"),
        ("2024-01-01T10:00:00.250Z", "2024-01-01T10:00:00Z", "first"),
        ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00.250Z", "second"),
        ("2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00Z", "second"),
        ("9", "10", "second"),
        (9, 10, "second"),
        ("2024-01-31", "2024-02-01", "second"),
    ],
)
def test_cursors_by_their_meaning(first: Any, second: Any, newest: str, tmp_path: Path) -> None:
    """Rows that the API gives are kept, whatever their cursor; the newest is asked for next."""
    lab = RestLab(tmp_path)
    load(lab, json.dumps([{"id": 1, "at": first}]), defaults=CURSOR)
    load(lab, json.dumps([{"id": 1, "at": first}, {"id": 2, "at": second}]), defaults=CURSOR)
    assert lab.query("select id from crm_raw.orders order by id") == [(1,), (2,)]
    with serve(lambda _: []) as api:
        lab.load(api.url, defaults=CURSOR)
        assert api.asked[0].query == {"since": str(first if newest == "first" else second)}


def test_a_cursor_that_cannot_be_ordered_is_refused(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    body = '[{"id": 1, "at": "31/12/2024"}]'
    message = failure(lab, body, defaults=CURSOR)
    assert "the cursor at cannot be ordered: '31/12/2024' is a date, but not in ISO form" in message
    assert "set cursor_type at sources.crm.resource_defaults" in message
    load(lab, body, defaults=ApiResource(primary_key=["id"], cursor="at", cursor_type="text"))
    assert "a row has no field 'at'" in failure(lab, '[{"id": 1}]', defaults=CURSOR)


@pytest.mark.parametrize(
    ("value", "lag", "asked"),
    [
        ("2024-01-01T10:00:00Z", 3600, "2024-01-01T09:00:00Z"),
        ("2024-01-01T10:00:00+02:00", 60, "2024-01-01T09:59:00+02:00"),
        ("2024-03-01", 1, "2024-02-29"),
        (100, 10, "90"),
    ],
)
def test_a_lag_for_late_rows(value: Any, lag: float, asked: str, tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    late = ApiResource(primary_key=["id"], cursor="at", lag=lag)
    load(lab, json.dumps([{"id": 1, "at": value}]), defaults=late)
    with serve(lambda _: []) as api:
        lab.load(api.url, defaults=late)
        assert api.asked[0].query == {"since": asked}


@pytest.mark.parametrize("way", ["body", "header", "redirect", "no scheme", "userinfo"])
def test_credentials_stay_with_the_host(way: str, tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    last = [{"id": 2}]
    with serve(lambda _: {"data": last} if way in {"body", "no scheme"} else last) as other:
        there = f"{other.url}/orders?x=1"

        def answer(asked: Asked) -> Any:
            if way == "redirect":
                return Reply([], {"Location": there}, 302)
            if way == "header":
                return Reply([{"id": 1}], {"Link": f'<{there}>; rel="next"'})
            link = {
                "body": there,
                "no scheme": there.removeprefix("http:"),
                "userinfo": there.replace("//", f"//{asked.headers['Host']}@"),
            }[way]
            return {"data": [{"id": 1}], "next": link}

        with serve(answer) as api, pytest.raises(SourceError) as caught:
            lab.load(api.url, token=TOKEN)
        assert other.asked == []
        assert str(caught.value) == (
            f"source crm: the API leads to another host, {other.url}, which would get the "
            f"credentials: set sources.crm.allowed_hosts to ['{other.url}'] if it may have them"
        )
        if way != "userinfo":
            with serve(answer) as api:
                lab.load(api.url, token=TOKEN, allowed_hosts=(other.url,))
            assert lab.query("select max(id) from crm_raw.orders") == [(2,)]


def test_a_redirect_on_the_same_host_is_followed(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "/orders":
            return Reply([], {"Location": "/v2/orders"}, 307)
        return [{"id": 1, "sent": asked.headers.get("Authorization")}]

    lab = RestLab(tmp_path)
    with serve(answer) as api:
        lab.load(api.url, token=TOKEN)
    assert lab.query("select sent from crm_raw.orders") == [(f"Bearer {TOKEN}",)]


def test_a_redirect_to_plain_http_of_the_same_host_is_refused() -> None:
    """The scheme is part of where credentials may go, and so is a subdomain."""
    session = open_session(
        "crm", "https://api.example.com/v1", (), ApiLimits(), timeout=1, max_attempts=1, max_wait=0
    )
    for url, shown in (
        ("http://api.example.com/v1/orders", "http://api.example.com"),
        ("https://files.api.example.com/v1", "https://files.api.example.com"),
        ("https://api.example.com.evil.example/v1", "https://api.example.com.evil.example"),
        ("https://api.example.com:8443/v1", "https://api.example.com:8443"),
    ):
        with pytest.raises(SourceError, match="leads to another host") as caught:
            session.get(url, headers={"Authorization": "Bearer x"})
        assert f", {shown}, " in str(caught.value)


def test_a_cookie_of_one_host_is_not_sent_to_another(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    with serve(lambda _: [{"id": 2}]) as other:
        there = other.url.replace("127.0.0.1", "localhost") + "/orders?x=1"

        def answer(asked: Asked) -> Any:
            headers = {"Link": f'<{there}>; rel="next"', "Set-Cookie": "session=hush; Path=/"}
            return Reply([{"id": 1}], headers)

        with serve(answer) as api:
            lab.load(api.url, allowed_hosts=(there.partition("/orders")[0],))
        assert ["Cookie" in asked.headers for asked in other.asked] == [False]


@contextmanager
def dripping(head: bytes, seconds: float) -> Iterator[str]:
    """A server that sends a head at once, and then one byte at a time for ever."""
    ended = Event()

    def talk(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                while not ended.wait(seconds):
                    connection.sendall(b"a")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=talk, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Drip: ", id="header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n270f\r\n[", id="chunk"),
    ],
)
def test_an_answer_that_drips_is_ended(head: bytes, tmp_path: Path) -> None:
    with dripping(head, 0.05) as url, pytest.raises(SourceError) as caught:
        RestLab(tmp_path).load(url, limits=ApiLimits(max_response_seconds=0.5))
    told = f"source crm: the answer of {url}/orders takes longer than 0.5 seconds"
    assert str(caught.value).startswith(told)


GOOD = b'[{"id": 1, "name": "a", "lines": [{"n": 1.5}], "at": "2024-01-01T00:00:00Z"}]'
BAD = [
    GOOD[:-5], b"", b"  ", b"<html>Log in</html>", b"null", b"[NaN]", b'[{"id": Infinity}]',
    b'[{"id": 1, "a": 1, "a": 2}]', b'[{"id": "\xff"}]', b"[" * 100_000, b"7" * 5_000,
    b'[{"id": 1, "x": ' + b'{"a": ' * 80 + b"1" + b"}" * 81 + b"]", b"[1, null]", b'"x"', b"true",
    b'[{"id": 1, "x": 1e999999999999999999999}]', b'[{"id": null}]', b"[[]]", b"{}",
]  # fmt: skip


def test_answers_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    """One line for each, or all rows."""
    random.seed(7)
    mutated = []
    for _ in range(60):
        changed = bytearray(GOOD)
        for _ in range(random.randint(1, 3)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        mutated.append(bytes(changed))
    for number, body in enumerate((*BAD, *mutated)):
        lab = RestLab(tmp_path / str(number))
        lab.folder.mkdir()
        with serve(lambda _, body=body: Reply(body)) as api:  # type: ignore[misc]
            message = ""
            try:
                lab.extract(api.url)
            except SourceError as error:
                message = str(error)
            if message:
                assert message.startswith("source crm: "), body
                assert "\n" not in message, body
            else:
                assert lab.told[0].rows_given == (body != b"null"), body


def test_numbers_beyond_all_types_are_kept_as_text(tmp_path: Path) -> None:
    lab = RestLab(tmp_path)
    load(lab, f'[{{"id": 1, "a": 1e999, "b": {"9" * 60}, "c": 1e-400}}]')
    found = lab.query("select a, b, c from crm_raw.orders")
    assert found == [("1E+999", "9" * 60, "1E-400")]


def test_a_gzip_bomb_is_bounded(tmp_path: Path) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    reply = Reply(bomb, {"Content-Encoding": "gzip"})
    with serve(lambda _: reply) as api, pytest.raises(SourceError, match="is larger than 5 MB"):
        RestLab(tmp_path).load(api.url, limits=ApiLimits(max_response_mb=5))
