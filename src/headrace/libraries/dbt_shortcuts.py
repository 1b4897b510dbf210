"""What dbt does for nothing, or again and again: the same results without it.

Each is around calls of dbt, and taken back after them.
"""

import functools
import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from headrace.exceptions import causes
from headrace.libraries.duckdb import larger_limit
from headrace.process import ctrl_c_waits


@contextmanager
def taken(*, hears_all: bool) -> Iterator[None]:
    """Have dbt take all shortcuts.

    Args:
        hears_all: whether somebody hears all of dbt's events, and not only those of ``HEARD``.
    """
    with ExitStack() as stack:
        for shortcut in (
            _validated_once,
            _sources_of_flags,
            _manifest_read_ahead,
            _plugins_found_once,
            _short_summary_of_the_graph,
            _native_templates,
            _fast_json,
            _types_tested_alike,
            _contexts_of_what_is_asked,
            _messages_by_c,
            _ctes_after_a_first_with,
        ):
            stack.enter_context(shortcut())
        if not hears_all:
            stack.enter_context(_events_that_are_heard())
        yield


@contextmanager
def _replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """Have a module or class another function of a name."""
    original = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, original)


@contextmanager
def _validated_once() -> Iterator[None]:
    """dbt validates the settings of each test, model and source; nearly all are the same."""
    from dbt_common.dataclass_schema import dbtClassMixin

    mixin: Any = dbtClassMixin
    original = mixin.__dict__["validate"]
    valid: set[tuple[type, str]] = set()

    def validate(cls: type, data: Any) -> None:
        # not as JSON, in which a tuple is a list
        key = (cls, repr(data))
        if key not in valid:
            original.__func__(cls, data)
            valid.add(key)

    mixin.validate = classmethod(validate)
    try:
        yield
    finally:
        mixin.validate = original


@contextmanager
def _sources_of_flags() -> Iterator[None]:
    """dbt asks for the source code of its whole stack to learn the name of one module."""
    from dbt_common import behavior_flags

    flag: Any = behavior_flags.BehaviorFlagRendered
    original = flag.__dict__["_default_source"]
    own = {behavior_flags.__name__, __name__}

    def default_source() -> str:
        frame = inspect.currentframe()
        while frame is not None:
            name = frame.f_globals.get("__name__")
            if name and name not in own and isinstance(sys.modules.get(name), ModuleType):
                return str(name)
            frame = frame.f_back
        return "Unknown"

    flag._default_source = staticmethod(default_source)  # noqa: SLF001 - it is replaced
    try:
        yield
    finally:
        flag._default_source = original  # noqa: SLF001


_ahead: dict[bytes, Any] = {}
"""A project that was read while nobody waited, by the content of its file."""


def read_ahead(path: Path) -> None:
    """Read a ``partial_parse.msgpack``; the next parse takes it, if the file is the same by then.

    Args:
        path: of the file.
    """
    from dbt.parser.manifest import extended_mashumuro_decoder

    _ahead.clear()
    with suppress(Exception):  # the parse finds it again, and begins with all files
        content = path.read_bytes()
        _ahead[content] = _read_manifest(content, extended_mashumuro_decoder)


def _read_manifest(content: bytes, decoder: Any) -> Any:
    from dbt.contracts.graph.manifest import Manifest

    manifest: Any = Manifest
    with ctrl_c_waits():
        return manifest.from_msgpack(content, decoder=decoder)


@contextmanager
def _manifest_read_ahead() -> Iterator[None]:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser import manifest as module

    parser = cast("Any", module)
    original = parser.ManifestLoader.read_manifest_for_partial_parse

    def from_msgpack(content: bytes, decoder: Any) -> Any:
        return _ahead.pop(content, None) or _read_manifest(content, decoder)

    def read(self: Any) -> Any:
        parser.Manifest = SimpleNamespace(from_msgpack=from_msgpack)
        try:
            return original(self)
        finally:
            parser.Manifest = Manifest

    with _replaced(parser.ManifestLoader, "read_manifest_for_partial_parse", read):
        yield


_plugins: dict[tuple[str, ...], Any] = {}
"""Modules of dbt's plugins by the path on which they were looked for."""


@contextmanager
def _plugins_found_once() -> Iterator[None]:
    """dbt looks through the names of all that is installed in each command."""
    from dbt.plugins.manager import PluginManager

    manager: Any = PluginManager
    original = manager.__dict__["get_prefixed_modules"]

    def get_prefixed_modules(cls: type) -> Any:
        path = tuple(sys.path)
        if path not in _plugins:
            _plugins[path] = original.__func__(cls)
        return _plugins[path]

    manager.get_prefixed_modules = classmethod(get_prefixed_modules)
    try:
        yield
    finally:
        manager.get_prefixed_modules = original


@contextmanager
def _short_summary_of_the_graph() -> Iterator[None]:
    """dbt makes dictionaries of all nodes, in each command, to learn what kind each of them is."""
    from dbt.compilation import Linker

    linker: Any = Linker
    original = linker.get_graph_summary

    def get_graph_summary(self: Any, manifest: Any) -> Any:
        def expect(key: str) -> Any:
            asked = {"resource_type": manifest.expect(key).resource_type.value}
            return SimpleNamespace(to_dict=lambda **_: asked)

        return original(self, SimpleNamespace(expect=expect))

    with _replaced(linker, "get_graph_summary", get_graph_summary):
        yield


