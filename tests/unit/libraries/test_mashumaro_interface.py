"""Methods of mashumaro's classes: made late, and kept for another process, they do the same."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mashumaro.core.meta.code import builder
from mashumaro.exceptions import MissingField

from headrace.libraries import mashumaro

ROOT = Path(__file__).parents[3]
_CLASSES = """
from dataclasses import dataclass, field
from datetime import date
from typing import Literal
from mashumaro import DataClassDictMixin
from mashumaro.config import ADD_DIALECT_SUPPORT, TO_DICT_ADD_OMIT_NONE_FLAG, BaseConfig
from mashumaro.mixins.msgpack import DataClassMessagePackMixin
from mashumaro.types import SerializationStrategy

@dataclass
class Part(DataClassMessagePackMixin):
    name: str
    note: str | None = None

    class Config(BaseConfig):
        code_generation_options = [TO_DICT_ADD_OMIT_NONE_FLAG]

@dataclass
class Wheel(Part):
    size: int = 0

@dataclass
class Note(DataClassDictMixin):
    text: str

class Backwards(SerializationStrategy):
    def serialize(self, value):
        return value[::-1]

    def deserialize(self, value):
        return value[::-1]

def upper(text):
    return text.upper()

@dataclass
class Order(DataClassMessagePackMixin):
    id: int
    parts: list[Part]
    wheels: dict[str, Wheel] = field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    what: Note | int | str = 0
    day: date | None = None
    word: str = field(default="", metadata={"deserialize": lambda text: text.lower()})
    shout: str = field(default="", metadata={"serialize": upper})

    class Config(BaseConfig):
        serialization_strategy = {bytes: Backwards()}

    back: bytes = b""

@dataclass
class Spoken(DataClassDictMixin):
    words: tuple[str, ...]

    class Config(BaseConfig):
        code_generation_options = [ADD_DIALECT_SUPPORT]
"""


@contextmanager
def another_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mashumaro, "methods", mashumaro._Methods(has_begun=True))
        yield


@pytest.fixture(autouse=True)
def _as_in_a_new_process() -> Iterator[None]:
    with another_process():
        yield
    sys.modules.pop("classes_of_a_test", None)


def classes(text: str = _CLASSES) -> dict[str, Any]:
    """They are made anew, in a module, as mashumaro looks for their names in it."""
    module = ModuleType("classes_of_a_test")
    sys.modules[module.__name__] = module
    exec(text, module.__dict__)  # noqa: S102
    return module.__dict__


def check(names: dict[str, Any]) -> None:
    """What they do, whoever made their methods."""
    order_class, wheel, spoken = names["Order"], names["Wheel"], names["Spoken"]
    given = {
        "id": 1,
        "parts": [{"name": "a", "note": None}],
        "wheels": {"front": {"name": "b", "note": None, "size": 2}},
        "kind": "b",
        "what": {"text": "c"},
        "day": "2026-11-29",
        "word": "Hi",
        "shout": "ho",
        "back": b"abc",
    }
    for _ in range(2):  # the first call makes the method
        order = order_class.from_dict(given)
        assert type(order.wheels["front"]) is wheel
        assert order.back == b"cba"
        assert order.to_dict() == {**given, "word": "hi", "shout": "HO"}
        assert order.parts[0].to_dict(omit_none=True) == {"name": "a"}
        assert wheel("c", size=3).to_dict(omit_none=True) == {"name": "c", "size": 3}
        assert order_class.from_msgpack(order.to_msgpack()) == replace(order, shout="HO")
        assert spoken.from_dict({"words": ["a"]}, dialect=None).to_dict() == {"words": ["a"]}
        with pytest.raises(MissingField, match="parts"):
            order_class.from_dict({"id": 1})


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("when_called", [False, True])
def test_methods_do_the_same_when_they_are_made_late(*, when_called: bool, is_kept: bool) -> None:
    from mashumaro.config import BaseConfig

    with ExitStack() as stack:
        if is_kept:
            stack.enter_context(mashumaro.kept([]))
        if when_called:
            stack.enter_context(mashumaro.when_called())
        names = classes()
        assert BaseConfig.lazy_compilation is when_called
        check(names)
    assert BaseConfig.lazy_compilation is False
    is_ours = names["Spoken"].__dict__["from_dict"].__func__.__module__ == mashumaro.__name__
    assert not is_ours, "what is more than known here is left to mashumaro"


def made_once() -> list[mashumaro.Method]:
    with mashumaro.kept([]), mashumaro.when_called():
        check(classes())
    return list(mashumaro.methods.gather())


def test_another_process_makes_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = made_once()
    assert len(first) > 10
    of_dialects = {"Spoken"}  # are made with their class
    original = builder.CodeBuilder.compile

    def compile_(self: Any) -> None:
        assert self.cls.__name__ in of_dialects
        original(self)

    monkeypatch.setattr(builder.CodeBuilder, "compile", compile_)
    with another_process(), mashumaro.kept(first), mashumaro.when_called():
        check(classes())
        assert mashumaro.methods.gather() == first


def test_a_class_that_is_imported_later_has_its_methods_then() -> None:
    first = made_once()
    del sys.modules["classes_of_a_test"]
    with another_process(), mashumaro.kept(first), mashumaro.when_called():
        mashumaro.methods.execute()
        assert mashumaro.methods.waiting == first
        check(classes())
        assert mashumaro.methods.waiting == []
        assert mashumaro.methods.gather() == first


def test_methods_of_another_environment_are_not_taken() -> None:
    elsewhere = {"classes_of_a_test": ("/elsewhere/classes_of_a_test.py", 1, 1)}
    first = [replace(one, files=elsewhere) for one in made_once()]
    with another_process(), mashumaro.kept(first), mashumaro.when_called():
        check(classes())
        assert mashumaro.methods.waiting == []
        assert mashumaro.methods.gather() == [], "another process would not know which to take"


def test_methods_are_of_files_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "classes.py"
    path.write_text("one")
    stat = path.stat()
    method = mashumaro.Method(b"", {}, {"a": (str(path), stat.st_mtime_ns, 3), "b": ("", 0, 0)})
    assert mashumaro.are_current([method])
    path.write_text("three")
    assert not mashumaro.are_current([method])
    path.unlink()
    assert not mashumaro.are_current([method])


_UNKNOWN = """
from dataclasses import dataclass
from mashumaro import DataClassDictMixin
from mashumaro.config import BaseConfig
from mashumaro.types import SerializationStrategy

