"""Lists as voxceleb_trainer reads them, and whatever else takes VoxCeleb's own.

Layout: `<split>_list.txt` (`speaker path` a line) and `veri_<benchmark>.txt` (`1|0 enrol test`, both as paths), of
several lists `veri_<benchmark>_<list>.txt`; for
`trainSpeakerNet.py --train_list OUT/train_list.txt --test_list OUT/veri_<benchmark>.txt`. See `DatasetLoader.py` and
`SpeakerNet.py` of https://github.com/clovaai/voxceleb_trainer

voxceleb_trainer joins each path to `--train_path` or `--test_path`. Audio that was written with the export is named
from its folder, `corpus/...`: both options are `OUT/audio`, wherever it lies. Without it paths are absolute, which a
join leaves as they are, whatever the options say.

Lines are split at blanks: speakers are made one word (`curate.corpora.kaldi_ids.quoted`), a path with a blank is
refused. A line names a whole file, of one channel: the trainer knows no more of them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from curate.corpora.kaldi_ids import quoted
from curate.errors import ExportError
from curate.export.beside import in_trials, require_whole_file
from curate.export.outgoing import AUDIO, Export, Outgoing

CAN_HOLD = ("split", "trials")


def write(out: Path, export: Export) -> None:
    """Raises ExportError for what no list can name. In memory are the paths of what the trials name."""
    if export.models:
        raise ExportError(
            f"{next(iter(export.models))}: trials enrol models, and a list of VoxCeleb's form names files; expected a "
            "benchmark whose trials are of two utterances, or another form"
        )
    asked = in_trials(export)
    paths: dict[str, str] = {}
    for split in export.splits:
        with (out / f"{split}_list.txt").open("w", encoding="utf-8", newline="\n") as file:
            for one, path in _with_paths(export, split):
                file.write(f"{quoted(one.speaker)} {path}\n")
                if one.utterance in asked:
                    paths[one.utterance] = path
    for name in export.lists:
        listed = out / f"veri_{export.name}{export.told_apart(name)}.txt"
        with listed.open("w", encoding="utf-8", newline="\n") as file:
            for trial in export.trials(name):
                file.write(f"{trial.is_target:d} {paths[trial.enrol]} {paths[trial.test]}\n")


def _with_paths(export: Export, split: str) -> Iterator[tuple[Outgoing, str]]:
    own = export.out / AUDIO
    for one in export.utterances(split):
        require_whole_file(one)
        path = str(one.file.relative_to(own) if one.file.is_relative_to(own) else one.file)
        if re.search(r"\s", path):
            raise ExportError(f"{path!r} holds a blank, which divides a line; expected a copy of the audio: `--audio`")
        yield one, path
