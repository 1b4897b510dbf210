"""The dlt pipelines in a repository's Python files, found without running them."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headrace.formatting import slug

RunsAt = Literal["import", "main", "function", "never"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Script:
    """A Python file that uses dlt.

    Attributes:
        path: below the repository.
        pipelines: that it runs.
        sources: names of its ``@dlt.source`` functions.
        resources: names of its ``@dlt.resource`` functions at the top level.
        imports: last parts of the names of modules that it imports.
        parameters: of each of these functions, those that a caller must give, with annotations.
    """

    path: Path
    pipelines: tuple["Pipeline", ...]
    sources: tuple[str, ...]
    resources: tuple[str, ...]
    imports: frozenset[str]
    parameters: dict[str, tuple[tuple[str, str | None], ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that a script runs.

    Attributes:
        name: dlt's name of it; None if it is not written as a text.
        dataset: its dataset; None if it is not written as a text.
        destination: such as ``duckdb``; None if not known.
        runs_at: where ``run`` is called: when the file is imported, below ``__name__ ==
            "__main__"``, or in a function.
        function: the function without required parameters that calls it.
        expression: what is loaded, as Python in which the file's own names are attributes of
            ``script``; None if it cannot be taken out of its place.
        options: further arguments of ``run``, as Python, by name.
    """

    name: str | None
    dataset: str | None
    destination: str | None
    runs_at: RunsAt
    function: str | None = None
    expression: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    @property
    def dataset_name(self) -> str | None:
        """The schema that dlt loads it into; None if it is not known."""
        if self.dataset is None:
            return f"{self.name}_dataset" if self.name else None
        return self.dataset


def read_script(root: Path, path: Path) -> Script | None:
    """What a Python file does with dlt; None if it does not use it, or is no Python.

    Args:
        root: the repository.
        path: the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if "dlt" not in text:
            return None
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return None
    if not _imports_dlt(tree):
        return None
    reader = _Reader(tree)
    return Script(
        path=path.relative_to(root),
        pipelines=tuple(reader.pipelines()),
        sources=reader.decorated("source"),
        resources=reader.decorated("resource"),
        imports=frozenset(_imported(tree)),
        parameters={
            name: _required(function) for name, function in reader.functions.items()
        },
    )  # fmt: skip


def _imports_dlt(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(
            one.name.split(".")[0] == "dlt" for one in node.names
        ):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dlt":
            return True
    return False


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.rpartition(".")[2] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.module.rpartition(".")[2]
            yield from (one.name for one in node.names)


class _Reader:
    """The top level of a file, its functions, and the calls of ``run`` in them."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self.functions: dict[str, _Function] = {
            node.name: node for node in tree.body if isinstance(node, _Function)
        }
        self._top: list[ast.stmt] = []
        self._main: list[ast.stmt] = []
        for node in tree.body:
            if isinstance(node, ast.If) and _is_main(node.test):
                self._main += node.body
            elif not isinstance(node, (_Function, ast.ClassDef)):
                self._top.append(node)
        self._names = set(self.functions) | set(_bound(self._top))
        self._names |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}

    def decorated(self, kind: str) -> tuple[str, ...]:
        """The functions with the decorator ``@dlt.source`` or ``@dlt.resource``."""
        return tuple(
            name
            for name, function in self.functions.items()
            if any(_called(one) in {f"dlt.{kind}", kind} for one in function.decorator_list)
        )

    def pipelines(self) -> Iterator[Pipeline]:
        """The pipelines that are run, in the order of the file."""
        yield from self._in(self._top, "import", None)
        yield from self._in(self._main, "main", None)
        called = {_called(node) for node in _walk(self._top) if isinstance(node, ast.Call)}
        for name, function in self.functions.items():
            callable_alone = name if not _required(function) else None
            at: RunsAt = "import" if name in called else "function"
            yield from self._in(function.body, at, callable_alone)

    def _in(
        self, body: Sequence[ast.stmt], runs_at: RunsAt, function: str | None
    ) -> Iterator[Pipeline]:
        local = dict(_assigned(body))
        known = {**dict(_assigned(self._top)), **local}
        for node in _walk(body):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "run":
                continue
            made = _pipeline_call(node.func.value, known)
            if made is None:
                continue
            arguments = {one.arg: one.value for one in made.keywords if one.arg}
            if made.args:
                arguments.setdefault("pipeline_name", made.args[0])
            data = node.args[0] if node.args else _keyword(node, "data")
            inner = local if body is not self._top else {}
            options = [
                (one.arg, self._moved(one.value, inner))
                for one in node.keywords
                if one.arg and one.arg not in {"data", "dataset_name", "destination"}
            ]
            expression = self._moved(data, inner) if data is not None else None
            if any(value is None for _, value in options):
                expression = None
            run_dataset = _keyword(node, "dataset_name")
            yield Pipeline(
                name=_text(arguments.get("pipeline_name"), known),
                dataset=_text(run_dataset or arguments.get("dataset_name"), known),
                destination=_destination(arguments.get("destination"), known),
                runs_at=runs_at,
                function=function,
                expression=expression,
                options=tuple((name, value) for name, value in options if value is not None),
            )

    def _moved(self, node: ast.expr | None, local: dict[str, ast.expr]) -> str | None:
        """An expression for another file; None if it needs something of its place."""
        if isinstance(node, ast.Name) and node.id in local:
            node = local[node.id]
        if node is None:
            return None
        moved = _Mover(self._names - set(local))
        found = moved.visit(ast.parse(ast.unparse(node), mode="eval").body)
        return None if moved.is_stuck else ast.unparse(found)


