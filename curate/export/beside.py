"""What our manifests have in common: what others have no key for, the list of trials, and what they cannot name."""

from pathlib import Path

from curate.errors import ExportError
from curate.export.outgoing import Export, Outgoing


def refuse_side(one: Outgoing, form: str) -> None:
    """Raises ExportError for one channel of several: whoever reads the form would hear all of them."""
    if one.channel is not None and one.file_num_channels > 1:
        raise ExportError(
            f"{one.utterance}: channel {one.channel} of {one.file}, which {form} cannot name; "
            "expected audio that is converted: `--audio`"
        )


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
