"""VoxCeleb 1 and 2: celebrities in interviews on YouTube, cut to the stretches in which their lips move.

Licence: CC BY 4.0; copyright of the videos remains with their owners. Citation: Nagrani, Chung, Zisserman: VoxCeleb: a
large-scale speaker identification dataset, Interspeech 2017; Chung, Nagrani, Zisserman: VoxCeleb2: deep speaker
recognition, Interspeech 2018. https://www.robots.ox.ac.uk/~vgg/data/voxceleb/

Layout: `<speaker>/<video>/<number>.wav` (m4a, flac, ...) below whatever folders: `wav/id10001/1zcIwhmdeo4/00001.wav`,
`dev/aac/id00012/21Uxsk56VDQ/00001.m4a`. An utterance is called `id10001/1zcIwhmdeo4/00001` wherever it lies, as the
publishers' lists of trials call it. Ids of videos may begin with - or _ and hold both. First copies of VoxCeleb1 have
names for ids and number otherwise, `voxceleb1_wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav`: its metadata tells the id.

Metadata (sex, nationality in VoxCeleb1, set) comes from `vox1_meta.csv` and `vox2_meta.csv`. VoxCeleb2's is about in
three forms: by commas with blanks, by tabs, and by tabs with names of people. Where it lists 120 test speakers, it is
that of the first publication. Nothing tells the language: VoxCeleb2 has many. Ages: `voxceleb_ages`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass as validated

from curate.audio import SUFFIXES
from curate.corpora import voxceleb_ages
from curate.corpora.described import STRICT, CorpusSettings, Described, PublishedTrial
from curate.corpora.lists import lines_of
from curate.corpora.places import files_below
from curate.corpora.sidecars import own_file, sex_at
from curate.corpora.voxceleb_ages import table_rows
from curate.errors import CorpusError
from curate.storage import Location, is_taken

LICENCE = "CC-BY-4.0; copyright of the videos remains with their owners"
CITATION = (
    "Nagrani, Chung, Zisserman: VoxCeleb: a large-scale speaker identification dataset, Interspeech 2017; "
    "Chung, Nagrani, Zisserman: VoxCeleb2: deep speaker recognition, Interspeech 2018"
)
URL = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/"
FILLS = ("sex", "age", "session", "nationality", "corpus_split")
CHECKSUMS = {  # as voxceleb_trainer, by one of VoxCeleb's authors, lists them; a whole archive is `cat` of its parts
    "vox1_dev_wav_partaa": "e395d020928bc15670b570a21695ed96",
    "vox1_dev_wav_partab": "bbfaaccefab65d82b21903e81a8a8020",
    "vox1_dev_wav_partac": "017d579a2a96a077f40042ec33e51512",
    "vox1_dev_wav_partad": "7bb1e9f70fddc7a678fa998ea8b3ba19",
    "vox1_dev_wav.zip": "ae63e55b951748cc486645f532ba230b",
    "vox1_test_wav.zip": "185fdc63c3c739954633d50379a3d102",
    "vox2_dev_aac_partaa": "da070494c573e5c0564b1d11c3b20577",
    "vox2_dev_aac_partab": "17fe6dab2b32b48abaf1676429cdd06f",
    "vox2_dev_aac_partac": "1de58e086c5edf63625af1cb6d831528",
    "vox2_dev_aac_partad": "5a043eb03e15c5a918ee6a52aad477f9",
    "vox2_dev_aac_partae": "cea401b624983e2d0b2a87fb5d59aa60",
    "vox2_dev_aac_partaf": "fc886d9ba90ab88e7880ee98effd6ae9",
    "vox2_dev_aac_partag": "d160ecc3f6ee3eed54d55349531cb42e",
    "vox2_dev_aac_partah": "6b84a81b9af72a9d9eecbb3b1f602e65",
    "vox2_dev_aac.zip": "bbc063c46078a602ca71605645c2a402",
    "vox2_test_aac.zip": "0d2b3ea430a821c33263b5ea37ede312",
}

_METADATA = ("vox1_meta.csv", "vox2_meta.csv")
_COLUMNS = {
    1: ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set"),
    2: ("VoxCeleb2 ID", "VGGFace2 ID", "Gender", "Set"),
}
_PUBLISHED = {(1, "dev"): 1_211, (1, "test"): 40, (2, "dev"): 5_994, (2, "test"): 118}  # speakers
_FIRST_OF_VOXCELEB1, _LAST_OF_VOXCELEB1 = "id10001", "id11251"
_TRIAL = "`1|0 path path`"
_ID = re.compile(r"id[0-9]{5}")
_UTTERANCE = re.compile(
    r"(?:.*/)?(?P<speaker>[^/]+)/(?P<video>[A-Za-z0-9_-]{11})(?:/|_00)(?P<number>[0-9]{5})(?:\.[A-Za-z0-9]+)?",
    re.DOTALL,
)


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`meta` names the metadata; where it does not, what lies at the root under the published names is taken."""

    FILES_BESIDE: ClassVar[tuple[str, ...]] = (*CorpusSettings.FILES_BESIDE, "meta", "ages", "trials")

    reader: Literal["voxceleb"]
    meta: tuple[Location, ...] = ()
    ages: tuple[Location, ...] = ()  # lists of Enrichment and AgeVoxCeleb
    trials: tuple[Location, ...] = ()  # veri_test.txt and the like


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One row of the metadata."""

    part: int  # VoxCeleb1 or 2
    name: str | None  # by which VGGFace and first copies of VoxCeleb1 go; VoxCeleb2 never did
    sex: str | None
    nationality: str | None
    corpus_split: str


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every audio file. Raises CorpusError for one that lies elsewhere, and for a speaker the metadata lacks.

    In the end, too, for a list of ages that tells of none of their videos.
    """
    paths = _metadata(root, settings)
    known = speakers(paths)
    names = _names(known)
    ages = _ages(settings, known).of_video
    heard: set[str] = set()  # lists of ages
    path = ""
    for path in files_below(root, SUFFIXES, links=settings.links):
        try:
            speaker, video, number = _parts(path, names)
            if paths and speaker not in known:
                raise CorpusError(f"{path!r}: no row for {speaker} in {' or '.join(map(str, paths))}; expected one")
        except CorpusError as error:
            raise CorpusError(f"{root}: {error}") from error
        said, age = known.get(speaker), ages.get(f"{speaker}/{video}")
        heard.update(age.lists if age else ())
        yield Described(
            path=path,
            name=f"{speaker}/{video}/{number}",
            speaker=speaker,
            session=video,
            sex=said.sex if said else None,
            age_years=(age.youngest, age.oldest) if age else None,
            age_source=age.source if age else None,
            age_conflict_years=age.conflict_years if age else None,
            nationality=said.nationality if said else None,
            language=settings.language,
            corpus_split=said.corpus_split if said else None,
        )
    told = {name for age in ages.values() for name in age.lists}
    for silent in (one for one in settings.ages if path and one.name in told - heard):
        raise CorpusError(
            f"{silent}: tells the age in none of the videos here, such as that of {path!r}; "
            "expected a list for this corpus (`ages`)"
        )


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Where the metadata differs from what is published, and what is odd about the ages."""
    known = speakers(_metadata(root, settings))
    counts = Counter((speaker.part, speaker.corpus_split) for speaker in known.values())
    parts = {part for part, _ in counts}
    for (part, split), published in _PUBLISHED.items():
        if part in parts and counts[part, split] != published:
            yield (
                f"the metadata of VoxCeleb{part} lists {counts[part, split]} speakers in its {split} set, "
                f"its publishers count {published}"
            )
    yield from voxceleb_ages.remarks(_ages(settings, known))


def aliases(root: Path, settings: Settings) -> dict[str, str]:
    """The names that VGGFace has for VoxCeleb1's speakers: the list of who is in SITW, too, says `A.J._Buckley`."""
    return _names(speakers(_metadata(root, settings)))


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """Every line of `trials`, `1|0 path path`; a list is called by its file's name without the suffix."""
    names = aliases(root, settings)
    lists = [path.stem for path in settings.trials]
    for name, count in Counter(lists).items():
        if count > 1:
            raise CorpusError(f"{count} lists of trials are called {name!r}; expected files of different names")
    for path in settings.trials:
        place = ""
        for place, line in lines_of(path, expected=_TRIAL):
            label, *pair = line.split()
            if label not in ("0", "1") or len(pair) != 2:
                raise CorpusError(f"{place}: {line[:80]!r}; expected {_TRIAL}")
            try:
                enrol, test = ("/".join(_parts(one, names)) for one in pair)
            except CorpusError as error:
                raise CorpusError(f"{place}: {error}") from error
            yield PublishedTrial(list=path.stem, enrol=enrol, test=test, is_target=label == "1")
        if not place:
            raise CorpusError(f"{path}: empty; expected lines of {_TRIAL}")


