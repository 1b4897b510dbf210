"""Which names a new source, and a table of it, may have."""

import keyword
import re

from headrace.errors import AddError
from headrace.scaffold.names import RESERVED
from headrace.settings import Resolved, layers

MAX_NAME = 30
"""Characters; a name goes into those of models, which Postgres cuts off after 63 bytes."""
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TAKEN = frozenset({"dlt", "dbt", "duckdb", "headrace", "test", "tests", "trial"})


def check_source(resolved: Resolved, name: str) -> None:
    """See that a source can be called so.

    Raises:
        AddError: it cannot; nothing was written.
    """
    if not _NAME.fullmatch(name):
        better = _better(name)
        hint = f"; {better} would do" if better else ""
        raise AddError(
            f"{name!r} is not a valid name of a source: lower case letters, digits and single "
            f"underscores, a letter first{hint}"
        )
    if len(name) > MAX_NAME:
        raise AddError(f"{name} is too long for a source: {MAX_NAME} characters at most")
    if keyword.iskeyword(name) or name in RESERVED | _TAKEN or name.startswith("dlt_"):
        raise AddError(
            f"{name} is a word of Python, SQL, dlt or dbt, and no name for a source: add what it "
            f"is about, like {name}_data"
        )
    for folder, stem in (("dlt_pipelines", name), ("tests/project", f"test_{name}.py")):
        place = resolved.root / folder
        there = [path.name for path in place.iterdir()] if place.is_dir() else []
        # on file systems that do not tell cases apart they would be one
        clash = next((n for n in there if n.casefold() == stem and n != stem), None)
        if clash:
            raise AddError(f"there is a {folder}/{clash}: take another name, or remove it")


def check_table(name: str) -> None:
    """See that a raw table can be called so.

    Raises:
        AddError: it cannot; nothing was written.
    """
    if not _NAME.fullmatch(name) or len(name) > 2 * MAX_NAME:
        better = _better(name)
        hint = f", like {better}" if better else ""
        raise AddError(
            f"{name!r} is not a valid name of a raw table: lower case letters, digits and single "
            f"underscores, a letter first{hint}"
        )


def check_once(what: str, names: list[str]) -> None:
    """See that no name stands twice.

    Raises:
        AddError: one does.
    """
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AddError(f"{what} {min(twice)} is named twice: name it once")


def check_is_new(resolved: Resolved, name: str) -> None:
    """See that no settings file has such a source; a secret of it may be set.

    Raises:
        AddError: one has; nothing was written.
    """
    for path in sorted((resolved.root / "config").glob("*.yml")):
        if path.name == "ci.yml":  # which of the sources are off there; it makes none
            continue
        label = f"config/{path.name}"
        layer = layers.yaml_layer(path, label)
        if layer is not None and layer.holds(("sources", name)):
            raise AddError(
                f"there is a source {name}, with other settings: "
                f"{layer.locate(('sources', name))}; take another name, or remove it there; to "
                f"load the one that is there, run `headrace load --source {name}` and `headrace "
                f"scaffold {name}`"
            )


def _better(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    slug = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return slug if _NAME.fullmatch(slug) else ""
