"""What is secret, and how it is kept out of all that is written.

Whatever leaves the process (log, console, run store, events, dlt's and dbt's files) goes through
``hide``. It masks by value and by form:

    settings, .env, environment ──► learn ──► values, as they are, URL-encoded, in base64 ──┐
                                                                                           ├─► hide
    URLs with a password or a secret parameter, `password=...`, `Authorization: ...` ──────┘

Values shorter than six characters and common words are masked only where the form tells, because
they would mask unrelated text.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from headrace import portable

MASK = "***"
SHORTEST = 6  # characters of a value that is masked wherever it stands
_COMMON = frozenset({
    "access", "anonymous", "bearer", "changeme", "default", "disabled", "enabled", "example",
    "headrace", "localhost", "postgres", "postgresql", "public", "reader", "readonly", "required",
    "secret", "string", "password", "sqlite", "duckdb", "username", "api_key", "apikey", "oauth2",
    "http_basic", "oauth2_client_credentials",
})  # fmt: skip
"""Words that are used as passwords, and far more often as words."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_KEYS = (
    "access|account|admin|api|app|auth|client|consumer|encryption|license|master|private|secret|"
    "service|shared|shared_access|signing|ssh|storage|subscription|write"
)
_NAME = re.compile(
    r"(^|_)(token|pass|pwd|passphrase|pat|sas|jwt|dsn|auth|authorization|bearer|cookies?|otp|"
    r"session|session_(id|key)|signature|sig|credentials?|webhook|webhook_ur[il]|conn_?str|"
    rf"connection_?string|({_KEYS})_?keys?|access_key_id)$|(password|passwd|secret|token|apikey)s?$"
)
_NOT_TOKENS = re.compile(r"(^|_)tokens$")
_AMBIGUOUS = re.compile(r"(^|_)(auth|cookies?|pass|pat|sas|session|session_id|sig|signature)$")
"""Names that mean other things in the environment of a desktop."""
_HEADERS = re.compile(r"(^|_)headers$")
_PLAIN_HEADERS = frozenset({"accept", "accept_encoding", "accept_language", "content_type", "host",
                            "user_agent"})  # fmt: skip
_PARAMETERS = frozenset({"code", "key"})
"""Parameters of a URL that are secret there; as names of options they are not."""

_USER = re.compile(r"(?<=://)([^/\s:@?#'\"<>`]*):(?!password@)[^/\s'\"<>`]*@")
_HTTP_USER = re.compile(r"(https?://)[^/\s:@?#'\"<>`]+@")
_PARAMETER = re.compile(r"(?<=[?&;])([\w.%~\[\]-]{1,64})=([^&\s#\"'<>`;)]+)")
_ASSIGNED = re.compile(
    r"(?<![\w?&;.-])(password|passwd|pwd|passphrase|accountkey|sharedaccesskey|"
    r"sharedaccesssignature|secret|api_?key)=([^\s;&,'\")]+)",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"(?P<head>(?P<mark>[\"']?)(?P<name>[A-Za-z][\w-]{1,64})(?P=mark)(?:\s*:\s*|=)[rbf]?)"
    r"(?P<quote>[\"'])(?P<value>(?:\\.|(?!(?P=quote)).)+)(?P=quote)"
)
_SCHEME = re.compile(
    r"\b(Bearer|Basic|Token)(\s+)(?=[^\s'\"]*\d|[^\s'\"]{24})[\w.~+/=-]{8,}", re.IGNORECASE
)


def is_secret(option: str) -> bool:
    """Whether an option is a secret, by its name: ``db_password``, ``apiKey``, ``X-Auth-Token``."""
    name = _plain_name(option)
    return _NAME.search(name) is not None and _NOT_TOKENS.search(name) is None


def may_be_mapping(option: str) -> bool:
    """Whether the value of a secret option may be a mapping or a list, such as ``credentials``."""
    return re.search(r"(auth|credentials?|cookies)$", _plain_name(option)) is not None


class _Known:
    """The values that are masked wherever they stand."""

    values: frozenset[str] = frozenset()
    plain: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()

    def set(self, values: Iterable[str]) -> None:
        self.values = frozenset(
            value
            for value in values
            if len(value) >= SHORTEST and value.casefold() not in _COMMON and value.strip("*")
        )
        plain = {form for value in self.values for form in _forms(value)}
        self.plain = tuple(sorted(plain, key=len, reverse=True))
        self.encoded = tuple({form for value in self.values for form in _base64(value)})


_known = _Known()


def forget() -> None:
    """Know no secret any more: another project is resolved."""
    _known.set(())


