"""NVIDIA NeMo and its Speech Data Processor: a manifest of JSON lines per split.

Layout: `<split>_manifest.json` and `trials.txt` (`1 enrol test`, of `utterance_id`), of several lists
`trials_<list>.txt`, and where they enrol models `models.txt` (`model utterance utterance ...`). A line holds
`audio_filepath` (absolute), `duration`, `offset` for a part of a file, `text` and `lang` where known, the person as
`speaker` (which speech processing reads) and as `label` (which speaker recognition reads), and what else is known; NeMo
keeps keys that it does not know. Source: `parse_item` and `item_iter` in NeMo's
`nemo/collections/common/parts/preprocessing`.

It cannot name one channel of a file. No `sampling_rate` is written: NeMo's reader for Lhotse would take a file to be as
long as its part.
"""

import json
from pathlib import Path

from curate.export.beside import beside, refuse_side, write_trials
from curate.export.outgoing import TOLD, Export, Outgoing

CAN_HOLD = (*TOLD, "stretch", "split", "trials", "models")


def write(out: Path, export: Export) -> None:
    """Raises ExportError for one channel of several."""
    for split in export.splits:
        with (out / f"{split}_manifest.json").open("w", encoding="utf-8", newline="\n") as file:
            for one in export.utterances(split):
                file.write(json.dumps(_row(one), ensure_ascii=False) + "\n")
    write_trials(out, export)


def _row(one: Outgoing) -> dict[str, object]:
    refuse_side(one, "a NeMo manifest")
    text = {} if one.transcript is None else {"text": one.transcript}
    language = {} if one.language is None else {"lang": one.language}
    return {
        "audio_filepath": str(one.file),
        **({} if one.is_whole_file else {"offset": one.start_s}),
        "duration": one.duration_s,
        **text,
        **language,
        "speaker": one.speaker,
        "label": one.speaker,
        "utterance_id": one.utterance,
        **{key: value for key, value in beside(one).items() if value is not None},
    }