def speakers(paths: Iterable[Path]) -> dict[str, Speaker]:
    """The rows of the metadata by id. Raises CorpusError for a lacking column, a second row, an unknown word."""
    found: dict[str, Speaker] = {}
    first: dict[str, str] = {}
    for path in paths:
        for place, row in table_rows(path):
            speaker, said = _speaker(place, row)
            for key in filter(None, (speaker, said.name)):
                if key in first:
                    raise CorpusError(f"{place}: {key!r} again, after {first[key]}; expected one row a speaker")
                first[key] = place
            found[speaker] = said
    return found


def _speaker(place: str, row: dict[str, str]) -> tuple[str, Speaker]:
    part = 1 if _COLUMNS[1][0] in row else 2
    for column in _COLUMNS[part]:
        if column not in row:
            raise CorpusError(f"{place}: no column {column!r}; expected {', '.join(_COLUMNS[part])}")
    speaker, gender, split = row[_COLUMNS[part][0]], row["Gender"], row["Set"]
    if not _ID.fullmatch(speaker):
        raise CorpusError(f"{place}: {speaker[:80]!r} is no id of a speaker; expected one such as id10001")
    if split not in ("dev", "test"):
        raise CorpusError(f"{place}: Set {split[:80]!r}; expected dev or test")
    return speaker, Speaker(
        part=part,
        name=unicodedata.normalize("NFC", row["VGGFace1 ID"]) or None if part == 1 else None,
        sex=sex_at(place, gender) if gender else None,
        nationality=row.get("Nationality") or None,
        corpus_split=split,
    )


