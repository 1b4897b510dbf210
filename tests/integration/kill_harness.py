"""The attempts of ``test_kills``: kill a run in a step, look, run again, compare.

A process of its own: it imports dlt and dbt once and forks (see ``kill_forks``). Two lanes of
attempts go on side by side. What they saw is printed as JSON, and ``test_kills`` judges it.

    python kill_harness.py WORK_DIRECTORY SEED [KILLS_PER_STEP [GROUP,...]]
"""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from kill_forks import PATIENCE_S, Tell, start
from kill_places import (
    ROOT,
    STEPS,
    Moment,
    Picture,
    Place,
    look,
    look_at_published,
    run_in,
    write_input,
)
from small_project import copy_models
from warm_process import freeze, import_all

LANES = 2
GROUPS = ("publish", "interrupt", "load", "first", "refresh", "build", "damage")
TEARS = (
    ("dlt/jaffle_shop/state.json", "published.duckdb"),
    ("dlt/jaffle_shop/schemas/*.json", "dlt/jaffle_shop/trace.pickle", "dbt/**/*"),
)
VERSIONS = 4
ORDERS = 15_000


@dataclass(frozen=True)
class Measured:
    """How long a step takes, and how many file operations it makes."""

    seconds: float
    operations: int


@dataclass
class Attempt:
    """One kill and what came of it.

    Attributes:
        name: what was attempted, with all that its moment follows from.
        group: the group that it counts for.
        shots: how many children were to be killed.
        hits: how many of them died in the step that was meant.
        problems: what was not as it must be.
    """

    name: str
    group: str
    shots: int = 0
    hits: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """What the attempts share: the input's versions, clean runs, and places that stand ready.

    Attributes:
        work: the directory of everything.
        seed: what all moments follow from.
    """

    work: Path
    seed: str

    @property
    def dbt_project(self) -> Path:
        """A copy of the dbt project with fewer tests."""
        return self.work / "dbt_project"

    def version(self, number: int) -> Path:
        """The files of a version of the input."""
        return self.work / f"version{number}"

    def place(self, name: str) -> Place:
        """A place by its name."""
        return Place(self.work / name, self.dbt_project)

    @property
    def lane(self) -> Place:
        """Where a lane makes its attempts: in one place, as dbt parses a project anew elsewhere."""
        return self.place(f"lane{os.getpid()}")

    def clean(self, number: int) -> Place:
        """Where a clean run of a version was made."""
        return self.place(f"clean{number}")

    def picture(self, number: int) -> Picture:
        """What a clean run of a version gives."""
        text = (self.work / f"clean{number}.json").read_text(encoding="utf-8")
        return cast("Picture", json.loads(text))

    def measured(self, step: str) -> Measured:
        """A step's measures, of the version that took least time."""
        found = [
            Measured(**json.loads(path.read_text(encoding="utf-8")))
            for path in self.work.glob(f"measured-{step}-*.json")
        ]
        return min(found, key=lambda each: each.seconds)

    def chance(self, name: str) -> random.Random:
        """Random numbers that follow from the seed and a name."""
        return random.Random(f"{self.seed}/{name}")

    # preparation

    def prepare_clean(self, number: int) -> list[Any]:
        """Run a version in an empty place, and take the picture of it."""
        place = self.clean(number)
        place.become(None)
        place.put(self.version(number))
        self._measure("first", number, place, steps=STEPS, watched="load")
        picture = start(lambda _: look(place)).result()
        (self.work / f"clean{number}.json").write_text(json.dumps(picture), encoding="utf-8")
        return []

    def prepare_steps(self, number: int) -> list[Any]:
        """Let places stand ready in which a version is loaded, and built, and not published."""
        place = self.place(f"built{number}")
        place.become(self.clean(number - 1))
        place.put(self.version(number))
        self._measure("load", number, place, steps=("load",), watched="load")
        loaded = self.place(f"loaded{number}")
        loaded.become(place)
        for _ in range(2):  # the second time, as where runs are killed, dbt has parsed before
            place.become(loaded)
            place.put(self.version(number))
            self._measure("build", number, place, steps=("build",), watched="build")
            if number > 1:
                break  # the shortest time is taken, so one version will do
        self._measure("publish", number, place, steps=("publish",), watched="publish")
        return []

    def _measure(
        self, name: str, number: int, place: Place, *, steps: tuple[str, ...], watched: str
    ) -> None:
        child = start(run_in(place, steps=steps, watched=watched))
        report = child.result()
        if report["status"] != "success":
            raise RuntimeError(f"{name} of version {number}: {report}")
        began, ended = child.heard(f"started {watched}"), child.heard(f"done {watched}")
        measured = {"seconds": (ended or 0) - (began or 0), "operations": report["operations"]}
        path = self.work / f"measured-{name}-{number}.json"
        path.write_text(json.dumps(measured), encoding="utf-8")

    # kills

    def kill_load(self, index: int, miss: int = 0) -> Attempt:
        """Kill a load of changed files; the state of dlt is lost or new files come, at times."""
        number = 1 + index % (VERSIONS - 1)
        after = number + 1 if index % 4 == 3 and number + 1 < VERSIONS else number
        place = self.lane
        place.become(self.clean(number - 1))
        place.put(self.version(number))
        return self._kill(
            f"load{index}.{miss}: version {number}, then {after}",
            "load",
            place,
            before=(number - 1,),
            number=number,
            after=after,
            miss=miss,
            lose_state=index % 3 == 2,
            again=_more_kills(index),
        )

    def kill_first(self, index: int, miss: int = 0) -> Attempt:
        """Kill the first load into an empty warehouse; by the bulk path, at times."""
        after = 1 if index % 4 >= 2 else 0
        place = self.lane
        place.become(None)
        place.put(self.version(0))
        return self._kill(
            f"first{index}.{miss}: bulk {index % 2 == 0}, then version {after}",
            "first",
            place,
            before=(None,),
            number=0,
            after=after,
            miss=miss,
            lose_state=index % 3 == 2,
            again=_more_kills(index),
            bulk=index % 2 == 0,
        )

    def kill_refresh(self, index: int, miss: int = 0) -> Attempt:
        """Kill a load that starts over, with all tables dropped."""
        number = 1 + index % (VERSIONS - 1)
        place = self.lane
        place.become(self.clean(number - 1))
        place.put(self.version(number))
        return self._kill(
            f"refresh{index}.{miss}: version {number}",
            "refresh",
            place,
            before=(number - 1,),
            number=number,
            after=number,
            miss=miss,
            lose_state=index % 3 == 2,
            again=_more_kills(index),
            full_refresh=True,
        )

    def kill_build(self, index: int, miss: int = 0) -> Attempt:
        """Kill a build of changed tables."""
        number = 1 + index % (VERSIONS - 1)
        place = self.lane
        place.become(self.place(f"loaded{number}"))
        place.put(self.version(number))
        return self._kill(
            f"build{index}.{miss}: version {number}",
            "build",
            place,
            before=(number - 1,),
            number=number,
            after=number,
            miss=miss,
            again=_more_kills(index),
            steps=("build", "publish"),
        )

    def kill_publish(self, index: int, miss: int = 0) -> Attempt:
        """Kill a publish; the published file is of the version before, or there is none."""
        number = 1 + index % (VERSIONS - 1)
        place = self.place(f"built{number}")
        first = index % 5 == 4
        if first:
            place.published.unlink(missing_ok=True)
        else:
            shutil.copyfile(self.clean(number - 1).published, place.published)
        return self._kill(
            f"publish{index}.{miss}: version {number}{', the first' if first else ''}",
            "publish",
            place,
            before=(None if first else number - 1, number),
            number=number,
            after=number,
            miss=miss,
            steps=("publish",),
            again=(index + index // 3) % 3,
        )

    def _kill(
        self,
        name: str,
        group: str,
        place: Place,
        *,
        before: tuple[int | None, ...],
        number: int,
        after: int,
        miss: int,
        steps: tuple[str, ...] = STEPS,
        lose_state: bool = False,
        again: int = 0,
        bulk: bool = False,
        full_refresh: bool = False,
    ) -> Attempt:
        """Kill a child in a step, look at what is published, run again, compare all.

        Args:
            name: of the attempt; its moment follows from it.
            group: ``load``, ``build``, ``publish``, ``first`` or ``refresh``.
            place: where; the input stands ready.
            before: what may be published after the kill: whole versions; None for no file.
            number: the version that is killed; published, too, if the kill came too late.
            after: the version that the next run loads.
            miss: how often this kill came too late; the next one comes earlier.
            steps: what the child runs.
            lose_state: whether dlt's working directory is lost after the kill.
            again: how many of the next runs are killed as well, before the one that is to converge.
            bulk: see ``run_in``.
            full_refresh: see ``run_in``.
        """
        measure = "load" if group == "refresh" else group
        moment = self._moment(name, measure, 0.5**miss)
        options: dict[str, Any] = {
            "steps": steps,
            "watched": group if group in STEPS else "load",
            "bulk": bulk,
            "full_refresh": full_refresh,
        }
        attempt = Attempt(f"{name}; {moment}{'; dlt state lost' if lose_state else ''}", group)
        try:
            hit = self._shoot(attempt, place, moment, options)
            self._check_published(attempt, place, before if hit else (*before, number))
            if lose_state:
                shutil.rmtree(place.data / "dlt", ignore_errors=True)
            place.put(self.version(after))
            for number_again in range(1, again + 1):
                if not hit:
                    break
                options |= {"full_refresh": False}
                options |= {} if group == "publish" else {"steps": STEPS}
                moment = self._moment(f"{name} again {number_again}", measure, 0.8)
                attempt.name += f"; again {moment}"
                hit = self._shoot(attempt, place, moment, options)
                self._check_published(attempt, place, before if hit else (*before, after))
            self._recover(attempt, place, after, bulk=bulk)
        except (RuntimeError, TimeoutError) as error:
            attempt.problems.append(str(error))
        self._keep(attempt, place)
        return attempt

    def _keep(self, attempt: Attempt, place: Place) -> None:
        """Put aside what a bad attempt left, for somebody to look at."""
        if attempt.problems:
            name = attempt.name.partition(":")[0]
            shutil.copytree(place.root, self.work / f"bad-{name}", dirs_exist_ok=True)

    def _shoot(
        self, attempt: Attempt, place: Place, moment: Moment, options: dict[str, Any]
    ) -> bool:
        """Run in a child and kill it; gives whether it died in the step."""
        step = options["watched"]
        child = start(run_in(place, moment=moment, **options))
        if child.wait_for(f"started {step}"):
            if moment.operation is None or (not moment.itself and child.wait_for("now")):
                time.sleep(moment.after_s)
            if not moment.itself:
                child.send(signal.SIGKILL)
        code = child.end()
        if child.raised:
            attempt.problems.append(f"the run that was to be killed: {child.raised}")
        hit = code == -signal.SIGKILL and child.heard(f"done {step}") is None
        attempt.shots += 1
        attempt.hits += hit
        return hit

    def _check_published(
        self, attempt: Attempt, place: Place, versions: tuple[int | None, ...]
    ) -> None:
        """Whether one of the versions is published, whole; None stands for no file."""
        published = start(lambda _: look_at_published(place)).result()
        whole = [None if v is None else self.picture(v)["published"] for v in versions]
        if published not in whole:
            attempt.problems.append(f"published: {published}")

    def _moment(self, name: str, measure: str, part: float) -> Moment:
        chance, measured = self.chance(name), self.measured(measure)
        if chance.random() < 0.5:
            return Moment(chance.uniform(0, measured.seconds * part))
        operation = chance.randint(1, max(1, round(measured.operations * part)))
        if chance.random() < 0.5:
            return Moment(0, operation, itself=True)
        return Moment(chance.uniform(0, 0.002), operation)

    def _recover(self, attempt: Attempt, place: Place, number: int, *, bulk: bool = False) -> None:
        """Run again and compare everything with a clean run."""
        report = start(run_in(place, bulk=bulk)).result()
        if report["status"] != "success":
            attempt.problems.append(f"the next run: {report}")
        picture, clean = start(lambda _: look(place)).result(), self.picture(number)
        for part in ("leftovers", "tables", "published"):
            if picture[part] != clean[part]:
                attempt.problems.append(f"{part}: {_difference(picture[part], clean[part])}")

    def damage(self, index: int) -> Attempt:
        """Tear files, as a kill in the middle of a write would."""
        number = 1 + index % (VERSIONS - 1)
        place = self.lane
        place.become(self.clean(number - 1))
        place.put(self.version(number))
        attempt = Attempt(f"damage{index}: {TEARS[index]}", "damage")
        try:
            for pattern in TEARS[index]:
                torn = [path for path in place.data.glob(pattern) if path.is_file()]
                if not torn:
                    attempt.problems.append(f"there is no {pattern}")
                for path in torn:
                    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            self._recover(attempt, place, number)
        except (RuntimeError, TimeoutError) as error:
            attempt.problems.append(str(error))
        self._keep(attempt, place)
        return attempt

    # Ctrl-C

    def interrupt(self, index: int) -> Attempt:
        """Press Ctrl-C in two runs of the command line, in a warm child or in a new process."""
        number = 1 + index % (VERSIONS - 1)
        place = self.lane
        place.become(self.clean(number - 1))
        place.put(self.version(number))
        chance = self.chance(f"interrupt{index}")
        seconds = sum(self.measured(step).seconds for step in STEPS)
        attempt = Attempt(f"interrupt{index}: version {number}", "interrupt")
        try:
            for time_s, cold in ((seconds, index % 3 == 1), (seconds / 2, False)):
                after_s = chance.uniform(0, 2.5 + time_s if cold else time_s)
                attempt.name += f"; {'cold' if cold else 'warm'}, {after_s:.3f} s"
                self._interrupt(attempt, place, after_s, cold=cold)
                self._check_published(attempt, place, (number - 1, number))
            self._recover(attempt, place, number)
        except (RuntimeError, TimeoutError) as error:
            attempt.problems.append(str(error))
        self._keep(attempt, place)
        return attempt

    def _interrupt(self, attempt: Attempt, place: Place, after_s: float, *, cold: bool) -> None:
        errors = place.root / "stderr"
        errors.unlink(missing_ok=True)
        code = (_interrupt_process if cold else _interrupt_child)(place, errors, after_s)
        said = errors.read_text(encoding="utf-8")
        attempt.shots += 1
        attempt.hits += code == 130
        one_line = len(said.splitlines()) == 1 and said.startswith("error: stopped")
        if code not in {0, 130} or (code == 130 and not one_line) or "Traceback" in said:
            attempt.problems.append(f"ended with {code} and said {said!r}")


def _more_kills(index: int) -> int:
    """How many kills follow the first one, before the run that is to converge."""
    return (0, 2, 3, 3)[index % 4]


def _interrupt_child(place: Place, errors: Path, after_s: float) -> int:
    child = start(_command_line(place, errors))
    child.wait_for("started")
    time.sleep(after_s)
    child.send(signal.SIGINT)
    return child.end()


_COLD = """
import sys
from headrace.cli.main import main
print("ready", flush=True)  # before it, Ctrl-C meets Python itself
sys.argv[0] = "headrace"
main()
"""


def _interrupt_process(place: Place, errors: Path, after_s: float) -> int:
    with errors.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", _COLD, *_arguments(place)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(after_s)
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE_S)
            # Ctrl-C inside an `exec` of text: Python ends by the signal, which is 130 to a shell
            return 130 if code == -signal.SIGINT else code
        finally:
            process.kill()
            process.communicate()


