"""Any corpus told by manifests of NVIDIA NeMo or its Speech Data Processor: JSON lines, one row an utterance.

Licence and citation are its owner's to say, in the pipeline file; a row may say its own licence.

Layout: a line holds `audio_filepath` (or `audio_filename`), relative to the manifest's folder; `offset` and `duration`
in seconds; `text`; `lang`; the speaker as `speaker` (speech processing) or `label` (speaker recognition). `duration`
alone is that of a whole file. NeMo's own lists of speakers say `offset` 0 of whole files, too: there the file's header
decides. Rows with a true `_skipme` are left out, as NeMo leaves them out.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described
from curate.corpora.listed import at, by_split, exact, named_file, needed, number, objects, some, sounds, told, word
from curate.corpora.places import inside
from curate.errors import CorpusError
from curate.headers import Header
from curate.storage import Location

LICENCE = None
CITATION = None
URL = None
FILLS = ("sex", "age", "session", "accent", "nationality", "language", "transcript", "corpus_split", "licence")

SPEAKER_KEYS = ("speaker", "label")
ROUNDED_S = 0.01  # lists of NeMo round their durations


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`manifest` is relative to the root: one file, or `{ train = "a.json", test = "b.json" }` by split."""

    reader: Literal["nemo"]
    manifest: Location | dict[str, Location]
    speaker_key: str | None = None  # which key says the speaker; None: `speaker`, else `label`
    moved_from: str | None = None  # where the root was when the manifest was written


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every row of the manifests. Raises CorpusError naming file and line of one that makes no utterance."""
    speaker_keys = (settings.speaker_key,) if settings.speaker_key else SPEAKER_KEYS
    look = sounds(root, settings)
    for split, manifest in by_split(settings.manifest):
        path = named_file(root, manifest, settings)
        for place, row in some(path, objects(path)):
            if row.get("_skipme"):
                continue
            try:
                said = needed(row, "audio_filepath", "audio_filename")
                audio = inside(said, root, below=path.parent, moved_from=settings.moved_from)
                start_s, duration_s = _stretch(row, audio, look)
                yield Described(
                    path=audio,
                    name=word(row, "utterance_id"),
                    start_s=start_s,
                    duration_s=duration_s,
                    transcript=exact(row, "text"),
                    **told(row, settings, speaker_keys=speaker_keys, source=path.name, split=split),
                )
            except CorpusError as error:
                raise at(place, error) from error


def _stretch(
    row: Mapping[str, object], audio: str, look: Callable[[str], Header | None]
) -> tuple[float | None, float | None]:
    """Start and duration, both None for a whole file. A file that is not there is whole: others will miss it."""
    start_s, duration_s = number(row, "offset"), number(row, "duration")
    if start_s is None:
        return None, None
    if start_s == 0:
        found = look(audio)
        if found is None or duration_s is None or duration_s >= found.num_samples / found.sample_rate_hz - ROUNDED_S:
            return None, None
    return start_s, duration_s
