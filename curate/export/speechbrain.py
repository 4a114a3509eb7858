"""SpeechBrain: a CSV and a JSON per split, for `DynamicItemDataset.from_csv` and `from_json`; both say the same.

Layout: `<split>.csv`, `<split>.json` and `trials.txt` (`1 enrol test`), of several lists `trials_<list>.txt`, and where
they enrol models `models.txt` (`model utterance utterance ...`). Columns: `ID,duration,wav,start,stop,spk_id` as
in the recipe for VoxCeleb, `wrd` as in that for LibriSpeech, then what else is known. `wav` is absolute, `start` and
`stop` are samples of it, and every entry has every key, "" where nothing is known: SpeechBrain learns the keys from the
first. Source: `load_data_csv` and `load_data_json` of speechbrain 1.1, and `recipes/VoxCeleb/voxceleb_prepare.py`.

Those take `$word` in a CSV and `{word}` in JSON to be placeholders. Braces are doubled, as JSON's loader wants them. A
CSV knows no such way: where it holds `$word`, `replacements.json` is there to be handed to `from_csv`.

It cannot name one channel of a file. The recipe that scores VoxCeleb's trials cuts ids at their first dot.
"""

import csv
import json
import re
from pathlib import Path

from curate.export.beside import beside, refuse_side, write_trials
from curate.export.outgoing import TOLD, Export, Outgoing

CAN_HOLD = (*TOLD, "stretch", "split", "trials", "models")


def write(out: Path, export: Export) -> None:
    """Raises ExportError for one channel of several."""
    words: set[str] = set()
    for split in export.splits:
        words |= _write_split(out, split, export)
    if words:
        replacements = {word: f"${word}" for word in sorted(words)}
        text = json.dumps(replacements, ensure_ascii=False, indent=1) + "\n"
        (out / "replacements.json").write_text(text, encoding="utf-8", newline="\n")
    write_trials(out, export)


def _write_split(out: Path, split: str, export: Export) -> set[str]:
    """Both files; what a CSV's loader would take to be placeholders."""
    words: set[str] = set()
    with (
        (out / f"{split}.csv").open("w", encoding="utf-8", newline="") as table,
        (out / f"{split}.json").open("w", encoding="utf-8", newline="\n") as file,
    ):
        # all is quoted: its loader drops blanks that start a cell without quotes
        cells = csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n")
        mark = "{\n"
        for one in export.utterances(split):
            entry = _entry(one)
            if mark == "{\n":
                cells.writerow(["ID", *entry])
            cells.writerow([one.utterance, *entry.values()])
            words |= {word for value in entry.values() for word in re.findall(r"\$([\w.]+)", str(value))}
            braced = {key: _with_braces(value) for key, value in entry.items()}
            file.write(
                f"{mark}{json.dumps(one.utterance, ensure_ascii=False)}: {json.dumps(braced, ensure_ascii=False)}"
            )
            mark = ",\n"
        file.write("{}\n" if mark == "{\n" else "\n}\n")
    return words


def _entry(one: Outgoing) -> dict[str, object]:
    refuse_side(one, "a manifest of SpeechBrain")
    start = round(one.start_s * one.file_rate_hz)
    entry = {
        "duration": one.duration_s,
        "wav": str(one.file),
        "start": start,
        "stop": min(start + round(one.duration_s * one.file_rate_hz), one.file_num_samples),
        "spk_id": one.speaker,
        "wrd": one.transcript,
        "language": one.language,
        **beside(one),
    }
    return {key: "" if value is None else value for key, value in entry.items()}


def _with_braces(value: object) -> object:
    return value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value
