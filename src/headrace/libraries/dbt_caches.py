"""What dbt works out again in each process, kept between processes: the same results, sooner.

    a template (a macro, a model's SQL)  ─► Python code by Jinja
    a macro                              ─► its arguments and what it calls, by Jinja
    a class that dbt writes as JSON      ─► its methods by mashumaro: mashumaro.py
    a dataclass                          ─► its methods by Python, as text ─► Python code
    a class of dbt's settings            ─► JSON schema by mashumaro

All follow from their input and the versions of the libraries alone. A damaged file counts as none.
They are kept beside Python's bytecode of this module, for every project of the environment, and
what is not found there in the project. While they are taken, so is all of ``dbt_shortcuts``.
"""

import dataclasses
import functools
import importlib.util
import json
import marshal
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any, cast

from headrace import portable
from headrace.libraries import dbt_shortcuts, mashumaro

_PACKAGES = ("dbt-core", "dbt-common", "dbt-adapters", "dbt-duckdb", "jinja2", "mashumaro")
_FORMAT = 3  # of the file; another one is read as none
_DIGEST = 16  # bytes before the content, by which a damaged file is known
_SHARE_THAT_IS_WRITTEN = 0.2
_ENVIRONMENTS = 3  # that use the same source code, of which a file has methods
_NONE = pickle.dumps([])
MOST_TEMPLATES = 20_000  # templates; where there are more, those that were not used now are dropped


@dataclass
class _Cache:
    """The content of a file.

    Attributes:
        path: of the file.
        code: digest of a template and its environment, or of the text of methods, to Python's code
            in marshal's format; digest of a macro to what dbt asks of it, pickled.
        schemas: name of a class to its JSON schema, as JSON.
        methods: of mashumaro, in this environment.
        others: those of other environments, pickled, by their folders.
        used: templates that this process took or added.
        is_new: whether something was added.
        shared: what all projects of the environment have, if this is a project's.
    """

    path: Path
    code: dict[bytes, bytes] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)
    methods: list[mashumaro.Method] = field(default_factory=list)
    others: dict[str, bytes] = field(default_factory=dict)
    used: set[bytes] = field(default_factory=set)
    is_new: bool = False
    shared: "_Cache | None" = None

    def compiled(self, key: bytes, make: Callable[[], CodeType]) -> CodeType:
        """The code of a key, which is made and added where there is none."""
        if found := self.find(key):
            code: CodeType = marshal.loads(found)  # noqa: S302 - our own
            return code
        made = make()
        self.add(key, marshal.dumps(made))
        return made

    def find(self, key: bytes) -> bytes | None:
        """What is kept of a key."""
        self.used.add(key)
        return self.code.get(key) or (self.shared.code.get(key) if self.shared else None)

    def add(self, key: bytes, content: bytes) -> None:
        self.code[key] = content
        self.is_new = True

    def schema(self, name: str) -> str | None:
        """The JSON schema of a class, if it is there."""
        return self.schemas.get(name) or (self.shared.schemas.get(name) if self.shared else None)

    def most_methods(self) -> list[mashumaro.Method]:
        """Each has all that its own need, so one of them will do."""
        shared = self.shared.methods if self.shared else []
        return max(shared, self.methods, key=len)

    def read(self) -> None:
        with suppress(Exception):  # whatever a damaged file makes of it
            whole = self.path.read_bytes()
            digest, content = whole[:_DIGEST], whole[_DIGEST:]
            if _digest(content) != digest:
                return  # damaged code could stop Python itself
            found = pickle.loads(content)  # noqa: S301 - our own
            if found["versions"] == versions():
                self.code, self.schemas = found["code"], found["schemas"]
                self.others = found["methods"]
                self.methods = pickle.loads(self.others.pop(sys.prefix, _NONE))  # noqa: S301
                if not mashumaro.are_current(self.methods):
                    self.methods = []

    def write(self) -> None:
        if not self.is_new:
            return
        code = dict(self.code)
        if len(code) > MOST_TEMPLATES:
            code = {key: value for key, value in code.items() if key in self.used}
        newest = list(self.others.items())[1 - _ENVIRONMENTS :]
        methods = {**dict(newest), sys.prefix: pickle.dumps(self.methods)}
        content = {
            "versions": versions(), "code": code, "schemas": dict(self.schemas), "methods": methods,
        }  # fmt: skip
        data = pickle.dumps(content)
        with suppress(OSError):  # without it the next process works it out again
            portable.write_file(self.path, _digest(data) + data)
            self.is_new = False

    def share(self) -> None:
        """Add to what all projects have, if it grows by a fifth: so few processes write it."""
        shared = self.shared
        if shared is None or not self.is_new or sys.dont_write_bytecode:
            return
        code, schemas = shared.code | self.code, shared.schemas | self.schemas
        made = self.most_methods()
        before = (len(shared.code) + len(shared.schemas), len(shared.methods))
        now = (len(code) + len(schemas), len(made))
        more = 1 + _SHARE_THAT_IS_WRITTEN
        has_grown = any(new > old * more for old, new in zip(before, now, strict=True))
        if has_grown and now[0] <= MOST_TEMPLATES:
            shared.code, shared.schemas, shared.methods, shared.is_new = code, schemas, made, True
            shared.write()
        if not shared.is_new:  # else it could not be written
            self.code = {key: one for key, one in self.code.items() if key not in shared.code}
            self.schemas = {
                name: one for name, one in self.schemas.items() if name not in shared.schemas
            }
            self.methods = [] if len(shared.methods) >= len(self.methods) else self.methods


