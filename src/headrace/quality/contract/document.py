"""A contract file: read leniently, so that what is unknown to us is kept; written in place.

    text ─► YAML ─► unknown parts left out ─► open_data_contract_standard's models
                        └─► named in one line

Source: Open Data Contract Standard 3.1, https://bitol-io.github.io/open-data-contract-standard/
"""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from headrace import portable
from headrace.errors import ContractError
from headrace.exceptions import first_line
from headrace.formatting import first_few, one_line

if TYPE_CHECKING:
    from open_data_contract_standard.model import OpenDataContractStandard, SchemaObject
    from pydantic import BaseModel

API_VERSION = "v3.1.0"
"""Of what we write; any 3.x is read."""
_OWNERS_NAMES = {"from_": "from", "schema_": "schema"}


@dataclass(frozen=True)
class Contract:
    """A contract.

    Attributes:
        path: of its file, as it was given.
        model: its content.
        data: its content, with what is unknown to us.
        unknown: places of parts that the standard does not have, such as ``schema[0].colour``.
    """

    path: Path
    model: "OpenDataContractStandard"
    data: dict[str, Any]
    unknown: tuple[str, ...]

    @property
    def label(self) -> str:
        """For people: its name or id."""
        return str(self.model.name or self.model.id or self.path.name)

    @property
    def objects(self) -> "tuple[SchemaObject, ...]":
        """Its tables."""
        return tuple(self.model.schema_ or ())

    @property
    def promised_to(self) -> str:
        """Whom its file names: the team, and where it is to be told; empty if it names nobody."""
        team = self.model.team
        members = team if isinstance(team, list) else list(team.members or ()) if team else []
        names = [str(one.name or one.username) for one in members if one.name or one.username]
        name = None if team is None or isinstance(team, list) else team.name
        words = [name or first_few(names)] if name or names else []
        channels = [str(one.channel or one.url) for one in self.model.support or ()
                    if one.channel or one.url]  # fmt: skip
        words += [f"support {first_few(channels)}"] if channels else []
        return ", ".join(words)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the file, one line each."""
        if not self.unknown:
            return ()
        known = "not known to the standard 3.1, kept and not looked at"
        return (f"{self.path.name}: {known}: {first_few(self.unknown, 5)}",)


def read_contract(path: Path) -> Contract:
    """Read a contract.

    Raises:
        ContractError: it cannot be read, is of another standard or version, or is broken.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    data = _mapping(path)
    kind, version = data.get("kind"), str(data.get("apiVersion") or "")
    if "dataContractSpecification" in data:
        raise ContractError(
            f"{path} is of the Data Contract Specification, not of the Open Data Contract "
            "Standard: convert it (datacontract export --format odcs)"
        )
    if kind != "DataContract" or not version:
        raise ContractError(
            f"{path} is no contract of the Open Data Contract Standard: it needs "
            f"`kind: DataContract` and `apiVersion: {API_VERSION}`"
        )
    if not version.lstrip("v").startswith("3."):
        raise ContractError(
            f"{path} is of version {version} of the standard; 3.x is read: convert it to "
            f"`apiVersion: {API_VERSION}`"
        )
    unknown: list[str] = []
    known = _known(data, OpenDataContractStandard, "", unknown)
    try:
        model = OpenDataContractStandard.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        place = _place([one for one in first["loc"] if not _is_type_name(one)])
        raise ContractError(f"{path}: {place}: {one_line(first['msg'])}: correct it") from error
    contract = Contract(path, model, data, tuple(unknown))
    for number, each in enumerate(contract.objects):
        if not (each.name or each.physicalName):
            raise ContractError(f"{path}: schema[{number}] has no name: give it one")
        for count, column in enumerate(each.properties or ()):
            if not column.name:
                raise ContractError(
                    f"{path}: schema[{number}].properties[{count}] has no name: give it one"
                )
    return contract


