"""The place of an error in the user's own files."""

from pathlib import Path

import pytest

from headrace.cli.main import _fail
from headrace.error_detail import ErrorDetail, Mismatch, excerpt, user_frame
from headrace.errors import SettingsError
from headrace.process import import_from
from headrace.settings import resolve

DETAIL = ErrorDetail(
    "models/orders.sql", 3, 5, "3 | x", (Mismatch("id", "BIGINT", "", "missing in contract"),)
)


def test_detail_survives_json() -> None:
    values = DETAIL.as_json()
    assert ErrorDetail.from_json({**values, "of a later version": 1}) == DETAIL
    assert DETAIL.text.splitlines() == [
        "--> models/orders.sql:3:5",
        "3 | x",
        "column  definition  contract  reason",
        "id      BIGINT                missing in contract",
    ]


def test_excerpt() -> None:
    lines = [f"line {number}" for number in range(1, 12)]
    assert excerpt(lines, 10, 6) == " 8 | line 8\n 9 | line 9\n10 | line 10\n   |      ^"
    assert excerpt(lines, 99, 6).endswith("11 | line 11")
    assert excerpt([], 1) == ""
    long = excerpt([f"{'a' * 500}b{'c' * 500}"], 1, 501)
    shown, caret = long.splitlines()
    assert shown[caret.index("^")] == "b"
    assert len(shown) < 200


def test_own_frame_among_those_of_libraries(tmp_path: Path) -> None:
    code = tmp_path / "pipelines_of_mine.py"
    code.write_text("import json\n\n\ndef rows():\n    return json.loads('{')\n")
    module = import_from(tmp_path, "pipelines_of_mine")
    with pytest.raises(ValueError, match="Expecting") as caught:
        module.rows()
    found = user_frame(caught.value, tmp_path)
    assert found is not None
    assert found.place == "pipelines_of_mine.py:5"
    assert "return json.loads" in found.excerpt
    assert user_frame(caught.value, tmp_path / "elsewhere") is None


def test_own_syntax_error(tmp_path: Path) -> None:
    (tmp_path / "half_of_a_pipeline.py").write_text("x = 1\ny = (\n")
    with pytest.raises(SyntaxError) as caught:
        import_from(tmp_path, "half_of_a_pipeline")
    found = user_frame(caught.value, tmp_path)
    assert found is not None
    assert found.place == "half_of_a_pipeline.py:2:5"


@pytest.mark.parametrize("text", ["a:\n  token: hush123\n b: 1\n", "token: |\n  hush123\nb: [\n"])
def test_settings_are_shown_without_secrets(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/default.yml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        resolve(tmp_path, environ={})
    detail = caught.value.detail
    assert detail is not None
    assert detail.file == "config/default.yml"
    assert detail.line in {3, 4}
    assert "token: ***" in detail.excerpt
    assert "hush123" not in detail.excerpt


def test_wrong_key_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/default.yml").write_text("\nlog_levle: info\n")
    with pytest.raises(SettingsError) as caught:
        resolve(tmp_path, environ={})
    assert caught.value.detail == ErrorDetail(
        "config/default.yml", 2, None, "1 |\n2 | log_levle: info"
    )


def test_command_line_prints_the_detail_before_the_last_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["headrace", "run", "--json"])
    with pytest.raises(SystemExit):
        _fail("it is wrong", 2, SettingsError("it is wrong", detail=DETAIL))
    out, err = capsys.readouterr()
    assert err == f"{DETAIL.text}\nerror: it is wrong\n"
    assert '"place"' not in out
    assert '"mismatches"' in out
