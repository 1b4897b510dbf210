"""The dlt pipelines that are found in Python files, without running them."""

from pathlib import Path

import pytest

from headrace.adopt.dlt_scripts import Pipeline, Script, read_script, source_name


def found(tmp_path: Path, text: str) -> Script:
    (tmp_path / "load.py").write_text(text, "utf-8")
    script = read_script(tmp_path, tmp_path / "load.py")
    assert script is not None
    assert script.path == Path("load.py")
    return script


def only(tmp_path: Path, text: str) -> Pipeline:
    (pipeline,) = found(tmp_path, text).pipelines
    return pipeline


def test_a_source_that_is_run_below_main_is_called_with_the_same_arguments(tmp_path: Path) -> None:
    pipeline = only(
        tmp_path,
        "import dlt\nORG = 'x'\n@dlt.source\ndef github(org, page=1): ...\n"
        "if __name__ == '__main__':\n"
        "    p = dlt.pipeline('github', destination='duckdb', dataset_name='gh')\n"
        "    data = github(ORG, page=2).with_resources('issues')\n"
        "    p.run(data, write_disposition='merge')\n",
    )
    assert (pipeline.name, pipeline.dataset_name, pipeline.destination) == (
        "github",
        "gh",
        "duckdb",
    )
    assert pipeline.runs_at == "main"
    assert pipeline.expression == "script.github(script.ORG, page=2).with_resources('issues')"
    assert pipeline.options == (("write_disposition", "'merge'"),)


@pytest.mark.parametrize(
    ("body", "runs_at", "function"),
    [
        ("p = dlt.pipeline('a')\nrows = [1]\np.run(rows, table_name='t')\n", "import", None),
        (
            "def main():\n    p = dlt.pipeline('a')\n    n = input()\n    p.run(f(n))\n",
            "function",
            "main",
        ),
        ("def go():\n    dlt.pipeline('a').run(f(1))\ngo()\n", "import", "go"),
        (
            "def load(day):\n    dlt.pipeline(pipeline_name='a').run([day], table_name='t')\n",
            "function",
            None,
        ),
        (
            "if __name__ == '__main__':\n    for x in [1]:\n        dlt.pipeline('a').run(f(x))\n",
            "main",
            None,
        ),
    ],
)
def test_where_a_pipeline_is_run(
    body: str, runs_at: str, function: str | None, tmp_path: Path
) -> None:
    pipeline = only(tmp_path, f"import dlt\ndef f(x): ...\n{body}")
    assert (pipeline.name, pipeline.runs_at, pipeline.function) == ("a", runs_at, function)
    if runs_at != "import":
        assert pipeline.expression is None  # it needs a name of its place
    assert pipeline.dataset_name == "a_dataset"


def test_names_that_are_not_written_as_text_are_not_known(tmp_path: Path) -> None:
    pipeline = only(
        tmp_path,
        "import dlt, os\nNAME = 'hourly'\n"
        "p = dlt.pipeline(pipeline_name=NAME, dataset_name=os.environ['X'], destination="
        "dlt.destinations.postgres('…'))\np.run([], table_name='t')\n",
    )
    assert (pipeline.name, pipeline.dataset, pipeline.destination) == ("hourly", None, "postgres")
    assert source_name(Pipeline(None, None, None, "main"), Path("2-load.py")) == "source_2_load"


def test_functions_of_a_library_and_what_they_need(tmp_path: Path) -> None:
    script = found(
        tmp_path,
        "import dlt\n@dlt.source(name='x')\ndef api(url: str, *, key=dlt.secrets.value): ...\n"
        "@dlt.resource\ndef rows(): ...\n",
    )
    assert (script.sources, script.resources, script.pipelines) == (("api",), ("rows",), ())
    assert script.parameters["api"] == (("url", "str"),)


@pytest.mark.parametrize(
    "text", ["x = 'dlt'\n", "import dlt(\n", "import pandas  # no dlt\n", "\0import dlt"]
)
def test_other_files_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(text, "utf-8")
    assert read_script(tmp_path, tmp_path / "x.py") is None


def test_what_another_library_runs_is_no_pipeline(tmp_path: Path) -> None:
    script = found(tmp_path, "import dlt, x\nx.run(['ls'])\napp = x()\napp.run()\n")
    assert script.pipelines == ()