def learn(options: Mapping[str, Any]) -> None:
    """Remember the secrets among options, nested ones and those inside URLs, too."""
    found = set(_known.values)
    for path, value in _leaves(options, ()):
        text = str(value.get_secret_value() if _is_secret_str(value) else value)
        is_whole = _is_secret_str(value) or _is_secret_path(path)
        found.update(_parts(text) if is_whole else _inside(text))
    if found != _known.values:
        _known.set(found)


def learn_environment(variables: Mapping[str, str | None]) -> None:
    """Remember the secrets of an environment: by the variables' names, and inside URLs."""
    found = set(_known.values)
    for variable, text in variables.items():
        *sections, name = variable.split("__")
        is_ours = bool(sections)  # HEADRACE_SOURCES__CRM__TOKEN, SOURCES__CRM__TOKEN of dlt
        is_path = (text or "").startswith(("/", "~"))
        is_meant = is_ours or not (is_path or _AMBIGUOUS.search(_plain_name(name)))
        if text:
            found.update(_parts(text) if is_secret(name) and is_meant else _inside(text))
    if found != _known.values:
        _known.set(found)


def known() -> frozenset[str]:
    """The secrets that are masked, for another process to learn."""
    return _known.values


def learn_known(values: frozenset[str]) -> None:
    """Remember the secrets that another process knows."""
    if not values <= _known.values:
        _known.set(_known.values | values)


def hide(text: str) -> str:
    """The text with every secret masked: those that are known, and what looks like one."""
    return without_credentials(hide_values(text))


def hide_values(text: str) -> str:
    """The text with the secrets masked that are known by value, and nothing else changed."""
    return _replaced(text, _known.plain)


def _replaced(text: str, plain: Iterable[str]) -> str:
    for form in plain:
        if form in text:
            text = text.replace(form, MASK)
    for form in _known.encoded:
        if form in text:
            text = re.sub(rf"[\w+/-]*{re.escape(form)}[\w+/=-]*", MASK, text)
    return text


def without_credentials(text: str) -> str:
    """The text with what looks like a credential masked: in URLs, assignments and headers."""
    if "://" in text:
        text = _USER.sub(rf"\1:{MASK}@", text)
        text = _HTTP_USER.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _PARAMETER.sub(_parameter, text)
        text = _ASSIGNED.sub(rf"\1={MASK}", text)
    text = _QUOTED.sub(_quoted, text)
    return _SCHEME.sub(rf"\1\2{MASK}", text)


def hide_in(value: Any, hidden: Callable[[str], str] = hide) -> Any:
    """A value with the secrets masked in all its texts, and below names that mean a secret."""
    return _shown(value, (), hidden)


def hide_in_output(output: TextIO, errors: TextIO) -> None:
    """Mask secrets in all that is printed; in the output, which may be data, by value alone."""
    for stream, hidden in ((output, hide_values), (errors, hide)):
        stream.write = _hiding(stream.write, hidden)  # type: ignore[method-assign]


def _hiding(write: Callable[[str], int], hidden: Callable[[str], str]) -> Callable[[str], int]:
    return lambda text: write(hidden(text))


def hide_in_files(folder: Path, patterns: Iterable[str], *, since: float = 0.0) -> None:
    """Mask the secrets that are known by value in files that a library wrote.

    Args:
        folder: where they are.
        patterns: of their names, for ``Path.glob``. A file that is no text and holds a secret is
            deleted: it is a cache or a trace.
        since: seconds since the epoch; older files are left alone.

    Raises:
        OSError: one cannot be read or written.
    """
    plain = [form for form in _known.plain if not _is_word(form)]
    forms = [form.encode() for form in (*plain, *_known.encoded)]
    if not forms:
        return
    for pattern in patterns:
        for path in folder.glob(pattern):
            if not path.is_file() or path.stat().st_mtime < since:
                continue
            content = path.read_bytes()
            if not any(form in content for form in forms):
                continue
            try:
                text = _replaced(content.decode("utf-8"), plain)
            except UnicodeDecodeError:
                path.unlink()
            else:
                portable.write_file(path, text)


def _plain_name(option: str) -> str:
    return "_".join(_WORDS.findall(option)).lower()


def _is_secret_str(value: Any) -> bool:
    """Whether it is pydantic's ``SecretStr``, which takes long to import."""
    return hasattr(value, "get_secret_value")


def _is_word(value: str) -> bool:
    """Whether a value could be a name in a file of dbt, which must not be changed there."""
    return re.fullmatch(r"[a-z_]+", value) is not None


