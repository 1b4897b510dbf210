"""The files of a new source: the tables that a folder's files make, and what is rendered."""

import fnmatch
import glob
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from headrace import yaml_editor
from headrace.add.request import SourceKind
from headrace.errors import AddError, UserError
from headrace.formatting import slug
from headrace.ingest.discover import EXCEL, SUFFIXES
from headrace.ingest.locations import can_be_listed, list_files, split_address
from headrace.pipeline.file_preview import FilePreview, preview

if TYPE_CHECKING:
    from jinja2 import Environment


_ENDS = tuple(
    sorted((suffix + more for suffix in SUFFIXES for more in ("", ".gz", ".zst")), key=len)
)
_READ = (*_ENDS, *EXCEL, ".zip")
_VARYING = re.compile(r"[-_. ]*\d[\d\-_.:T]*$")
_KEYS = re.compile(r"(.*_)?(id|key|code|sku|number|no|uuid)")
_CURSORS = re.compile(r"(.*_)?(updated|modified|changed)(_(at|on|date|time))?")
_MOST = 50  # tables


@dataclass(frozen=True)
class FoundTable:
    """A table that the files of a folder make.

    Attributes:
        name: of the raw table.
        pattern: glob below the folder, which finds its files alone.
        primary_key: columns; empty where none is certain.
        cursor: column; empty where none is certain.
        settings: further settings that its files need, such as ``skip``.
        reasons: why, one sentence each.
    """

    name: str
    pattern: str
    primary_key: tuple[str, ...] = ()
    cursor: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def find_tables(folder: Path | str, source: str = "") -> list[FoundTable]:
    """The tables that the files of a folder make; the files are read to find their keys.

    Args:
        folder: on this machine, or an address: ``s3://bucket/in`` or that of a file.
        source: the source's name, by which credentials are looked up.

    Raises:
        AddError: there is no such folder, or no file in it that is read.
        SourceError: an address is not there, or refuses.
    """
    if isinstance(folder, str) and not can_be_listed(folder):
        base, name = split_address(folder)
        if not PurePosixPath(name).name:
            raise AddError(
                f"{folder}: a web server cannot be asked which files it has: name a file, or name "
                "them with --pattern 'orders=orders.csv'"
            )
        return [_described(base, _table_name(_stem(name), base, []), name)]
    if isinstance(folder, Path) and not folder.is_dir():
        raise AddError(
            f"{folder} is not a folder: name one with --path, or name its files, to come later, "
            "with --pattern 'orders=orders*.csv'"
        )
    groups: dict[tuple[str, str], list[str]] = {}
    names = sorted(_files(folder) if isinstance(folder, Path) else _objects(folder, source))
    for name in names:
        stem, suffix = _split(PurePosixPath(name).name)
        parts = [
            "*" if "=" in part else glob.escape(part) for part in PurePosixPath(name).parts[:-1]
        ]
        plain = _VARYING.sub("", stem)
        # a folder of files that are called by numbers alone is a table itself
        group = "/".join([*parts, glob.escape(plain)]) if plain else "/".join([*parts, ""])
        groups.setdefault((group, suffix), []).append(name)
    if not groups:
        raise AddError(f"no file in {folder} is of a format that is read: {', '.join(_READ[:6])}")
    if len(groups) > _MOST:
        raise AddError(
            f"{folder} has files of {len(groups)} names, more than {_MOST} tables: name those to "
            "load, with --pattern 'orders=orders*.csv'"
        )
    found: list[FoundTable] = []
    for (group, suffix), own in groups.items():
        pattern = _pattern(names, group, suffix, own)
        found.append(_described(folder, _table_name(group, folder, found), pattern))
    return found


def _files(folder: Path) -> Iterable[str]:
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(_READ):
                yield Path(directory, name).relative_to(folder).as_posix()


def _objects(address: str, source: str) -> Iterable[str]:
    for name in list_files(address, source):
        is_hidden = any(part.startswith(".") for part in name.split("/"))
        if not is_hidden and name.lower().endswith(_READ):
            yield name


def _stem(name: str) -> str:
    """Of a name at a web server, which may have parameters and no suffix."""
    plain = PurePosixPath(name.partition("?")[0]).name
    return _split(plain)[0] if plain.lower().endswith(_READ) else plain


def _split(name: str) -> tuple[str, str]:
    suffix = max((end for end in _READ if name.lower().endswith(end)), key=len)
    return name[: -len(suffix)], name[-len(suffix) :]


def _pattern(there: list[str], group: str, suffix: str, names: list[str]) -> str:
    """A glob that finds the files of a group alone, among all that are there."""
    one = len(names) == 1 and _VARYING.search(_split(PurePosixPath(names[0]).name)[0]) is None
    for middle in ("",) if one else ("*", "[-_. ][0-9]*", "[0-9]*"):
        pattern = f"{group}{middle}{suffix}"
        if set(names) == {name for name in there if _matches(name, pattern)}:
            return pattern
    return f"{group}*{suffix}"


