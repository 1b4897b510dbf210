"""What is changed in this process: environment, garbage collector, where modules are found."""

import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables; at the end they are as they were before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def forget_variables(names: Iterable[str]) -> None:
    """Remove environment variables that a library has set and left."""
    for name in names:
        os.environ.pop(name, None)


def default_variable(name: str, value: str) -> None:
    """Set an environment variable, for good, unless the user has set it."""
    os.environ.setdefault(name, value)


@contextmanager
def working_directory(path: Path | None) -> Iterator[None]:
    """Work in a folder; None: in the one that it is."""
    with nullcontext() if path is None else chdir(path):
        yield


@contextmanager
def gc_paused() -> Iterator[None]:
    """Switch the garbage collector off for work that makes many objects and few cycles.

    It would look through all of them again and again: two thirds of the time of decoding a large
    manifest, a third of that of tracing columns.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def collect_rarely(objects: int = 50_000) -> None:
    """Have the garbage collector look for cycles after so many new objects instead of after 700.

    A tenth of the time of a command that imports dlt and dbt, for some MB of memory. Half a million
    is for a run, whose process ends soon: 3% of its time, for 10 to 30 MB.
    """
    gc.set_threshold(objects, 20, 100)


def skip_last_collection() -> None:
    """Have the interpreter end without looking for cycles among all that is still there.

    After a run with dlt and dbt it takes half a second, and frees what the system frees anyway.
    """
    gc.freeze()


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Have a Ctrl-C wait for the end of a short block that would lose it.

    What mashumaro writes for classes turns whatever is raised into a ``ValueError``, and Python
    drops what is raised in a callback of a weak reference.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(before):
        yield
        return
    caught: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            before(signal.SIGINT, None)


class TookTooLongError(Exception):
    """A function did not end in its time."""


def within(seconds: float, function: Callable[[], T], stop: Callable[[], None]) -> T:
    """Call a function in a thread of its own, and leave it when its time is over.

    A loop in Python ends then, by a ``SystemExit``, which no ``except Exception`` of its code
    catches. What waits in a library ends if ``stop``
    makes it; else its thread goes on until the process ends, which does not wait for it.

    Raises:
        TookTooLongError: it did not end in time.
    """
    found: list[T] = []
    raised: list[BaseException] = []

    ending, is_over = threading.Lock(), False

    def run() -> None:
        nonlocal is_over
        try:
            try:
                found.append(function())
            except BaseException as error:
                raised.append(error)
            with ending:  # from here on nothing is sent
                is_over = True
            time.sleep(0)  # what was sent before is raised here at the latest
        except SystemExit:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        stop()
        with ending:
            if not is_over and thread.ident is not None:
                import ctypes

                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
                )
        thread.join(1.0)
        raise TookTooLongError
    if raised:
        raise raised[0]
    return found[0]


def import_from(root: Path, name: str) -> ModuleType:
    """Import a module of the project whose directory is ``root``.

    One process may work in several projects (a test, a notebook), which have modules of the same
    names: what was imported from another of them is forgotten first.
    """
    folder = root.joinpath(*name.split("."))
    is_the_projects = folder.is_dir() or folder.with_name(f"{folder.name}.py").is_file()
    package = name.partition(".")[0]
    others = [
        key
        for key, module in sys.modules.copy().items()  # another thread may import meanwhile
        if key.partition(".")[0] == package and not _is_under(module, root)
    ]
    if is_the_projects and others:
        for other in others:
            del sys.modules[other]
        importlib.invalidate_caches()
        sys.path[:] = [place for place in sys.path if place != str(root)]
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(name)


def _is_under(module: ModuleType, root: Path) -> bool:
    places = [*getattr(module, "__path__", ()), *filter(None, [getattr(module, "__file__", None)])]
    return any(Path(place).resolve().is_relative_to(root.resolve()) for place in places)
