"""Model files: a zip of ``header.json`` (kind, versions, tables) and ``model.pkl``.

A pickle is code: whoever wrote the file decides what runs when it is loaded. Load only models
that you, or people you trust, made; the header and the checksum tell other files apart, and no
attackers.
"""

import hashlib
import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from headrace.synth.errors import SynthError
from headrace.synth.files import atomic_file
from headrace.synth.learn.model import Model, quiet, require_sdv

KIND: Final = "headrace-model"
_FORMAT: Final = 1
_MOST_HEADER: Final = 10_000_000


def save(model: Model, path: Path) -> None:
    """Write a model file, under its name when it is complete.

    Raises:
        OutputError: it cannot be written there.
    """
    import cloudpickle

    pickled = cloudpickle.dumps(model)
    header = {
        "kind": KIND,
        "format": _FORMAT,
        "versions": {name: version(name) for name in ("sdv", "pandas", "numpy")},
        "sha256": hashlib.sha256(pickled).hexdigest(),
        "tables": {
            name: {"rows": model.rows[name], "columns": schema.names}
            for name, schema in model.schemas.items()
        },
        "relations": [str(each) for each in model.relations.relations],
    }
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header, indent=1))
        archive.writestr("model.pkl", pickled)


def is_model(path: Path) -> bool:
    """Whether a file is a model file, by its header; nothing is unpickled."""
    try:
        _header(path)
    except SynthError:
        return False
    return True


def load(path: Path) -> Model:
    """Read a model file. It runs the code that is in it: load only your own.

    Raises:
        SynthError: it is not a model file, is damaged, or was made by another version of SDV.
    """
    header = _header(path)
    require_sdv()
    made = str(header.get("versions", {}).get("sdv", "unknown"))
    here = version("sdv")
    if made.split(".", maxsplit=1)[0] != here.split(".")[0]:
        raise SynthError(f"{path} was made by SDV {made}, and this is {here}: learn it again")
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = archive.read("model.pkl")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise SynthError(f"{path} is damaged: learn it again") from error
    if hashlib.sha256(pickled).hexdigest() != header.get("sha256"):
        raise SynthError(f"{path} is damaged, its checksum does not fit: learn it again")
    import pickle

    with quiet():
        model = pickle.loads(pickled)  # noqa: S301  # said in the docstring
    if not isinstance(model, Model):
        raise SynthError(f"{path} does not hold a model: learn it again")
    return model


def _header(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise SynthError(f"there is no model {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("header.json").file_size > _MOST_HEADER:
                raise SynthError(f"{path} is not a model of `headrace learn`")
            header = json.loads(archive.read("header.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise SynthError(
            f"{path} is not a model of `headrace learn`; nothing of it was loaded"
        ) from error
    if not isinstance(header, dict) or header.get("kind") != KIND:
        raise SynthError(f"{path} is not a model of `headrace learn`; nothing of it was loaded")
    if header.get("format") != _FORMAT:
        raise SynthError(f"{path} has format {header.get('format')}: learn it again")
    return header