def _arguments(place: Place) -> list[str]:
    sets = [word for flag in place.flags for word in ("--set", flag)]
    return ["run", "--project-dir", str(ROOT), *sets]


def _command_line(place: Place, errors: Path) -> Callable[[Tell], Any]:
    """The work of a child that is ``headrace run``; what it says on stderr goes to a file."""

    def work(tell: Tell) -> Any:
        from headrace.cli.main import main

        for number, path in ((1, os.devnull), (2, str(errors))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), number)
        sys.argv = ["headrace", *_arguments(place)]
        try:
            tell("started")
            main()
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))

    return work


def _difference(seen: Any, clean: Any) -> str:
    if isinstance(seen, dict) and isinstance(clean, dict):
        keys = sorted(key for key in {*seen, *clean} if seen.get(key) != clean.get(key))
        return "; ".join(f"{key}: {seen.get(key)} and not {clean.get(key)}" for key in keys)
    return f"{seen} and not {clean}"


# ── the whole ───────────────────────────────────────────────────────────────


def slim(source: Path, destination: Path) -> None:
    """Copy the jaffle shop's models with the tests of one mart alone: all others only read."""
    from ruamel.yaml import YAML

    copy_models(source, destination)
    yaml = YAML()
    for path in destination.glob("models/**/*.yml"):
        if path.name == "orders.yml":
            continue
        document = yaml.load(path)
        document.pop("unit_tests", None)
        for model in document.get("models", []):
            model.pop("data_tests", None)
            for column in model.get("columns", []):
                column.pop("data_tests", None)
        yaml.dump(document, path)