def _is_secret_path(path: tuple[str, ...]) -> bool:
    """Whether what stands at a path of names is a secret; an index is an empty name."""
    names = [name for name in path if name]
    if not names:
        return False
    *above, last = names
    if is_secret(last):
        return True
    if any(_HEADERS.search(_plain_name(name)) for name in above[-1:]):
        return _plain_name(last) not in _PLAIN_HEADERS
    return any(is_secret(name) for name in above[-1:]) and last in {"key", "value"}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _leaves(inner, (*path, ""))
    elif value is not None and not isinstance(value, bool):
        yield path, value


def _shown(value: Any, path: tuple[str, ...], hidden: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _shown(inner, (*path, str(name)), hidden) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(inner, (*path, ""), hidden) for inner in value]
    if _is_secret_str(value) or (
        value is not None and not isinstance(value, bool) and _is_secret_path(path)
    ):
        return MASK
    return hidden(value) if isinstance(value, str) else value


def _parts(text: str) -> Iterator[str]:
    """What is secret of a secret: of a URL and of a JSON object not the whole text."""
    text = text.strip()
    scheme, _, rest = text.partition(" ")
    if rest and scheme.casefold() in {"bearer", "basic", "token", "apikey", "key"}:
        yield rest.strip()
        yield from _decoded(rest.strip())
        return
    inside = set(_inside(text))
    yield from inside
    if "://" in text:
        parts = urlsplit(text)
        if not inside and parts.path.strip("/"):
            yield f"{parts.path}?{parts.query}" if parts.query else parts.path
    elif not inside or not re.match(r"\w+=|\{", text):
        yield text
        lines = text.splitlines()
        yield from (line for line in lines if len(lines) > 1 and not line.startswith("-----"))


def _inside(text: str) -> Iterator[str]:
    """The secrets inside a text: of a URL, of ``password=...``, of a JSON object."""
    if "://" in text:
        yield from _in_url(text)
    elif "=" in text:
        for name, value in re.findall(r"([\w ]+?)\s*=\s*('[^']*'|[^\s;,&]+)", text):
            if is_secret(name.strip()):
                yield value.strip("'")
    if text.startswith("{"):
        with suppress(ValueError):
            for path, value in _leaves(json.loads(text), ()):
                if _is_secret_path(path):
                    yield from _parts(str(value))


def _in_url(text: str) -> Iterator[str]:
    """The password, a user that stands alone, and the parameters that are secret."""
    scheme, _, rest = text.partition("://")
    is_http = scheme.endswith(("http", "https"))
    # of a database's URL SQLAlchemy takes a password with a slash in it, too
    password = r"[^/\s]*" if is_http else r"[^\s]*"
    found = re.match(rf"([^:/@\s]*)(?::({password}))?@", rest)
    if found is not None and (found[2] or is_http):
        secret = found[2] or found[1]
        yield from (secret, unquote(secret), unquote_plus(secret))
    for name, value in parse_qsl(rest.partition("?")[2].partition("#")[0]):
        if is_secret(name) or name in _PARAMETERS:
            yield value


def _decoded(text: str) -> Iterator[str]:
    """The password of basic authentication."""
    try:
        pair = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return
    if ":" in pair:
        yield pair.partition(":")[2]


def _forms(value: str) -> set[str]:
    """How a value is written: as it is, in a URL, in JSON, in a page, as Python shows it."""
    encoded = {quote(value, safe=""), quote(value), quote_plus(value)}
    encoded |= {re.sub(r"%..", lambda code: code[0].lower(), one) for one in encoded}
    return encoded | {value, json.dumps(value)[1:-1], repr(value)[1:-1], html.escape(value)}


def _base64(value: str) -> Iterator[str]:
    """What base64 of any text that holds the value has in common, by where it stands in it."""
    for before in range(3):
        raw = b"\0" * before + value.encode("utf-8", "surrogatepass")
        first, end = -(-before * 8 // 6), len(raw) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(raw).decode()[first:end]
            if len(form) >= SHORTEST + 1:
                yield form


def _parameter(found: re.Match[str]) -> str:
    name = unquote(found[1])
    is_masked = is_secret(name) or name in _PARAMETERS
    return f"{found[1]}={MASK}" if is_masked else found[0]


def without_user(text: str) -> str:
    """The text with no user and no password in its addresses."""
    return re.sub(r"://[^/@\s]+@", "://", text)


def public_url(url: str) -> str:
    """An address without its user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _quoted(found: re.Match[str]) -> str:
    if not is_secret(found["name"]):
        return found[0]
    return f"{found['head']}{found['quote']}{MASK}{found['quote']}"
