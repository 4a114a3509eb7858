"""What our manifests have in common: what others have no key for, the lists of trials, and what they cannot name."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
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
    """The utterances that the trials name, or that their models are made of."""
    sides = {side for name in export.lists for trial in export.trials(name) for side in (trial.enrol, trial.test)}
    return (sides - export.models.keys()).union(*export.models.values())


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a form with a folder a split calls something, and in which split that is."""

    split: str
    key: str


def write_trials_of_splits(
    out: Path, export: Export, named: dict[str, Named], *, file_of: Callable[[str], str], called: Callable[[str], str]
) -> None:
    """`enrol test target|nontarget` in one file a split and list, and a split's `model2utt` where trials enrol models.

    `named` are the utterances of the trials, `file_of` is the file of a list within the folder of a split, `called`
    makes a model's name one of the form. Raises ExportError for a trial, or a model, of utterances of two splits.
    """
    models = {model: _model(model, of, named, called) for model, of in export.models.items()}
    with ExitStack() as opened:
        files: dict[tuple[str, str], TextIO] = {}
        for name in export.lists:
            for trial in export.trials(name):
                enrol, test = models.get(trial.enrol) or named[trial.enrol], named[trial.test]
                if enrol.split != test.split:
                    raise ExportError(
                        f"trial of {trial.enrol} in {enrol.split} and {trial.test} in {test.split}; expected both in "
                        "one split"
                    )
                if (test.split, name) not in files:
                    path = out / test.split / file_of(name)
                    path.parent.mkdir(exist_ok=True)
                    files[test.split, name] = opened.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                key = "target" if trial.is_target else "nontarget"
                files[test.split, name].write(f"{enrol.key} {test.key} {key}\n")
    for split in sorted({model.split for model in models.values()}):
        here = {one.key: export.models[model] for model, one in models.items() if one.split == split}
        keys = {model: tuple(named[utterance].key for utterance in of) for model, of in here.items()}
        write_models(out / split / "model2utt", keys)


def _model(model: str, of: tuple[str, ...], named: dict[str, Named], called: Callable[[str], str]) -> Named:
    splits = sorted({named[utterance].split for utterance in of})
    if len(splits) > 1:
        raise ExportError(f"model {model} of utterances in {' and '.join(splits)}; expected all in one split")
    return Named(split=splits[0], key=called(model))


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
    """`trials.txt` as VoxCeleb has its lists: `1` for one person, `0` for two, and both ids.

    Of several lists each is `trials_<list>.txt`. Where trials enrol models, `models.txt` has them.
    """
    for name in export.lists:
        with (out / f"trials{export.told_apart(name)}.txt").open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{int(trial.is_target)} {trial.enrol} {trial.test}\n" for trial in export.trials(name))
    if export.models:
        write_models(out / "models.txt", export.models)


def write_models(path: Path, models: Mapping[str, tuple[str, ...]]) -> None:
    """`model utterance utterance ...`, a line a model, as Kaldi's `spk2utt` has speakers."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(" ".join([model, *of]) + "\n" for model, of in models.items())