def _metadata(root: Path, settings: Settings) -> tuple[Path, ...]:
    found = (name for name in _METADATA if is_taken(root / name))
    return settings.meta or tuple(own_file(root, name, settings.links) for name in found)


def _ages(settings: Settings, known: dict[str, Speaker]) -> voxceleb_ages.Ages:
    def is_of_voxceleb1(speaker: str) -> bool:
        is_listed = speaker in known and known[speaker].part == 1
        return is_listed or _FIRST_OF_VOXCELEB1 <= speaker <= _LAST_OF_VOXCELEB1

    return voxceleb_ages.gather(settings.ages, is_of_voxceleb1)


def _names(known: dict[str, Speaker]) -> dict[str, str]:
    return {said.name: speaker for speaker, said in known.items() if said.name}


def _parts(path: str, names: dict[str, str]) -> tuple[str, str, str]:
    """Speaker, video and number, by the last parts of a path. Raises CorpusError."""
    match = _UTTERANCE.fullmatch(path)
    if not match:
        raise CorpusError(f"{path[-200:]!r}; expected id10001/1zcIwhmdeo4/00001.wav below whatever folders")
    speaker = match["speaker"]
    if not _ID.fullmatch(speaker):
        name = unicodedata.normalize("NFC", speaker)
        if name not in names:
            raise CorpusError(
                f"{path[-200:]!r}: {name[:80]!r} is no id of a speaker; expected one, or a `meta` (vox1_meta.csv) in "
                "which it is a VGGFace1 ID"
            )
        speaker = names[name]
    return speaker, match["video"], match["number"]
