"""Other answers, in the files that are the user's.

An update leaves those files alone. Where ``--data`` gives an answer anew, the user has asked for
what it changes there as well: the pipeline and the models of one more source, its settings. So the
new version is made with the answers of before, too; what differs is what the answers change.
"""

from pathlib import Path

from headrace import portable
from headrace.formatting import first_few
from headrace.project import compare
from headrace.project.compare import Before, Files, Outcome
from headrace.project.reports import Conflict

_MOST_NAMED = 3


def bring(where: Path, same: Files, new: Files, was: Before, found: Outcome) -> str:
    """Write what the answers change in the user's files; a note on what they leave out.

    Args:
        where: the project, after copier's merge.
        same: the new version with the answers of before.
        new: the new version with the answers as given.
        was: the project before the merge.
        found: what the merge did; what is brought is taken from what was left alone.
    """
    for name in [name for name in found.not_added if name not in same]:
        portable.write_file(where / name, new[name])
        found.not_added.remove(name)
    for name in [name for name in found.kept if same.get(name, new[name]) != new[name]]:
        merged, is_clean = compare.with_markers(same[name], was.tracked[name], new[name])
        portable.write_file(where / name, merged)
        found.kept.remove(name)
        if not is_clean:
            found.conflicts[name] = Conflict(
                path=name,
                kind="markers",
                what="changed by you and by the other answers: choose between the lines <<<<<<< "
                "and >>>>>>>",
            )
    left = [name for name in sorted(same.keys() - new.keys()) if (where / name).is_file()]
    if not left:
        return ""
    names = first_few(left, _MOST_NAMED)
    return f"yours, and not asked for by the new answers: {names}; `git rm` what is not needed"