@contextmanager
def _types_tested_alike() -> Iterator[None]:
    """dbt makes what guesses types again for each result, with all that a calendar knows."""
    from dbt_common.clients import agate_helper

    original: Any = agate_helper.build_type_tester
    made: dict[tuple[Any, ...], Any] = {}

    def build_type_tester(text_columns: Any, string_null_values: Any = ("null", "")) -> Any:
        key = (tuple(text_columns), string_null_values)
        if key not in made:
            made[key] = original(*key)
        return made[key]

    empty_table = functools.cache(agate_helper.empty_table)
    with (
        _replaced(agate_helper, "build_type_tester", build_type_tester),
        _replaced(agate_helper, "empty_table", empty_table),
    ):
        yield


@contextmanager
def _native_templates() -> Iterator[None]:
    """Arguments of tests see their names as all other templates of dbt do: one when it is used.

    dbt passes its own shortcut by here, and makes each macro of the project for each argument.
    """
    from dbt_common.clients.jinja import MacroFuzzTemplate, NativeSandboxTemplate

    with _replaced(NativeSandboxTemplate, "new_context", MacroFuzzTemplate.new_context):
        yield


class _Later(Mapping[str, Any]):
    """What is made when somebody asks for something of it."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make

    @functools.cached_property
    def _made(self) -> Mapping[str, Any]:
        return self._make()

    def __getitem__(self, key: str) -> Any:
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


@contextmanager
def _contexts_of_what_is_asked() -> Iterator[None]:
    """dbt makes what templates may ask for again for each node and description; most ask for none.

    Flags, the command's arguments and Python's modules are the same for all nodes of a command.
    """
    from dbt import flags
    from dbt.context import base, providers
    from dbt.parser import manifest as parser

    made: dict[str, tuple[Any, Any, Any]] = {}

    def once(make: Callable[..., Any], *args: Any) -> Any:
        of = args[0] if args else None
        found = made.get(make.__name__)
        if found is None or found[0] is not flags.GLOBAL_FLAGS or found[1] is not of:
            found = made[make.__name__] = (flags.GLOBAL_FLAGS, of, make(*args))
        return found[2]

    def later(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: _Later(lambda: make(*args))

    provided, var = cast("Any", providers), cast("Any", providers.ModelConfiguredVar)
    flag_obj, args_to_dict = flags.get_flag_obj, provided.args_to_dict
    merged = later(var._generate_merged)  # noqa: SLF001 - it is replaced

    def merged_later(self: Any) -> Mapping[str, Any]:
        self._config.load_dependencies()  # others expect that it was called
        return cast("Mapping[str, Any]", merged(self))

    exports = later(provided.wrapped_exports)
    docs_context = later(cast("Any", parser).generate_runtime_docs_context)
    with (
        _replaced(flags, "get_flag_obj", lambda: once(flag_obj)),
        _replaced(base, "get_context_modules", functools.cache(base.get_context_modules)),
        _replaced(providers, "args_to_dict", lambda args: dict(once(args_to_dict, args))),
        _replaced(providers, "wrapped_exports", exports),
        _replaced(var, "_generate_merged", merged_later),
        _replaced(parser, "generate_runtime_docs_context", docs_context),
    ):
        yield


_TIMES = frozenset({"ts", "started_at", "completed_at"})
"""Fields of dbt's messages that hold a time, which is a text in JSON."""


def _with_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: datetime.fromisoformat(inner)
            if key in _TIMES and isinstance(inner, str)
            else _with_times(inner)
            for key, inner in value.items()
        }
    return [_with_times(inner) for inner in value] if isinstance(value, list) else value


@contextmanager
def _messages_by_c() -> Iterator[None]:
    """dbt has messages read from dictionaries by Python, as if these were JSON; C does it, too."""
    from dbt_common.events import base_types

    original = cast("Any", base_types).ParseDict

    def parse_dict(given: dict[str, Any], message: Any) -> Any:
        try:
            return type(message)(**_with_times(given))
        except (TypeError, ValueError, AttributeError):  # what only JSON has, or what is wrong
            return original(given, message)

    with _replaced(base_types, "ParseDict", parse_dict):
        yield


@contextmanager
def _ctes_after_a_first_with() -> Iterator[None]:
    """dbt has the whole SQL parsed, for each unit test, to learn where its first ``with`` ends."""
    from dbt import compilation
    from sqlparse import lexer
    from sqlparse.tokens import Comment, Whitespace

    tokenize, original = cast("Any", lexer).tokenize, compilation.inject_ctes_into_sql

    def inject_ctes_into_sql(sql: str, ctes: list[Any]) -> str:
        if ctes and ";" not in sql:
            at, is_after = 0, False
            for kind, text in tokenize(sql):
                if kind in Whitespace or (kind in Comment and not is_after):
                    at += len(text)
                elif is_after:
                    if text.upper() == "RECURSIVE":
                        break
                    return f"{sql[:at]}{', '.join(cte.sql for cte in ctes)}, {sql[at:]}"
                elif text.upper() == "WITH":
                    at, is_after = at + len(text), True
                else:
                    break
        return str(original(sql, ctes))

    with _replaced(compilation, "inject_ctes_into_sql", inject_ctes_into_sql):
        yield


