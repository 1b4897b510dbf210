"""The methods by which dbt reads and writes its classes, which mashumaro makes of annotations.

    a class is made   ─► a method that waits
    it is called      ─► all methods that are kept are executed
                         not among them: mashumaro makes the method, which is kept from then on

To make the 150 methods that a build uses takes half a second, to execute them a fiftieth of that.
They are kept in the order in which they were made, as one may call another one that was made before
it; for the same reason nothing is added where some were made by others.
"""

import dis
import importlib
import marshal
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import BuiltinMethodType, CodeType, MethodType, ModuleType
from typing import Any, cast

_BUILDER = "mashumaro.core.meta.code.builder"
_MAKERS = (
    _BUILDER,
    "mashumaro.core.meta.types.common",
    "mashumaro.core.meta.types.pack",
    "mashumaro.core.meta.types.unpack",
)
"""Modules that execute the text of a method."""

File = tuple[str, int, int]
"""Path, time and size, by which Python, too, knows that a file is another one; "" for no file."""
Place = tuple[str, str, str]
"""Module, qualified name and, for one of an object of that class, method; "" for none."""


@dataclass(frozen=True)
class Method:
    """What mashumaro executed to make a method of a class, or a part of one.

    Attributes:
        code: Python's, in marshal's format.
        names: those that it uses to where what they stand for is.
        files: the modules of the class, its bases and what it uses to their files.
    """

    code: bytes
    names: Mapping[str, Place]
    files: Mapping[str, File]


