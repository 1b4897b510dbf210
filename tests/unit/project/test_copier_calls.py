"""Names of files that are plain, computed, left out or repeated: as copier alone copies them."""

from pathlib import Path

import copier

from headrace.project.copier_calls import less_repeated

REPEATED = "{% yield n from ['1', '2'] %}each {{ n }}{% endyield %}"
NAMES = (
    "a/plain.txt", "a/{{ 'made' }}.txt", "a/{% if false %}left out.txt{% endif %}.jinja",
    f"b/{REPEATED}/{REPEATED}/plain.txt", f"b/{REPEATED}/made.txt", "plain.txt", "z/plain.txt",
    "{{ _copier_conf.answers_file }}.jinja",
)  # fmt: skip


def test_each_name_is_rendered_as_copier_alone_does(tmp_path: Path) -> None:
    template = tmp_path / "template"
    for name in NAMES:
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_text("{# a comment #}{{ n }}", encoding="utf-8")
    for answers_file in (None, "{{ 'mine' }}.yml", "theirs.yml"):
        found: list[dict[str, bytes]] = []
        for folder in (tmp_path / f"{answers_file} alone", tmp_path / f"{answers_file} with less"):
            if found:
                with less_repeated():
                    copier.run_copy(str(template), folder, answers_file=answers_file, quiet=True)
            else:
                copier.run_copy(str(template), folder, answers_file=answers_file, quiet=True)
            files = (path for path in folder.rglob("*") if path.is_file())
            found.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
        assert found[0] == found[1]
        assert len(found[0]) == 11
