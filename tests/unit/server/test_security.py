"""Who gets in, and what leaves with every answer."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from server_lab import TOKEN, Client, Project, assert_problem, write_project

from headrace.server import access
from headrace.server.access import COOKIE, SESSION_SECONDS, Access, is_loopback
from headrace.server.security import HEADERS, MAX_URL

HTML = {"accept": "text/html"}
FORM = {"content-type": "application/x-www-form-urlencoded", **HTML}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def client(project: Project) -> Iterator[Client]:
    with Client(project.state()) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(project: Project) -> Iterator[Client]:
    access = Access(host="0.0.0.0", token=TOKEN)  # noqa: S104
    with Client(project.state(), access) as found:
        yield found


def sign_in(client: Client, token: str = TOKEN, **more: Any) -> Any:
    headers = {**FORM, **more.pop("headers", {})}
    return client.ask("POST", "/login", data={"token": token, **more}, headers=headers)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200), ("/api/v1/home", 200), ("/healthz", 200), ("/static/icon.svg", 200),
        ("/nothing", 404), ("/api/v1/asset", 422), ("/api/openapi.json", 200),
    ],
)  # fmt: skip
def test_every_answer_has_the_headers(client: Client, path: str, status: int) -> None:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cache-control"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com", "127.0.0.1.evil.example.com", "localhost.evil.com:8585", "", "[::1",
        "127.0.0.1:80:80", "127.0.0.1:x", "10.0.0.1", "0.0.0.0:8585",
    ],
)  # fmt: skip
def test_another_host_is_refused(client: Client, host: str) -> None:
    answer = client.get("/api/v1/home", headers={"host": host})
    assert "serve.allowed_hosts" in assert_problem(answer, 421, "wrong_host")["hint"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8585", "127.0.0.1", "[::1]:8585", "localhost."]
)
def test_the_names_of_this_machine_are_good(client: Client, host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_a_name_of_the_settings_is_good_and_so_is_an_address_beyond_loopback() -> None:
    named = Access(allowed_hosts=("Data.Example.com",))
    assert named.is_allowed_host("data.example.com:443")
    assert not named.is_allowed_host("other.example.com")
    assert not named.is_allowed_host("192.168.0.7")
    wide = Access(host="0.0.0.0", token=TOKEN)  # noqa: S104
    assert wide.is_allowed_host("192.168.0.7:8585")
    assert wide.is_allowed_host("[fe80::1]:8585")
    assert not wide.is_allowed_host("evil.example.com")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/v1/home", "/login", "/healthz", "/static/icon.svg"])
def test_nothing_but_reading(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_long_address_and_a_large_body_are_refused(client: Client) -> None:
    answer = client.get("/api/v1/search", {"q": "x" * MAX_URL})
    assert_problem(answer, 414, "too_long")
    answer = client.ask("GET", "/api/v1/home", content=b"x" * 5000)
    assert_problem(answer, 413, "too_large")
    answer = client.get("/api/v1/home", headers={"content-length": "-1"})
    assert_problem(answer, 413, "too_large")


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
        f"Token {TOKEN}", "Bearer \xff", f"{TOKEN}",
    ],
)  # fmt: skip
def test_without_the_token_nothing_is_revealed(guarded: Client, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for path in ("/api/v1/home", "/api/openapi.json", "/", "/data/graph.json", "/nothing"):
        answer = guarded.ask("GET", path, headers=headers)
        assert_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "etag" not in answer.headers
        assert TOKEN not in answer.text


def test_with_the_token_everything_is(guarded: Client) -> None:
    for scheme in ("Bearer", "bearer"):
        headers = {"authorization": f"{scheme} {TOKEN}"}
        assert guarded.get("/api/v1/home", headers=headers).status_code == 200
        assert guarded.get("/", headers=headers).status_code == 200
    schema = guarded.get("/api/openapi.json", headers=headers).json()
    assert schema["security"] == [{"token": []}]


def test_health_and_style_need_no_token(guarded: Client) -> None:
    assert guarded.get("/healthz").json() == {"status": "ok"}
    assert guarded.get("/static/icon.svg").status_code == 200


def test_a_browser_is_sent_to_the_form_and_comes_back_where_it_was(project: Project) -> None:
    with Client(project.state(), Access(token=TOKEN)) as client:
        sent = client.get("/assets", {"kind": "model"}, HTML)
        assert sent.status_code == 303
        where = urlsplit(sent.headers["location"])
        assert where.path == "/login"
        assert parse_qs(where.query) == {"next": ["/assets?kind=model"]}
        form = client.get(sent.headers["location"], headers=HTML)
        assert 'name="token"' in form.text
        assert 'value="/assets?kind=model"' in form.text

        signed = sign_in(client, next="/assets?kind=model")
        assert signed.status_code == 303
        assert signed.headers["location"] == "/assets?kind=model"
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie  # the lab asks by plain HTTP
        assert TOKEN not in cookie
        session = cookie.partition(";")[0]
        page = client.get("/assets", headers={**HTML, "cookie": session})
        assert page.status_code == 200


def test_over_https_the_cookie_is_for_https_alone(project: Project) -> None:
    with Client(project.state(), Access(token=TOKEN), base="https://localhost") as client:
        assert "Secure" in sign_in(client).headers["set-cookie"]


@pytest.mark.parametrize("token", ["", "mistaken", f"{TOKEN} ", TOKEN.upper(), "\0", "x" * 4000])
def test_a_wrong_token_opens_nothing_and_is_not_logged(
    guarded: Client, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = sign_in(guarded, token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert "wrong token" in caplog.text
    assert not token.strip() or token not in caplog.text
    assert TOKEN not in caplog.text + answer.text


def test_a_form_of_another_site_opens_nothing(guarded: Client) -> None:
    answer = sign_in(guarded, headers={"origin": "https://evil.example.com"})
    assert answer.status_code == 401
    same = sign_in(guarded, headers={"origin": "http://127.0.0.1:8585"})
    assert same.status_code == 303


@pytest.mark.parametrize(
    "path", ["https://evil.com", "//evil.com", "/\\evil.com", "javascript:x", "/a\r\nset-cookie: x"]
)
def test_the_form_leads_to_no_other_site(guarded: Client, path: str) -> None:
    answer = sign_in(guarded, next=path)
    assert answer.headers["location"] == "/"
    page = guarded.get("/login", {"next": path}, HTML)
    assert "evil.com" not in page.text


def test_a_large_form_is_refused(guarded: Client) -> None:
    assert_problem(guarded.ask("POST", "/login", content=b"token=" + b"x" * 5000), 413, "too_large")


@pytest.mark.parametrize(
    "cookie", ["", "x", "1.x", "9999999999.", "-1.x", "9" * 400 + ".x", "٣.x", "99999999999.é"]
)
def test_a_made_up_cookie_opens_nothing(guarded: Client, cookie: str) -> None:
    headers = {"cookie": f"{COOKIE}={cookie}".encode()}
    assert_problem(guarded.ask("GET", "/api/v1/home", headers=headers), 401, "unauthorized")


def test_a_session_ends_and_belongs_to_its_token() -> None:
    access = Access(token=TOKEN)
    cookie = access.session(now=1000)
    assert access.is_session(cookie, now=1000 + SESSION_SECONDS - 1)
    assert not access.is_session(cookie, now=1000 + SESSION_SECONDS)
    assert not Access(token=TOKEN + "2").is_session(cookie, now=1000)
    ends, _, signature = cookie.partition(".")
    assert not access.is_session(f"{int(ends) + 1}.{signature}", now=1000)


def test_the_token_is_not_in_what_is_printed() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.0.1", False), ("example.com", False),  # noqa: S104
    ],
)  # fmt: skip
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.fixture
def attacked(project: Project) -> Iterator[Client]:
    """A server of its own, for wrong tokens until their address is locked out."""
    with Client(project.state(), Access(token=TOKEN)) as found:
        yield found


def test_many_wrong_tokens_lock_an_address_out_for_a_while(attacked: Client) -> None:
    for number in range(access.MAX_TOKENS):
        headers = {"authorization": f"Bearer wrong-{number}"}
        assert attacked.get("/api/v1/home", headers=headers).status_code == 401
    good = {"authorization": f"Bearer {TOKEN}"}
    answer = attacked.get("/api/v1/home", headers=good)
    found = assert_problem(answer, 429, "too_many_requests")
    assert 0 < int(answer.headers["retry-after"]) <= access.WINDOW
    assert "seconds" in found["hint"]
    refused = sign_in(attacked)
    assert refused.status_code == 429
    assert "set-cookie" not in refused.headers
    assert "Too many wrong tokens" in refused.text
    session = {"cookie": f"{COOKIE}={Access(token=TOKEN).session()}"}
    assert attacked.get("/api/v1/home", headers=session).status_code == 200, (
        "a session is not locked out"
    )


def test_one_wrong_token_sent_again_and_again_locks_out_nobody(attacked: Client) -> None:
    for _ in range(access.MAX_TOKENS + 5):
        headers = {"authorization": "Bearer the-token-of-last-year"}
        assert attacked.get("/api/v1/home", headers=headers).status_code == 401
    assert sign_in(attacked).status_code == 303


def test_wrong_tokens_are_forgotten_after_a_minute_and_belong_to_an_address() -> None:
    now = 1000.0
    known = access.RateLimit(clock=lambda: now)
    for number in range(access.MAX_TOKENS):
        assert known.wait("10.0.0.1") == 0
        known.add("10.0.0.1", f"wrong-{number}")
    assert known.wait("10.0.0.1") == access.WINDOW
    assert known.wait("10.0.0.2") == 0
    now += access.WINDOW - 1
    assert known.wait("10.0.0.1") == 1
    now += 1
    assert known.wait("10.0.0.1") == 0