@functools.cache
def versions() -> str:
    """Of Python and the libraries that the content of a file follows from."""
    found = [f"format {_FORMAT}", sys.version, importlib.util.MAGIC_NUMBER.hex()]
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return "\n".join(found)


caches: dict[Path, _Cache] = {}
"""Those that this process has opened, by their file."""
_lock = threading.Lock()


@contextmanager
def kept(path: Path, *, hears_all: bool = True) -> Iterator[None]:
    """Have dbt take what it needs from a file, and add to it what is missing there.

    Args:
        path: of the file; the caller sees to it that no other process writes it.
        hears_all: whether somebody hears all of dbt's events, and not only those of ``HEARD``.
    """
    cache = _opened(path)
    with (
        _templates(cache),
        _schemas(cache),
        _macros_parsed_once(cache),
        dbt_shortcuts.taken(hears_all=hears_all),
    ):
        yield
    made = mashumaro.methods.gather()
    if len(made) > len(cache.most_methods()):
        cache.methods, cache.is_new = list(made), True
    cache.share()
    cache.write()


def of_environment() -> Path:
    """The file that all projects share, where Python keeps the bytecode of this module."""
    return Path(importlib.util.cache_from_source(__file__)).with_suffix(".cache")


def _opened(path: Path) -> _Cache:
    with _lock:
        for each in (of_environment(), path):
            if each not in caches:
                caches[each] = _Cache(each)
                caches[each].read()
        cache = caches[path]
        cache.shared = caches[of_environment()]
        return cache


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST).digest()


