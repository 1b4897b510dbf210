"""The pages' modules as one plain script: a browser loads no module from a folder (``file://``)."""

import re
from pathlib import Path, PurePosixPath

_IMPORT = re.compile(r'^import \{ (?P<names>[\w, ]+) \} from "(?P<path>[\w./]+)";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?=(?:async )?(?:function|class|const)\b\*? (?P<name>\w+))", re.MULTILINE
)


def bundled(folder: Path, entry: str) -> str:
    """A script that does what a module and all that it imports do.

    Args:
        folder: where the modules are. They import by name only, and export what they declare.
        entry: the module, relative to the folder.
    """
    parts: dict[str, str] = {}
    _add(folder, PurePosixPath(entry), parts)
    return "\n".join(
        ('"use strict";', "(() => {", "const modules = {};", *parts.values(), "})();\n")
    )


def _add(folder: Path, name: PurePosixPath, parts: dict[str, str]) -> None:
    """Add the module's text after those of all that it imports."""
    if str(name) in parts:
        return
    text = (folder / name).read_text(encoding="utf-8")
    found = {
        match["path"]: _normal(name.parent / match["path"]) for match in _IMPORT.finditer(text)
    }
    for other in found.values():
        _add(folder, other, parts)
    exported = ", ".join(match["name"] for match in _EXPORT.finditer(text))
    body = _IMPORT.sub(
        lambda match: f'const {{ {match["names"]} }} = modules["{found[match["path"]]}"];', text
    )
    body = _EXPORT.sub("", body)
    parts[str(name)] = (
        f'modules["{name}"] = (() => {{\n{body.rstrip()}\nreturn {{ {exported} }};\n}})();'
    )


def _normal(path: PurePosixPath) -> PurePosixPath:
    """The path without ``.`` and ``..``."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return PurePosixPath(*parts)
