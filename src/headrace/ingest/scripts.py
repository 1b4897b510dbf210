"""dlt scripts of a project that Headrace was added to: imported from their file, never edited.

A wrapper in ``dlt_pipelines`` calls the script's own functions, or takes what the script hands to
``pipeline.run``. Nothing is loaded while a script is imported or run here.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from headrace.errors import SourceError
from headrace.libraries.dlt import InterceptedRun, recorded_runs

if TYPE_CHECKING:
    from dlt.extract import DltSource

_HINTS = ("write_disposition", "primary_key", "columns", "schema_contract", "table_format")


def load_script(path: Path) -> ModuleType:
    """The module of a script; a ``pipeline.run`` at its top level loads nothing.

    A file of a package (with ``__init__.py`` beside it) is imported under its full name, so that
    its relative imports work; for any other its folder is where its imports are looked for.

    Raises:
        SourceError: it is not there, or ends the process.
    """
    if not path.is_file():
        raise SourceError(f"{path} is not there: correct the path in the folder of dlt_pipelines")
    name, folder = _module_name(path)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    with recorded_runs(), _as_script(path):
        if "." in name:
            return importlib.import_module(name)
        # the name of a script is its file's, such as `main`, of which there may be several
        own = f"{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
        if own in sys.modules:
            return sys.modules[own]
        spec = importlib.util.spec_from_file_location(own, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[own] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[own]
            raise
        return module


def recorded(
    path: Path, pipeline_name: str | None = None, *, function: str | None = None
) -> "DltSource":
    """What a script hands to ``pipeline.run``, as one source.

    Args:
        path: the script.
        pipeline_name: only of this pipeline; None: of all that it runs.
        function: the function that runs it; None: the script as ``python PATH`` runs it.

    Raises:
        SourceError: it runs no such pipeline, or ends the process with an error.
    """
    if function is not None:
        call = getattr(load_script(path), function)
    with recorded_runs() as runs, _as_script(path):
        if function is not None:
            call()
        else:
            folder = str(_module_name(path)[1])
            if folder not in sys.path:
                sys.path.insert(0, folder)
            runpy.run_path(str(path), run_name="__main__")
    found = [run for run in runs if pipeline_name in {None, run.pipeline_name}]
    if not found:
        others = ", ".join(sorted({run.pipeline_name for run in runs})) or "none"
        raise SourceError(
            f"{path} did not run the pipeline {pipeline_name!r}; it ran: {others}. Correct the "
            "name in the folder of dlt_pipelines"
        )
    name = pipeline_name or found[0].pipeline_name
    return _one_source(name, [one for run in found for one in _resources(run)])


def source_of(name: str, data: Any, options: Mapping[str, Any] | None = None) -> "DltSource":
    """What ``pipeline.run`` takes, as a source.

    Args:
        name: of the source, where ``data`` is none.
        data: a source, a resource, a list of them, or rows.
        options: the other arguments of ``pipeline.run``: ``table_name``, ``write_disposition``, ...

    Raises:
        SourceError: rows have no table name.
    """
    return _one_source(name, _resources(InterceptedRun(name, data, dict(options or {}))))


def _one_source(name: str, found: Sequence[Any]) -> "DltSource":
    """One source as it is; several sources and resources as one."""
    import dlt
    from dlt.extract import DltSource

    if len(found) == 1 and isinstance(found[0], DltSource):
        return found[0]
    resources = [
        resource
        for one in found
        for resource in (one.resources.values() if isinstance(one, DltSource) else [one])
    ]

    @dlt.source(name=name)
    def combined() -> Any:
        return resources

    return combined()


def _resources(run: InterceptedRun) -> list[Any]:
    """The sources and resources of a run, with what the run says of them."""
    import dlt
    from dlt.extract import DltResource, DltSource

    hints = {key: run.options[key] for key in _HINTS if key in run.options}
    table = run.options.get("table_name")
    given = run.data if isinstance(run.data, (list, tuple)) else [run.data]
    if given and all(isinstance(one, (DltSource, DltResource)) for one in given):
        for one in given:
            for resource in one.resources.values() if isinstance(one, DltSource) else [one]:
                if hints or table:
                    resource.apply_hints(**({"table_name": table} if table else {}), **hints)
        return list(given)
    if callable(run.data) and not isinstance(run.data, type):
        table = table or getattr(run.data, "__name__", None)
    if table is None:
        raise SourceError(
            f"pipeline {run.pipeline_name}: rows without a table_name cannot be loaded: give "
            "`pipeline.run` one, or make them a dlt.resource"
        )
    return [dlt.resource(run.data, name=str(table), **hints)]


def _module_name(path: Path) -> tuple[str, Path]:
    """The name that a file is imported by, and the folder that it is looked for in."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if len(parts) > 1 and parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts), folder


@contextlib.contextmanager
def _as_script(path: Path) -> Iterator[None]:
    """Without arguments of this command, and with what it prints on stderr.

    Raises:
        SourceError: it ends the process with an error.
    """
    arguments = sys.argv
    sys.argv = [str(path)]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit as end:
        if end.code not in {None, 0}:
            raise SourceError(f"{path} ended with exit code {end.code}") from end
    finally:
        sys.argv = arguments