def warm_up(bench: Bench) -> None:
    """Import all that a run needs, and let dbt make its classes; opens nothing."""
    import_all()
    from dbt.cli.main import dbtRunner

    from headrace.libraries import dbt_shortcuts
    from headrace.pipeline.dbt import dbt_runner
    from headrace.settings import resolve

    place = bench.place("warm")
    resolved = resolve(ROOT, flags=place.flags, environ={})
    dbt_runner.write_profile(resolved, resolved.target)
    with dbt_runner.environment():
        # the static parser has threads of its own, and those do not outlive a fork
        result = dbtRunner().invoke(
            ["--no-static-parser", "parse", *dbt_runner.arguments(resolved)]
        )
    if not result.success:
        raise RuntimeError(f"dbt cannot parse: {result.exception}")
    dbt_shortcuts.read_ahead(resolved.artifacts / "partial_parse.msgpack")  # makes the readers
    freeze()


def in_lanes(tasks: Sequence[Callable[[], list[Any]]]) -> list[Any]:
    """Do tasks in two processes side by side, each taking the next one; gives their results."""
    queue, end = os.pipe()
    os.write(end, bytes(range(len(tasks))))
    os.close(end)

    def lane(_: Tell) -> list[Any]:
        results: list[Any] = []
        while number := os.read(queue, 1):
            results += tasks[number[0]]()
        return results

    lanes = [start(lane) for _ in range(LANES)]
    os.close(queue)
    return [result for child in lanes for result in child.result(patience_s=3600)]