class Plus(SerializationStrategy):
    def __init__(self, more):
        self.more = more

    def serialize(self, value):
        return value + self.more

    def deserialize(self, value):
        return value - self.more

@dataclass
class Sum(DataClassDictMixin):
    value: int

    class Config(BaseConfig):
        serialization_strategy = {int: Plus(2)}
"""


def test_nothing_is_kept_of_what_no_other_process_would_find() -> None:
    with mashumaro.kept([]), mashumaro.when_called():
        names = classes(_UNKNOWN)
        assert names["Sum"].from_dict({"value": 3}).value == 1
    assert mashumaro.methods.gather() == []


def test_nothing_is_kept_where_others_were_made_unheard() -> None:
    with mashumaro.kept([]), mashumaro.when_called():
        names = classes()
    names["Note"].from_dict({"text": "a"})
    with mashumaro.kept([]):
        check(names)
    assert mashumaro.methods.gather() == []


_OF_DBT = """
import hashlib, json, sys
from pathlib import Path
from headrace.libraries import dbt, dbt_caches, mashumaro

path, folder = map(Path, sys.argv[1:])
dbt_caches.of_environment = lambda: path.with_name("environment.cache")
with dbt_caches.methods_kept(path), dbt.environment(), dbt_caches.kept(path):
    from dbt.artifacts.schemas.catalog import CatalogArtifact
    from dbt.artifacts.schemas.freshness import FreshnessExecutionResultArtifact
    from dbt.artifacts.schemas.run import RunResultsArtifact
    from dbt.contracts.graph.manifest import Manifest

    Manifest.fill_tracking_metadata = lambda self: None  # of the flags of an invocation
    kinds = {
        "catalog": CatalogArtifact,
        "run_results": RunResultsArtifact,
        "sources": FreshnessExecutionResultArtifact,
    }
    texts = []
    for name, kind in kinds.items():
        content = json.loads((folder / f"{name}.json").read_bytes())
        texts.append(json.dumps(kind.from_dict(content).to_dict(omit_none=False)))
    texts.append(Manifest.from_msgpack(Manifest().to_msgpack()).writable_manifest().to_dict()["docs"])
    print(hashlib.sha256(repr(texts).encode()).hexdigest(), len(mashumaro.methods.made))
"""


@pytest.mark.slow
def test_artifacts_of_dbt_are_the_same_by_methods_that_are_kept(tmp_path: Path) -> None:
    folder = ROOT / "tests" / "fixtures" / "artifacts" / "dbt_1_12"

    def run() -> list[str]:
        words = [sys.executable, "-c", _OF_DBT, str(tmp_path / "kept.cache"), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    first, second = run(), run()
    assert second == [first[0], "0"]
    assert int(first[1]) > 50