def _matches(name: str, pattern: str) -> bool:
    """Whether a glob without ``**`` finds a file."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _table_name(group: str, folder: Path | str, others: list[FoundTable]) -> str:
    last = next((part for part in reversed(group.split("/")) if re.search("[A-Za-z]", part)), "")
    name = slug(last or PurePosixPath(str(folder)).name) or "rows"
    name = f"t_{name}" if name[0].isdigit() else name
    taken = {table.name for table in others}
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _described(folder: Path | str, name: str, pattern: str) -> FoundTable:
    try:
        report = preview(pattern, {}, rows=0, below=folder)
    except UserError as error:
        return FoundTable(name, pattern, reasons=(f"{name}: not read: {error}",))
    settings = {key: value for key, value in report.settings.items() if key != "pattern"}
    reasons = [f"{name}: {doubt.reason}" for doubt in report.doubts]
    full = next((doubt.settings for doubt in report.doubts if "write" in doubt.settings), {})
    key = next(iter(full.get("primary_key", ())), "") or _key(report)
    if full:
        settings["write"] = full["write"]
    cursor = next(
        (
            column.name
            for column in report.columns
            if key and _CURSORS.fullmatch(column.name)
            and (column.data_type == "DATE" or column.data_type.startswith("TIMESTAMP"))
        ),
        "",
    )  # fmt: skip
    if key and not full:
        reasons.append(f"{name}: the key is {key}, which differs in all {report.rows_given:,} rows")
    if cursor:
        reasons.append(f"{name}: the cursor is {cursor}, by its name and type")
    return FoundTable(name, pattern, (key,) if key else (), cursor, settings, tuple(reasons))


def _key(report: FilePreview) -> str:
    """A column that is called like a key, and differs in all of at least two rows."""
    if report.rows_given < 2 or report.rows_quarantined:
        return ""
    return next((name for name in report.keys if _KEYS.fullmatch(name)), "")


_FILES = {
    "dlt_pipelines/{name}/__init__.py": "{kind}/init.py.j2",
    "dlt_pipelines/{name}/__main__.py": "main.py.j2",
    "dlt_pipelines/{name}/README.md": "{kind}/README.md.j2",
    "tests/project/test_{name}.py": "{kind}/test.py.j2",
}


def new_files(kind: SourceKind, variables: dict[str, Any]) -> dict[str, str]:
    """Path below the project to text: the pipeline's folder and its test.

    ``files`` needs no folder: the one of that name is the pipeline of all sources of files.
    """
    name = variables["name"]
    wanted = _FILES
    if kind == "files":
        wanted = {path: text for path, text in _FILES.items() if path.startswith("tests/")}
        if not variables["samples"]:
            return {}
    return {
        path.format(name=name): render(template.format(kind=kind), variables)
        for path, template in wanted.items()
    }


def render(template: str, variables: dict[str, Any]) -> str:
    """A rendered template."""
    return _environment().get_template(template).render(**variables)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and YAML, no HTML
    )


def missing_files(root: Path, name: str, texts: Mapping[Path, str]) -> dict[Path, str]:
    """The files that are missing: the same command may have been killed before it wrote them.

    Args:
        root: of the project.
        name: of the source.
        texts: what its files are to hold; none of them is there in a project that is new to it.

    Raises:
        AddError: there is another file in its folder, or one with another content.
    """
    folder = root / "dlt_pipelines" / name
    for path in (*folder.rglob("*"), *texts):
        is_ours = path in texts and path.is_file() and path.read_bytes() == texts[path].encode()
        is_rest = path.name.endswith(".tmp") or "__pycache__" in path.parts
        if path.is_file() and not is_ours and not is_rest:
            where = folder if path.is_relative_to(folder) else path
            raise AddError(
                f"there is a {where.relative_to(root).as_posix()}: take another name, or remove it"
            )
    return {path: text for path, text in texts.items() if not path.exists()}


def with_source(text: str, name: str, entry: str, file: str) -> str:
    """A settings file with an entry as the last one of ``sources``; all else stays as it is.

    Args:
        text: of the settings file; empty where there is none.
        name: of the source.
        entry: YAML of its key and value, comments in front, without indentation.
        file: what the file is called, for messages.

    Raises:
        AddError: the file cannot be edited safely.
        ProjectFileError: the file is not valid YAML.
    """
    new = yaml_editor.append_entry(yaml_editor.parse(text, file), "sources", entry)
    if new is None or list(new.data["sources"])[-1] != name:
        lines = " / ".join(line for line in entry.splitlines() if not line.startswith("#"))
        raise AddError(
            f"{file}: its `sources` cannot be edited safely, since they are not written as "
            f"indented lines; add by hand: {lines}; nothing was written"
        )
    return new.text


def sources_of(text: str, file: str) -> dict[str, object]:
    """The entries of ``sources`` by name.

    Raises:
        ProjectFileError: the file is not valid YAML.
    """
    data = yaml_editor.parse(text, file).data
    found = data.get("sources") if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}