def contract_of_levels(path: Path, label: str, table: str, levels: Any) -> Contract:
    """A contract that is nothing but service levels of one table, as dbt's meta has them.

    Args:
        path: of the yml.
        label: what people call it.
        table: ``schema.table``.
        levels: as below ``slaProperties`` of the standard.

    Raises:
        ContractError: they are not of that form.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    data: dict[str, Any] = {
        "name": label,
        "schema": [{"name": table.rpartition(".")[2], "physicalName": table}],
        "slaProperties": levels,
    }
    unknown: list[str] = []
    try:
        model = OpenDataContractStandard.model_validate(
            _known(data, OpenDataContractStandard, "", unknown)
        )
    except ValidationError as error:
        raise ContractError(
            f"{path}: meta.sla of {table}: write a list as below slaProperties of a contract, "
            "like [{property: latency, value: 2, unit: d}]"
        ) from error
    return Contract(path, model, data, tuple(unknown))


def written(data: dict[str, Any], path: Path | None) -> str:
    """The text of a contract; where its file exists, what it says beyond the data is kept.

    Args:
        data: what we know, in the order in which it is written.
        path: the file that is there already, whose comments and other parts stay.

    Raises:
        ContractError: the file that is there cannot be read.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    document: Any = data
    if path is not None and path.exists():
        read_contract(path)
        document = yaml.load(path.read_text(encoding="utf-8"))
        _merge(document, data)
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def write(path: Path, text: str) -> None:
    """Write a file in one step, with its folder.

    Raises:
        ContractError: it cannot be written.
    """
    try:
        portable.write_file(path, text)
    except OSError as error:
        raise ContractError(f"{path} cannot be written: {error.strerror or error}") from error


def _mapping(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ContractError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, YAMLError, ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not valid YAML: {first_line(error)}") from error
    if not isinstance(data, dict):
        raise ContractError(f"{path} holds no contract: it is not a mapping")
    return {str(key): value for key, value in data.items()}


def _known(value: Any, kind: "type[BaseModel]", place: str, unknown: list[str]) -> Any:
    """A value without the keys that a model does not have; their places are added to a list."""
    if not isinstance(value, dict):
        return value
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    found = {}
    for key, inner in value.items():
        here = f"{place}.{key}" if place else str(key)
        if key not in fields:
            unknown.append(here)
            continue
        model = _model_in(fields[key].annotation, inner)
        if model is not None and isinstance(inner, list):
            found[key] = [
                _known(one, model, f"{here}[{number}]", unknown) for number, one in enumerate(inner)
            ]
        else:
            found[key] = inner if model is None else _known(inner, model, here, unknown)
    return found


def _model_in(annotation: Any, value: Any) -> "type[BaseModel] | None":
    """The model of a value's items, or of the value; unions such as ``Team | list[TeamMember]``."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    parts = get_args(annotation)
    if isinstance(value, list) != (getattr(annotation, "__origin__", None) is list):
        fitting = [
            one for one in parts
            if (getattr(one, "__origin__", None) is list) == isinstance(value, list)
        ]  # fmt: skip
        parts = tuple(fitting) or parts
    found = (_model_in(one, value) for one in parts)
    return next((one for one in found if one is not None), None)


def _is_type_name(part: Any) -> bool:
    """Whether a part of an error's place is the name of a type, as pydantic has it in unions."""
    return isinstance(part, str) and (part[:1].isupper() or "[" in part or part in {"str", "int"})


def _place(parts: list[Any]) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{_OWNERS_NAMES.get(part, part)}"
    return text.lstrip(".") or "the file"


def _merge(document: Any, data: dict[str, Any]) -> None:
    """Put what we know into a document, whose other keys and items stay."""
    for key, value in data.items():
        there = document.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            _merge(there, value)
        elif isinstance(value, list) and isinstance(there, list):
            _merge_lists(there, value)
        elif there != value:
            document[key] = value


def _merge_lists(there: list[Any], new: list[Any]) -> None:
    """Items are the same if they have the same name, or say the same thing."""
    for item in new:
        if not isinstance(item, dict):
            if item not in there:
                there.append(item)
            continue
        key = next((one for one in ("name", "property", "username") if one in item), None)
        same = (one for one in there if isinstance(one, dict) and key and one.get(key) == item[key])
        old = next(same, None)
        if old is None and item not in there:
            there.append(item)
        elif old is not None:
            _merge(old, item)