def _key(kind: str, text: str) -> bytes:
    return blake2b(f"{kind}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


@contextmanager
def methods_kept(path: Path) -> Iterator[None]:
    """The same for the methods of classes, also while dbt is imported; ``kept`` writes the file.

    Args:
        path: of the file.
    """
    cache = _opened(path)

    def execute(text: str, names: dict[str, Any], made: dict[str, Any]) -> None:
        code = cache.compiled(
            _key("methods", text), lambda: compile(text, "<string>", "exec", dont_inherit=True)
        )
        exec(code, names, made)  # noqa: S102 - as Python does

    dataclasses.__dict__.setdefault("exec", execute)  # instead of the builtin
    try:
        with mashumaro.kept(cache.most_methods()):
            yield
    finally:
        if dataclasses.__dict__.get("exec") is execute:
            del dataclasses.__dict__["exec"]


@contextmanager
def _templates(cache: _Cache) -> Iterator[None]:
    from dbt_common.clients import jinja

    environment: Any = jinja.MacroFuzzEnvironment
    original = environment.compile

    def compile_(
        self: Any,
        source: Any,
        name: str | None = None,
        filename: str | None = None,
        raw: bool = False,
        defer_init: bool = False,
    ) -> Any:
        is_plain = isinstance(source, str) and not (name or filename or raw or defer_init)
        if not is_plain or jinja.MACRO_DEBUGGING:
            return original(self, source, name, filename, raw, defer_init)
        kind = f"{type(self).__qualname__} {sorted(self.extensions)}"
        return cache.compiled(_key(kind, source), lambda: original(self, source))

    environment.compile = compile_
    try:
        yield
    finally:
        environment.compile = original


@contextmanager
def _schemas(cache: _Cache) -> Iterator[None]:
    from dbt_common.dataclass_schema import dbtClassMixin

    mixin: Any = dbtClassMixin
    original = mixin.__dict__["json_schema"]
    build: Callable[[type], dict[str, Any]] = original.__func__

    made_before: dict[type, dict[str, Any]] = {}

    def json_schema(cls: type) -> dict[str, Any]:
        if cls not in made_before:
            made_before[cls] = _schema(cls, build, cache)
        return made_before[cls]

    mixin.json_schema = classmethod(json_schema)
    try:
        yield
    finally:
        mixin.json_schema = original


def _schema(cls: type, build: Callable[[type], dict[str, Any]], cache: _Cache) -> dict[str, Any]:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if (text := cache.schema(name)) is not None:
        found: dict[str, Any] = json.loads(text)
        return found
    made = build(cls)
    with suppress(TypeError, ValueError):  # then it is no JSON, and made anew each time
        text = json.dumps(made)
        if json.loads(text) == made:
            cache.schemas[name] = text
            cache.is_new = True
    return made


_macros: dict[bytes, tuple[bytes, Any]] = {}
"""Those that this process has parsed or read, as they are kept and as trees."""


@contextmanager
def _macros_parsed_once(cache: _Cache) -> Iterator[None]:
    """dbt parses the macros of all packages for their arguments, and again for what they call."""
    from dbt.clients import jinja_static
    from dbt_common.clients import jinja

    first, second = cast("Any", jinja), cast("Any", jinja_static)
    original_parse, original_environment = first.parse, second.get_environment
    parsed: dict[str, Any] = {}

    def parse(text: Any) -> Any:
        key = _key("macro", str(text))
        found = cache.find(key)
        if key not in _macros:
            made = found
            if made is None:
                tree = original_parse(text)
                if (macro := _one_macro(tree)) is None:
                    parsed[str(text)] = tree
                    return tree
                made = pickle.dumps(macro)
            # a copy, as dbt's trees share nodes, which change
            _macros[key] = made, pickle.loads(made)  # noqa: S301 - our own
        content, tree = _macros[key]
        if found is None:
            cache.add(key, content)
        parsed[str(text)] = tree
        return tree

    def get_environment(*args: Any, **options: Any) -> Any:
        def parse_again(text: Any) -> Any:
            # taken out, as whoever compiles it would change it
            found = parsed.pop(text, None)
            return found or original_environment(*args, **options).parse(text)

        return SimpleNamespace(parse=parse_again)

    first.parse, second.get_environment = parse, get_environment
    try:
        yield
    finally:
        first.parse, second.get_environment = original_parse, original_environment


def _one_macro(template: Any) -> Any:
    """The template of one macro, without what dbt does not ask for; None if it is another one.

    What is called is found in the same order.
    """
    from jinja2 import nodes

    def outermost(node: Any) -> Iterator[Any]:
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Call):
                yield child
            else:
                yield from outermost(child)

    macro = template.body[0] if len(template.body) == 1 else None
    if not isinstance(macro, nodes.Macro) or macro.find(nodes.Macro):
        return None
    called = list(outermost(nodes.Template(macro.body)))
    alone = nodes.Macro(macro.name, macro.args, macro.defaults, called)
    return nodes.Template([alone]).set_environment(cast("Any", None))