@dataclass
class _Methods:
    """Those of this process.

    Attributes:
        all: in the order in which they were made.
        made: what was executed since: the class, the code, its global names, its local ones.
        waiting: those that were not executed, as a module that they need is not imported.
        has_begun: whether anybody asked to keep them.
        is_whole: whether all that was made here is among them.
        is_heard: whether what mashumaro makes is added.
        early: a class that is not, as each process needs it before all are imported.
    """

    all: list[Method] = field(default_factory=list)
    made: list[tuple[type, CodeType, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    waiting: list[Method] = field(default_factory=list)
    has_begun: bool = False
    is_whole: bool = True
    is_heard: bool = False
    early: type | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def know(self, methods: list[Method]) -> None:
        """Add what another process has made."""
        with self.lock:
            known = {one.code for one in self.all}
            new = [one for one in methods if one.code not in known]
            self.all += new
            self.waiting += new

    def execute(self) -> bool:
        """Make the methods of all classes that are imported; False while they are being imported.

        dbt calls some methods then. What is kept of a class may need another one, so all wait.
        """
        with self.lock:
            ready: list[Method] = []
            rest: list[Method] = []
            for one in self.waiting:
                (ready if one.files.keys() <= sys.modules.keys() else rest).append(one)
            files = {name: path for one in ready for name, (path, _, _) in one.files.items()}
            if any(map(_is_being_imported, files)):
                return False
            if any(_path(name) != path for name, path in files.items()):
                self.is_whole, ready, rest = False, [], []  # of another environment
            self.waiting = rest
            for one in ready:
                names = dict(vars(sys.modules[_BUILDER]))
                names |= {name: _found(place) for name, place in one.names.items()}
                exec(marshal.loads(one.code), names)  # noqa: S102, S302 - our own
            return True

    def add(self, code: CodeType, names: dict[str, Any], made: dict[str, Any]) -> None:
        """Note what was executed; ``names`` may still become more."""
        own = {one.argval for one in dis.get_instructions(code) if one.opname == "STORE_NAME"}
        used = {name: made[name] for name in {*code.co_names} - own if name in made}
        owner = made["cls"]
        if self.early is not None:
            self.is_whole = self.is_whole and owner is self.early
        elif _place(owner) is not None:  # else it is being made, and will be in each process
            with self.lock:
                self.made.append((owner, code, names, used))

    def gather(self) -> list[Method]:
        """All of them, unless others were made, or one needs what no other process would find."""
        with self.lock:
            usual = vars(sys.modules[_BUILDER])
            for owner, code, names, local in self.made:
                used = {name: names[name] for name in _names(code) if name in names}
                used = {name: one for name, one in used.items() if usual.get(name) is not one}
                places = {name: _place(one) for name, one in {**used, **local}.items()}
                if None in places.values():
                    self.is_whole = False
                    break
                kept = cast("dict[str, Place]", places)
                modules = {one.__module__ for one in owner.__mro__}
                modules |= {module for module, _, _ in kept.values()}
                files = {name: _file(name) for name in modules}
                self.all.append(Method(marshal.dumps(code), kept, files))
            self.made.clear()
            return self.all if self.is_whole else []


methods = _Methods()


def _names(code: CodeType) -> set[str]:
    """All names that code uses, with those of its functions."""
    found = set(code.co_names)
    for one in code.co_consts:
        if isinstance(one, CodeType):
            found |= _names(one)
    return found


def _place(value: Any) -> Place | None:
    """Where any process finds this; None if that cannot be said."""
    module, name, method = getattr(value, "__module__", ""), getattr(value, "__qualname__", ""), ""
    if isinstance(value, ModuleType):
        module = value.__name__
    elif isinstance(value, MethodType) and _is_plain_strategy(value.__self__):
        kind, method = type(value.__self__), value.__name__
        module, name = kind.__module__, kind.__qualname__
    elif isinstance(value, BuiltinMethodType) and isinstance(value.__self__, type):
        module = value.__self__.__module__
    try:
        found = _found((module, name, method))
    except (AttributeError, KeyError, TypeError):
        return None
    if method:
        return (module, name, method) if found.__func__ is value.__func__ else None
    # a method that is written in C is another object each time
    is_it = found == value if isinstance(value, BuiltinMethodType) else found is value
    return (module, name, method) if is_it else None


def _is_plain_strategy(value: Any) -> bool:
    """Whether another object of its class does the same."""
    from mashumaro.types import SerializationStrategy

    return isinstance(value, SerializationStrategy) and not vars(value)


def _found(place: Place) -> Any:
    module, name, method = place
    found: Any = sys.modules[module]
    for part in name.split(".") if name else ():
        found = getattr(found, part)
    return getattr(found(), method) if method else found


def _option_of_field(owner: Any, name: str, value: Any) -> str | None:
    """The expression for a function that a field has as an option; None if it is none."""
    found = re.fullmatch(r"__(\w+)_(serialize|deserialize)_[0-9a-f]{32}", name)
    fields = getattr(owner, "__dataclass_fields__", {})
    if not found or found[1] not in fields or fields[found[1]].metadata.get(found[2]) is not value:
        return None
    return f"cls.__dataclass_fields__[{found[1]!r}].metadata[{found[2]!r}]"


def _is_being_imported(module: str) -> bool:
    return bool(getattr(getattr(sys.modules[module], "__spec__", None), "_initializing", False))


def _path(module: str) -> str:
    return getattr(sys.modules[module], "__file__", None) or ""


def _file(module: str) -> File:
    path = _path(module)
    stat = Path(path).stat() if path else None
    return (path, stat.st_mtime_ns, stat.st_size) if stat else ("", 0, 0)


def are_current(known: list[Method]) -> bool:
    """Whether all files are those that these methods were made of."""
    for path, mtime_ns, size in {file for one in known for file in one.files.values()}:
        try:
            stat = Path(path).stat() if path else None
        except OSError:
            return False
        if stat is not None and (stat.st_mtime_ns, stat.st_size) != (mtime_ns, size):
            return False
    return True


@contextmanager
def kept(known: list[Method]) -> Iterator[None]:
    """Take these methods, and add those that are made to ``methods``.

    Args:
        known: what was in ``methods`` at the end of an earlier process; see ``are_current``.
    """
    if not methods.has_begun:
        methods.has_begun, methods.is_whole = True, _BUILDER not in sys.modules
    makers = [cast("Any", importlib.import_module(name)) for name in _MAKERS]
    methods.know(known)

    def execute(text: str, names: dict[str, Any], made: dict[str, Any]) -> None:
        code = compile(text, "<string>", "exec", dont_inherit=True)
        exec(code, names, made)  # noqa: S102 - as mashumaro does
        methods.add(code, names, made)

    def set_(owner: Any, name: str, value: Any) -> None:
        setattr(owner, name, value)
        is_static = isinstance(value, staticmethod)
        value = value.__func__ if is_static else value
        expression = _option_of_field(owner, name, value) or "value"
        if is_static:
            expression = f"staticmethod({expression})"
        text = f"setattr(cls, {name!r}, {expression})"
        methods.add(compile(text, "<string>", "exec"), {"value": value}, {"cls": owner})

    was_heard, methods.is_heard = methods.is_heard, True
    for maker in makers:
        maker.exec = execute  # instead of the builtin
    for maker in makers[1:]:  # what is in the first is seen by the methods, too
        maker.setattr = set_
    try:
        yield
    finally:
        methods.is_heard = was_heard
        if not was_heard:
            for maker in makers:
                del maker.exec
            for maker in makers[1:]:
                del maker.setattr


@contextmanager
def when_called() -> Iterator[None]:
    """Have mashumaro make the methods of classes when they are first called.

    dbt has it so for its own classes, but not for all that it imports: a tenth of its import. And
    mashumaro writes and compiles code for each method that waits, where one function would do.
    """
    from mashumaro.config import BaseConfig
    from mashumaro.mixins import dict as mixin

    changed = cast("Any", mixin)
    before = BaseConfig.lazy_compilation
    packer, unpacker = changed.compile_mixin_packer, changed.compile_mixin_unpacker
    BaseConfig.lazy_compilation = True
    changed.compile_mixin_packer = partial(_made_when_called, packer, "pack", "encoder")
    changed.compile_mixin_unpacker = partial(_made_when_called, unpacker, "unpack", "decoder")
    try:
        yield
    finally:
        BaseConfig.lazy_compilation = before
        changed.compile_mixin_packer, changed.compile_mixin_unpacker = packer, unpacker


def _made_when_called(
    make: Callable[..., None], verb: str, coder: str, cls: type, **options: Any
) -> None:
    """A method of a class that makes the real one, and is replaced by it, when it is called.

    Args:
        make: mashumaro's own way; taken where the class wants more than what is known here.
        verb: ``pack``, for a method of an instance, or ``unpack``, for one of the class.
        coder: the option that turns dictionaries to and from bytes.
        cls: the class.
        options: of the format.
    """
    from mashumaro.config import ADD_DIALECT_SUPPORT, BaseConfig
    from mashumaro.core.meta.code.builder import CodeBuilder

    config = getattr(cls, "Config", BaseConfig)
    wanted = getattr(config, "code_generation_options", BaseConfig.code_generation_options)
    is_lazy = getattr(config, "lazy_compilation", BaseConfig.lazy_compilation)
    known = {"format_name", "dialect", coder, f"{coder}_kwargs"}
    if not is_lazy or ADD_DIALECT_SUPPORT in wanted or not options.keys() <= known:
        make(cls, **options)
        return
    builder: Any = CodeBuilder
    given = {name: value for name, value in options.items() if name != "dialect"}
    given["default_dialect"] = options.get("dialect")
    named = {name: options[name] for name in ("format_name", coder) if name in options}
    name = getattr(builder, f"get_{verb}_method_name")(**named)

    def first(one: Any, *args: Any, **kwargs: Any) -> Any:
        owner = one if verb == "unpack" else type(one)
        early, methods.early = methods.early, None if methods.execute() else owner
        try:
            if getattr(vars(owner).get(name), "__func__", vars(owner).get(name)) in {None, first}:
                methods.is_whole = methods.is_whole and methods.is_heard
                made = builder(owner, first_method=name, allow_postponed_evaluation=False, **given)
                getattr(made, f"add_{verb}_method")()
        finally:
            methods.early = early
        return getattr(one, name)(*args, **kwargs)

    for attribute in (name, name.public):
        setattr(cls, attribute, classmethod(first) if verb == "unpack" else first)
