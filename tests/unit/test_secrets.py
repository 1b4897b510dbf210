"""What counts as a secret, and how it is masked."""

import base64
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from headrace import log_file, secrets


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    secrets.forget()
    yield
    secrets.forget()


@pytest.mark.parametrize(
    "name",
    [
        "token", "password", "passwd", "pwd", "PASSWORD", "db_password", "PGPASSWORD", "db_pass",
        "dsn", "auth", "passphrase", "connection_string", "connectionString", "conn_str", "jwt",
        "headers.Authorization", "X-Api-Key", "api_key", "apikey", "apiKey", "access_key",
        "secret_access_key", "aws_access_key_id", "private_key", "client_secret", "credentials",
        "pat", "sas", "sas_token", "signature", "session", "cookie", "bearer", "webhook_url",
        "accessToken", "refresh_token", "GITHUB_TOKEN", "AccountKey", "signing_key", "secrets",
    ],
)  # fmt: skip
def test_a_name_means_a_secret(name: str) -> None:
    assert secrets.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["primary_key", "tokens_per_page", "max_tokens", "path", "key", "keys", "sort_key", "author",
     "token_url", "compass", "pattern", "design", "sessions", "session_timeout", "oauth2_url"],
)  # fmt: skip
def test_a_name_means_none(name: str) -> None:
    assert not secrets.is_secret(name)


@pytest.mark.parametrize(
    ("options", "secret"),
    [
        ({"token": "abcd-efgh"}, "abcd-efgh"),
        ({"more": {"deep": [{"api_key": "abcd-efgh"}]}}, "abcd-efgh"),
        ({"password": 12345678}, "12345678"),
        ({"plain": SecretStr("abcd-efgh")}, "abcd-efgh"),
        ({"headers": {"X-Custom": "abcd-efgh"}}, "abcd-efgh"),
        ({"auth": {"type": "api_key", "key": "abcd-efgh"}}, "abcd-efgh"),
        ({"credentials": ["abcd-efgh"]}, "abcd-efgh"),
        ({"authorization": "Bearer abcd-efgh"}, "abcd-efgh"),
        ({"authorization": f"Basic {base64.b64encode(b'me:abcd-efgh').decode()}"}, "abcd-efgh"),
        ({"url": "postgresql://me:abcd-efgh@host/db"}, "abcd-efgh"),
        ({"url": "postgresql://me:abcd/efgh@host/db"}, "abcd/efgh"),
        ({"url": "postgresql://me:abcd%2Fefgh@host/db"}, "abcd/efgh"),
        ({"url": "https://abcd-efgh@host/db"}, "abcd-efgh"),
        ({"url": "https://host/a?x=1&api_key=abcd-efgh"}, "abcd-efgh"),
        ({"dsn": "host=h user=me password=abcd-efgh"}, "abcd-efgh"),
        ({"where": "Server=h;Pwd=abcd-efgh;Uid=me"}, "abcd-efgh"),
        ({"credentials": '{"client_id": "me", "private_key": "abcd-efgh"}'}, "abcd-efgh"),
        ({"webhook_url": "https://hooks.example.com/services/T0/abcd"}, "/services/T0/abcd"),
        ({"private_key": "-----BEGIN-----\nabcd-efgh\n-----END-----"}, "abcd-efgh"),
    ],
)
def test_a_value_is_masked_in_all_its_forms(options: dict[str, Any], secret: str) -> None:
    secrets.learn(options)
    for form in (
        secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"a user:{secret}".encode()).decode(),
        base64.urlsafe_b64encode(f"me:{secret}".encode()).decode(),
    ):  # fmt: skip
        found = secrets.hide(f"before {form} after")
        assert found == "before *** after", form
    assert secrets.hide("nothing of it") == "nothing of it"