def until_hit(kill: Callable[[int, int], Attempt], *indices: int) -> list[Any]:
    """Make each attempt, and make it again, earlier, when it came too late."""
    attempts = []
    for index in indices:
        for miss in range(4):
            attempts += once(kill, index, miss)
            if attempts[-1]["hits"]:
                break
    return attempts


def once(attempt: Callable[..., Attempt], *arguments: int) -> list[Any]:
    """Make an attempt and note it in the log."""
    made = asdict(attempt(*arguments))
    sys.stderr.write(f"{json.dumps(made)}\n")
    return [made]


def main() -> None:
    """See the module."""
    work, seed = Path(sys.argv[1]), sys.argv[2]
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    groups = sys.argv[4].split(",") if len(sys.argv) > 4 else GROUPS
    os.chdir(ROOT)
    bench = Bench(work, seed)
    slim(ROOT / "dbt_project", bench.dbt_project)
    warm_up(bench)
    for number in range(VERSIONS):
        write_input(bench.version(number), number, ORDERS)
    in_lanes([partial(bench.prepare_clean, number) for number in range(VERSIONS)])
    in_lanes([partial(bench.prepare_steps, number) for number in range(1, VERSIONS)])
    rounds = math.ceil(kills * 0.4)  # an attempt kills once, or three or four times
    publishes = math.ceil(kills * 0.55)  # once, twice or thrice: it is over soon, and kills miss
    few = max(1, kills // 5)
    plan: dict[str, list[Callable[[], list[Any]]]] = {
        # a place is published from again and again: in one lane, one after the other
        "publish": [
            partial(until_hit, bench.kill_publish, *range(first, publishes, VERSIONS - 1))
            for first in range(VERSIONS - 1)
        ],
        "damage": [partial(once, bench.damage, index) for index in range(len(TEARS))],
        "interrupt": [partial(once, bench.interrupt, index) for index in range(3)],
        "load": [partial(until_hit, bench.kill_load, index) for index in range(rounds)],
        "first": [partial(until_hit, bench.kill_first, index) for index in range(few)],
        "refresh": [partial(until_hit, bench.kill_refresh, index) for index in range(few // 2 + 1)],
        "build": [partial(until_hit, bench.kill_build, index) for index in range(rounds)],
    }
    attempts = in_lanes([task for group in groups for task in plan[group]])
    sys.stdout.write(json.dumps(attempts))


if __name__ == "__main__":
    main()