HEARD = frozenset({"NodeStart", "NodeCompiling", "NodeFinished"})
"""Debug events that are heard; all that are of a higher level are."""


@contextmanager
def _events_that_are_heard() -> Iterator[None]:
    """dbt makes messages of each query and connection, at its lowest level, for its debug log."""
    from dbt_common.events.base_types import BaseEvent, DebugLevel, EventLevel
    from dbt_common.events.event_manager import EventManager

    event, manager = cast("Any", BaseEvent), cast("Any", EventManager)
    make, get, fire = event.__init__, event.__getattr__, manager.fire_event
    if make.__module__ == __name__:  # as around it
        yield
        return

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(self, DebugLevel) and type(self).__name__ not in HEARD:
            self.__dict__["_given"] = (args, kwargs)
        else:
            make(self, *args, **kwargs)

    def getattr_(self: Any, key: str) -> Any:
        if (given := self.__dict__.pop("_given", None)) is not None:  # somebody asks after all
            make(self, *given[0], **given[1])
            return getattr(self, key)
        return get(self, key)

    def fire_event(self: Any, e: Any, level: Any = None, *args: Any, **kwargs: Any) -> None:
        is_low = level is None or level == EventLevel.DEBUG
        if not (is_low and "_given" in e.__dict__ and not self.loggers):
            fire(self, e, level, *args, **kwargs)

    event.__init__, event.__getattr__, manager.fire_event = init, getattr_, fire_event
    try:
        yield
    finally:
        event.__init__, event.__getattr__, manager.fire_event = make, get, fire


@contextmanager
def manifest_left_to_caller() -> Iterator[None]:
    """A command of dbt that would write manifest.json leaves that to whoever writes it later."""
    from dbt.contracts.graph.manifest import Manifest

    with _replaced(Manifest, "write", lambda self, path: None):
        yield


@contextmanager
def not_run(is_known: Callable[[Any], bool]) -> Iterator[None]:
    """Have dbt take the result of a node as good, instead of running it.

    Args:
        is_known: is asked with each node when it is compiled, in dbt's threads.
    """
    from dbt.artifacts.schemas.results import RunStatus, TestStatus
    from dbt.artifacts.schemas.run import RunResult
    from dbt.task.base import BaseRunner

    runner: Any = BaseRunner
    original = runner.run

    def run(self: Any, compiled_node: Any, manifest: Any) -> Any:
        if not is_known(compiled_node):
            return original(self, compiled_node, manifest)
        is_test = str(compiled_node.resource_type) in {"test", "unit_test"}
        status: Any = TestStatus.Pass if is_test else RunStatus.Success
        result = RunResult.from_node(compiled_node, status, "reused: nothing it reads has changed")
        result.failures = 0 if is_test else None
        return result

    with _replaced(runner, "run", run):
        yield


@contextmanager
def larger_limits() -> Iterator[None]:
    """Have dbt run a node again where DuckDB reached its memory limit, with a larger one.

    Not one with hooks: they may have been run.
    """
    import duckdb
    from dbt.task.base import BaseRunner
    from dbt_common.exceptions import DbtRuntimeError

    runner: Any = BaseRunner
    original = runner.run
    raised: list[str] = []
    lock = threading.Lock()

    def raise_limit(adapter: Any, done: int) -> bool:
        with lock:  # nodes of several threads reach it together
            if len(raised) == done:
                _, found = adapter.execute("select current_setting('memory_limit')", fetch=True)
                limit = larger_limit(str(found.rows[0][0]))
                if limit is None:
                    return False
                adapter.execute(f"set memory_limit = '{limit}'")
                raised.append(limit)
        return True

    def run(self: Any, node: Any, manifest: Any) -> Any:
        while True:
            done = len(raised)
            try:
                return original(self, node, manifest)
            except DbtRuntimeError as error:
                of_limit = any(
                    isinstance(one, duckdb.OutOfMemoryException) for one in causes(error)
                )
                hooks = getattr(node.config, "pre_hook", ()) or getattr(
                    node.config, "post_hook", ()
                )
                if not of_limit or hooks or not raise_limit(self.adapter, done):
                    raise

    with _replaced(runner, "run", run):
        yield


class _Json(ModuleType):
    """The module ``json``, whose ``dump`` writes the same text by C instead of by Python."""

    def __init__(self) -> None:
        super().__init__("json")
        self.__dict__.update(vars(json))
        self.dump = self._dump

    @staticmethod
    def _dump(content: Any, file: Any, **options: Any) -> None:
        file.write(json.dumps(content, **options))


@contextmanager
def _fast_json() -> Iterator[None]:
    """Have dbt encode its artifacts three times as fast, into the same bytes."""
    from dbt_common.clients import system

    with _replaced(system, "json", _Json()):
        yield
