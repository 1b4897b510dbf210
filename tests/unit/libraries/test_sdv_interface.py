"""What Headrace relies on inside SDV; fails when a new version moves it."""

import pytest

from headrace.libraries import sdv as libraries_sdv
from headrace.synth.learn.model import quiet


@pytest.fixture(autouse=True)
def needs_sdv() -> None:
    """Imports it when a test is run, and not when all tests are collected: that takes seconds."""
    pytest.importorskip("sdv", reason="uv sync --extra learn")
    pytest.importorskip("pandas", reason="uv sync --extra learn")


def test_errors_are_there() -> None:
    assert all(issubclass(kind, Exception) for kind in libraries_sdv.errors())


@pytest.mark.filterwarnings("ignore")
def test_same_seed_same_rows() -> None:
    import pandas as pd
    from sdv.metadata import Metadata
    from sdv.single_table import GaussianCopulaSynthesizer

    frame = pd.DataFrame({"amount": [float(number % 17) for number in range(50)]})
    columns = {"amount": {"sdtype": "numerical"}}
    with quiet(1):
        synthesizer = GaussianCopulaSynthesizer(
            Metadata.load_from_dict({"tables": {"orders": {"columns": columns}}})
        )
        synthesizer.fit({"orders": frame})
        drawn = []
        for seed in (7, 8, 7):
            with libraries_sdv.seeded(synthesizer, seed):
                drawn.append(synthesizer.sample(num_rows=20)["orders"]["amount"].tolist())
    assert drawn[0] == drawn[2] != drawn[1]
