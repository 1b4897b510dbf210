"""JSON Schemas that let an editor complete and check settings files and schema files.

``uv run python -m headrace.editor_schemas`` writes them into ``.vscode/schemas``, where
``.vscode/settings.json`` looks for them. A user's project has them from its template; there the
command is of use after the machinery was upgraded by itself.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from headrace import portable
from headrace.settings import ContractMode, Settings
from headrace.synth.schema.schema_file import Schema

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def settings_schema() -> str:
    """The JSON Schema of ``config/*.yml``."""
    content = Settings.model_json_schema(by_alias=True)
    for name in ("targets", "sources"):
        # Pydantic says of names only what those look like that it knows of
        content["properties"][name]["additionalProperties"] = False
    contract = content["$defs"]["SourceSettings"]["properties"]["schema_contract"]
    modes = [*get_args(ContractMode), "discard"]
    reference = contract.pop("$ref")
    contract["anyOf"] = [{"enum": modes, "type": "string"}, {"$ref": reference}]
    return _text(content, "Headrace settings")


def schema_file_schema() -> str:
    """The JSON Schema of ``data/schemas/*.yml``."""
    return _text(Schema.model_json_schema(by_alias=True), "Headrace schema file")


FILES: dict[str, Callable[[], str]] = {
    "settings.schema.json": settings_schema,
    "schema-file.schema.json": schema_file_schema,
}
"""What is written, by file name."""


def write(directory: Path) -> list[Path]:
    """Write all of them, and say where.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / name for name in FILES]
    for path, make in zip(paths, FILES.values(), strict=True):
        portable.write_file(path, make())
    return paths


def _text(content: dict[str, Any], title: str) -> str:
    """One line for each definition: a program reads it, and every project holds it."""
    content["$schema"] = _DIALECT
    content["title"] = title
    return "{\n" + ",\n".join(f" {_entry(*entry)}" for entry in content.items()) + "\n}\n"


def _entry(key: str, value: Any) -> str:
    if key in {"$defs", "properties"}:
        inner = ",\n".join(f"  {_pair(*part)}" for part in value.items())
        return f"{json.dumps(key)}: {{\n{inner}\n }}"
    return _pair(key, value)


def _pair(key: str, value: Any) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".vscode", "schemas")
    for written in write(place):
        sys.stdout.write(f"{written}\n")
