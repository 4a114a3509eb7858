"""What our manifests have in common: what others have no key for, the list of trials, and what they cannot name."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from curate.errors import ExportError
from curate.export.outgoing import Export, Outgoing


def refuse_side(one: Outgoing, form: str) -> None:
    """Raises ExportError for one channel of several: whoever reads the form would hear all of them."""
    if one.channel is not None and one.file_num_channels > 1:
        raise ExportError(
            f"{one.utterance}: channel {one.channel} of {one.file}, which {form} cannot name; "
            "expected audio that is converted: `--audio`"
        )


def require_whole_file(one: Outgoing) -> None:
    """Raises ExportError for what a list of files cannot name, or who reads the list cannot decode."""
    if one.file.suffix.lower() == ".m4a":
        raise ExportError(f"{one.file}: m4a, which this form's tools cannot decode; expected `--audio --format wav`")
    if not one.is_whole_file or one.file_num_channels != 1:
        raise ExportError(
            f"{one.utterance} is not all of {one.file} with its one channel, and a list names whole files; "
            "expected audio that is converted: `--audio` (with `--mono` where channels are to be averaged)"
        )


def in_trials(export: Export) -> set[str]:
    """The ids that the trials name."""
    return {side for trial in export.trials() for side in (trial.enrol, trial.test)}


def write_trials_of_splits(export: Export, named: dict[str, tuple[str, str]], file_of: Callable[[str], Path]) -> None:
    """`enrol test target|nontarget` in one file a split; `named` has the split, and the name there, of every side.

    Raises ExportError for a trial across splits.
    """
    files: dict[str, TextIO] = {}
    with ExitStack() as opened:
        for trial in export.trials():
            (split, enrol), (other, test) = named[trial.enrol], named[trial.test]
            if split != other:
                raise ExportError(
                    f"trial of {trial.enrol} in {split} and {trial.test} in {other}; expected both in one split"
                )
            if split not in files:
                file_of(split).parent.mkdir(exist_ok=True)
                files[split] = opened.enter_context(file_of(split).open("w", encoding="utf-8", newline="\n"))
            files[split].write(f"{enrol} {test} {'target' if trial.is_target else 'nontarget'}\n")


def beside(one: Outgoing) -> dict[str, str | None]:
    """What the forms of others have no key for, in keys that our readers take; `corpus_speaker` is its own label."""
    return {
        "session": one.session,
        "sex": one.sex,
        "age": one.age,
        "age_source": one.age_source,
        "accent": one.accent,
        "nationality": one.nationality,
        "corpus": one.corpus,
        "corpus_speaker": one.label,
        "corpus_split": one.corpus_split,
        "licence": one.licence,
    }


def write_trials(out: Path, export: Export) -> None:
    """`trials.txt` as VoxCeleb has its lists: `1` for one person, `0` for two, and both ids."""
    with (out / "trials.txt").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{int(trial.is_target)} {trial.enrol} {trial.test}\n" for trial in export.trials())
