"""A large manifest: how long it takes to read, and how much memory, against json and pydantic.

uv run python -m benchmarks.artifacts [--runs 5] [--size 200] [--manifest target/manifest.json]

The file repeats the nodes of a real manifest with new ids. Each reader is a process of its own:
`headrace` reads it as the catalog does, `json.loads` makes plain objects of it and checks nothing,
`pydantic` validates the same fields into models of the same names and types.
"""

import gc
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from benchmarks.measure import ROOT, BenchmarkError, Sample, alternate, python, ratio, run_process
from benchmarks.report import Report, parser, work_dir

_FIXTURE = ROOT / "tests/fixtures/artifacts/dbt_1_12/manifest.json"
_MAPS = ("nodes", "sources", "exposures", "groups", "unit_tests", "parent_map")
_CASES = {
    "as dbt writes it": ("headrace", "json", "json_no_gc", "pydantic"),
    "one node in 1,000 has wrong types": ("headrace", "json"),
    "one NaN in it, which JSON does not know": ("headrace", "json"),
}
_MB = 1_000_000


def main() -> None:
    """Measure; or be one of the processes that are measured."""
    if len(sys.argv) > 2 and sys.argv[1] == "read":
        read(*sys.argv[2:])
        return
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=200, help="of the manifest, in MB")
    options.add_argument("--manifest", type=Path, default=_FIXTURE, help="whose nodes to repeat")
    chosen = options.parse_args()
    with work_dir(chosen.work_dir) as work:
        report = measure(work, runs=chosen.runs, size=chosen.size, like=chosen.manifest)
    report.finish(chosen.out)


def measure(work: Path, *, runs: int, size: int, like: Path) -> Report:
    """Make the files, and read each of them."""
    report = Report("artifacts", f"Reading a manifest of {size} MB", inner="inside s")
    for number, (case, readers) in enumerate(_CASES.items()):
        path = work / f"case_{number}" / "manifest.json"
        path.parent.mkdir(exist_ok=True)
        nodes = write(path, like, size=size * _MB, case=number)
        contenders = {name: _reader(name, path, nodes) for name in readers}
        samples = alternate(contenders, runs=runs)
        ours = samples["headrace"]
        report.add(case, "Headrace", ours)
        for name in readers[1:]:
            report.add(case, _NAMES[name], samples[name], ratio=ratio(ours, samples[name]))
        report.facts["nodes"] = f"{nodes:,}"
    return report


_NAMES = {
    "json": "json.loads",
    "json_no_gc": "json.loads without garbage collection, as Headrace",
    "pydantic": "pydantic",
}


def _reader(name: str, path: Path, nodes: int) -> Any:
    def once(_: int) -> Sample:
        sample = run_process(python("-m", "benchmarks.artifacts", "read", name, path))
        seconds, found = sample.stdout.split()
        if int(found) != nodes:
            raise BenchmarkError(f"{name} found {found} nodes of {nodes}")
        return Sample(sample.seconds, sample.cpu_seconds, sample.peak_bytes, float(seconds))

    return once


def write(path: Path, like: Path, *, size: int, case: int) -> int:
    """Write a manifest of ``size`` bytes; how many nodes are in it."""
    document = json.loads(like.read_text(encoding="utf-8"))
    project = document["metadata"]["project_name"]
    one = len(json.dumps({name: document[name] for name in _MAPS}))
    times = max(1, size // one)
    with path.open("w", encoding="utf-8") as out:
        rest = {key: value for key, value in document.items() if key not in _MAPS}
        out.write(json.dumps(rest)[:-1])
        for name in _MAPS:
            out.write(f', "{name}": {{')
            for number, piece in enumerate(_pieces(document[name], project, times)):
                out.write(", " if number else "")
                out.write(_spoilt(piece, number, case) if name == "nodes" else piece)
            out.write("}")
        out.write("}")
    return times * len(document["nodes"])


def _pieces(entries: dict[str, Any], project: str, times: int) -> Iterator[str]:
    texts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items()]
    for number in range(times):
        for text in texts:
            yield text.replace(f".{project}.", f".{project}_{number}.")


def _spoilt(piece: str, number: int, case: int) -> str:
    if case == 1 and number % 1_000 == 0:
        return piece.replace('"tags": []', '"tags": {"a": 1}', 1)
    if case == 2 and number == 1_000:
        return piece.replace('"meta": {}', '"meta": {"share": NaN}', 1)
    return piece


def read(name: str, path: str) -> None:
    """Read the file, print the seconds and how many nodes there are."""
    if name == "headrace":
        from headrace.artifacts import load_manifest

        started = time.perf_counter()
        nodes = len(load_manifest(Path(path)).value.nodes)
    elif name.startswith("json"):
        if name == "json_no_gc":
            gc.disable()
        started = time.perf_counter()
        nodes = len(json.loads(Path(path).read_bytes())["nodes"])
    else:
        from headrace.artifacts import Manifest

        model = _pydantic(Manifest, {})
        started = time.perf_counter()
        nodes = len(model.model_validate_json(Path(path).read_bytes()).nodes)
    print(time.perf_counter() - started, nodes)


def _pydantic(struct: Any, made: dict[Any, Any]) -> Any:
    """The pydantic model with the fields of a msgspec struct."""
    import msgspec
    from pydantic import ConfigDict, Field, create_model

    if struct in made:
        return made[struct]
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        kind = _translated(field.type, made)
        if field.required:
            fields[field.name] = (kind, Field(alias=field.encode_name))
        elif field.default is not msgspec.NODEFAULT and not isinstance(
            field.default, msgspec.Struct
        ):
            fields[field.name] = (kind, Field(field.default, alias=field.encode_name))
        elif isinstance(field.default, msgspec.Struct):
            fields[field.name] = (kind, Field(None, alias=field.encode_name))
        else:
            fields[field.name] = (
                kind,
                Field(default_factory=field.default_factory, alias=field.encode_name),
            )
    config = ConfigDict(extra="ignore", frozen=True)
    made[struct] = create_model(struct.__name__, __config__=config, **fields)
    return made[struct]


def _translated(kind: Any, made: dict[Any, Any]) -> Any:
    import msgspec

    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _pydantic(kind, made)
    arguments = tuple(_translated(each, made) for each in get_args(kind))
    if not arguments:
        return kind
    origin = get_origin(kind)
    return Union[arguments] if origin in {Union, UnionType} else origin[arguments]  # noqa: UP007


if __name__ == "__main__":
    main()