@pytest.mark.parametrize("secret", ["short", "orders"[:5], "postgres", "Password", "1", "True"])
def test_a_short_or_common_value_masks_no_other_text(secret: str) -> None:
    secrets.learn({"password": secret})
    text = f"a text with {secret} in it"
    assert secrets.hide(text) == text
    assert secrets.hide_in({"password": secret, "text": text}) == {"password": "***", "text": text}
    assert secrets.hide(f"postgresql://me:{secret}@h") == "postgresql://me:***@h"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at https://me:p4ss@x.example/", "at https://me:***@x.example/"),
        ("at https://p4ss@x.example/", "at https://***@x.example/"),
        ("https://x.example:80/a@b", "https://x.example:80/a@b"),
        ("postgresql://reader@h/d", "postgresql://reader@h/d"),
        ("postgresql://user:password@host/database", "postgresql://user:password@host/database"),
        ("/a?x=1&token=p4&y=2", "/a?x=1&token=***&y=2"),
        ("/a?key=p4", "/a?key=***"),
        ("/a?X-Amz-Signature=p4&X-Amz-Date=1", "/a?X-Amz-Signature=***&X-Amz-Date=1"),
        ("host=h password=p4 user=u", "host=h password=*** user=u"),
        ("{'password': 'p4', 'user': 'u'}", "{'password': '***', 'user': 'u'}"),
        ('{"token": "p\\"4", "user": "u"}', '{"token": "***", "user": "u"}'),
        ("connect(password='p4', user='u')", "connect(password='***', user='u')"),
        ("Authorization: Bearer abcdefgh1", "Authorization: Bearer ***"),
        ("Bearer authentication failed", "Bearer authentication failed"),
        ("token = next(tokens)", "token = next(tokens)"),
        ("primary_key='id'", "primary_key='id'"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, expected: str) -> None:
    assert secrets.hide(text) == expected
    assert secrets.hide_values(text) == text, "what is data is not guessed at"


def test_variables_of_the_environment_by_their_names() -> None:
    secrets.learn_environment({
        "GITHUB_TOKEN": "abcd-1", "SOURCES__CRM__AUTH": "abcd-2", "DB": "mysql://u:abcd-3@h/d",
        "DESKTOP_SESSION": "ubuntu", "SSH_AUTH_SOCK": "/run/agent", "TOKEN": "/run/token-4",
    })  # fmt: skip
    text = "abcd-1 abcd-2 abcd-3 ubuntu /run/agent /run/token-4"
    assert secrets.hide_values(text) == "*** *** *** ubuntu /run/agent /run/token-4"


def test_another_project_is_another_set_of_secrets() -> None:
    secrets.learn({"token": "abcd-efgh"})
    secrets.forget()
    assert secrets.hide("abcd-efgh") == "abcd-efgh"


def test_files_are_rewritten_and_what_is_no_text_is_deleted(tmp_path: Path) -> None:
    secrets.learn({"token": "Abcd-efgh", "password": "customers"})
    (tmp_path / "a").mkdir()
    text, binary, other = tmp_path / "a" / "x.json", tmp_path / "x.pickle", tmp_path / "y.pickle"
    text.write_bytes(b'{"a": "Abcd-efgh",\r\n"b": "customers"}')
    binary.write_bytes(b"\xffAbcd-efgh")
    other.write_bytes(b"\xff")
    secrets.hide_in_files(tmp_path, ("**/*.json", "*.pickle"))
    # a password that is a word may be the name of a model
    assert text.read_bytes() == b'{"a": "***",\r\n"b": "customers"}'
    assert (binary.exists(), other.exists()) == (False, True)


def test_old_files_are_left_alone(tmp_path: Path) -> None:
    secrets.learn({"token": "Abcd-efgh"})
    path = tmp_path / "x.json"
    path.write_text("Abcd-efgh")
    secrets.hide_in_files(tmp_path, ("*",), since=path.stat().st_mtime + 1)
    assert path.read_text() == "Abcd-efgh"


def test_the_log_holds_no_secret(tmp_path: Path) -> None:
    secrets.learn({"token": "Abcd-efgh"})
    handler = log_file.open_log(tmp_path, "info")
    try:
        try:
            raise ValueError("Abcd-efgh at https://me:p4@h/?sig=p4")
        except ValueError:
            fields = {"token": "p4", "text": "Abcd-efgh", "path": Path("Abcd-efgh"), "n": 1}
            logging.getLogger("headrace").exception("%s", "Abcd-efgh", extra={"fields": fields})
    finally:
        log_file.close_log(handler)
    written = (tmp_path / "headrace.jsonl").read_text("utf-8")
    assert "Abcd" not in written
    assert "p4" not in written
    assert json.loads(written)["n"] == 1


def test_what_is_printed_holds_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets.learn({"token": "Abcd-efgh"})
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "write", stream.write)  # to be restored
    secrets.hide_in_output(sys.stdout, sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        print("Abcd-efgh", "https://h/?token=p4", file=stream)
    out, errors = capsys.readouterr()
    assert out == "*** https://h/?token=p4\n", "it may be data"
    assert errors == "*** https://h/?token=***\n"
