"""Rules: checks written as functions, Headrace's own and those that a project or package adds.

    Headrace's own ───────────────────────┐
    an entry point, e.g. headrace.checks ─┼─► find_rules ─► Rule ─► one sentence per problem
    a module that the settings name ──────┘

A rule takes what is checked and yields a sentence for each problem. Users see its docstring, and
its keyword arguments with defaults are its settings.
"""

import importlib.metadata
import inspect
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headrace.error_detail import hidden, user_frame
from headrace.errors import SettingsError
from headrace.exceptions import first_line
from headrace.formatting import did_you_mean
from headrace.process import TookTooLongError, import_from, within


@dataclass(frozen=True)
class Rule:
    """A check.

    Attributes:
        function: takes what is checked, and its settings as keyword arguments; yields problems.
    """

    function: Callable[..., Iterable[str]]

    @property
    def name(self) -> str:
        """What the settings call it."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """What it checks, for users."""
        return inspect.getdoc(self.function) or ""

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings and their defaults."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def problems(
        self,
        subject: Any,
        options: Mapping[str, Any],
        *,
        seconds: float | None = None,
        stop: Callable[[], None] = lambda: None,
    ) -> list[str]:
        """What it finds; an error within the rule, or one that never ends, counts as a problem.

        Args:
            subject: what is checked.
            options: settings that differ from the defaults.
            seconds: that it may take; None for as long as it likes.
            stop: is called when it took longer, to end what it waits for.
        """

        def run() -> list[str]:
            return [str(one) for one in self.function(subject, **options)]

        try:
            return run() if seconds is None else within(seconds, run, stop)
        except TookTooLongError:
            return [f"the check {self.name} took more than {seconds:g} s, and was stopped"]
        except Exception as error:
            said = f"{type(error).__name__}: {first_line(error)}"
            return [f"the check {self.name} failed{self._place(error)}: {said}"]

    def _place(self, error: Exception) -> str:
        """Where in the rule's own file it failed."""
        file = inspect.getsourcefile(self.function)
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == file]
        return f" at {Path(file).name} line {lines[-1]}" if file and lines else ""


def rule(function: Callable[..., Iterable[str]]) -> Rule:
    """Make a rule of a function.

    Raises:
        TypeError: it has no docstring, or a setting without a default.
    """
    made = Rule(function)
    if not made.description:
        raise TypeError(f"the rule {made.name} has no docstring, which users would see: write one")
    if inspect.Parameter.empty in made.settings.values():
        raise TypeError(f"a setting of the rule {made.name} has no default: give it one")
    return made


def find_rules(
    own: Iterable[Rule], *, group: str, modules: Iterable[str], root: Path
) -> dict[str, Rule]:
    """All rules by name.

    Args:
        own: Headrace's; they are found without the metadata of an installation.
        group: of entry points, each of which names a rule or a module with rules.
        modules: that the settings name, importable from ``root``.
        root: the project's directory.

    Raises:
        SettingsError: a module cannot be imported, or two rules have the same name.
    """
    found = list(own)
    try:
        for point in importlib.metadata.entry_points(group=group):
            where = f"the entry point {point.value} of {group}"
            found += _rules_in(point.load())
        for name in modules:
            where = f"the module {name}"
            found += _rules_in(import_from(root, name))
    except Exception as error:
        raise SettingsError(
            f"{where} cannot be imported ({type(error).__name__}: {first_line(error)}): correct it",
            detail=hidden(user_frame(error, root)),
        ) from error
    by_name = {one.name: one for one in found}
    for one in found:
        if by_name[one.name] != one:
            raise SettingsError(f"two rules are called {one.name}: rename one of them")
    return by_name


def _rules_in(found: Any) -> list[Rule]:
    values = vars(found).values() if isinstance(found, ModuleType) else (found,)
    return [value for value in values if isinstance(value, Rule)]


def chosen_rules(
    rules: Mapping[str, Rule], options: Mapping[str, bool | Mapping[str, Any]], *, key: str
) -> list[tuple[Rule, dict[str, Any]]]:
    """The rules that the settings leave on, each with what is set of it.

    Raises:
        SettingsError: the settings name an unknown rule or setting, or a value of a wrong type.
    """
    for name in options:
        if name not in rules:
            _unknown(f"{key}.{name}", "rule", name, rules)
    chosen = []
    for name, one in rules.items():
        given = options.get(name, True)
        if given is not False:
            values = {} if given is True else dict(given)
            kinds = typing.get_type_hints(one.function, include_extras=True)
            for setting, value in values.items():
                if setting not in one.settings:
                    _unknown(f"{key}.{name}.{setting}", "setting", setting, one.settings)
                try:
                    values[setting] = TypeAdapter(kinds.get(setting, Any)).validate_python(value)
                except ValidationError as error:
                    why = error.errors()[0]["msg"]
                    raise SettingsError(f"{key}.{name}.{setting} = {value!r}: {why}") from error
            chosen.append((one, values))
    return chosen


def _unknown(where: str, what: str, name: str, known: Iterable[str]) -> typing.NoReturn:
    meant = did_you_mean(name, known)
    raise SettingsError(
        f"{where}: unknown {what}{f'; {meant}' if meant else ';'} known: {', '.join(known) or '-'}"
    )