class _Mover(ast.NodeTransformer):
    """Names of the file become attributes of ``script``."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self.is_stuck = False

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self._names:
            return ast.Attribute(ast.Name("script"), node.id, node.ctx)
        if node.id not in {"list", "dict", "range", "True", "False", "None", "str", "int"}:
            self.is_stuck = True
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Lambda, ast.comprehension, ast.Await, ast.NamedExpr)):
            self.is_stuck = True
        return super().generic_visit(node)


def _walk(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes, without those of functions and classes in it."""
    todo: list[ast.AST] = list(reversed(body))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, (_Function, ast.ClassDef, ast.Lambda)):
            todo += reversed(list(ast.iter_child_nodes(node)))


def _bound(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in _walk(body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((one.asname or one.name).split(".")[0] for one in node.names)


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in _walk(body):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name):
                yield target.id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def _pipeline_call(node: ast.expr, known: dict[str, ast.expr]) -> ast.Call | None:
    """The call of ``dlt.pipeline`` that made what ``run`` is called on; ``dlt.run`` itself."""
    if isinstance(node, ast.Name) and node.id in known:
        node = known[node.id]
    if isinstance(node, ast.Call) and _called(node) in {"dlt.pipeline", "pipeline"}:
        return node
    if isinstance(node, ast.Name) and node.id == "dlt":
        return ast.Call(node, [], [])
    return None


def _called(node: ast.expr) -> str:
    """``dlt.source`` of ``@dlt.source`` and of ``@dlt.source(name=…)``."""
    if isinstance(node, ast.Call):
        node = node.func
    try:
        return ast.unparse(node)
    except (ValueError, RecursionError):
        return ""


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def _text(node: ast.expr | None, known: dict[str, ast.expr]) -> str | None:
    if isinstance(node, ast.Name):
        node = known.get(node.id)
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text and isinstance(node, ast.Constant) else None  # type: ignore[return-value]


def _destination(node: ast.expr | None, known: dict[str, ast.expr]) -> str | None:
    if isinstance(node, ast.Name):
        node = known.get(node.id, node)
    found = _text(node, known)
    if found is None and node is not None:
        found = _called(node)
    return found.rpartition(".")[2] if found else None


def _is_main(test: ast.expr) -> bool:
    return "__name__" in ast.unparse(test) and "__main__" in ast.unparse(test)


def _required(function: _Function) -> tuple[tuple[str, str | None], ...]:
    """Parameters that a caller must give, with their annotations; dlt gives its own."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    first = len(plain) - len(arguments.defaults)
    needed = plain[:first] + [
        one
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return tuple(
        (one.arg, ast.unparse(one.annotation) if one.annotation else None) for one in needed
    )


def source_name(pipeline: Pipeline, script: Path) -> str:
    """The name of a pipeline's source in Headrace: dlt's, as far as a folder can have it."""
    found = slug(pipeline.name or script.stem)
    return found if found[:1].isalpha() else f"source_{found}".rstrip("_")
