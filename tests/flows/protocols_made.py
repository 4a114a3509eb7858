"""Small corpora in the layouts that the real ones have, and catalogs of them as `curate run` would leave them.

Sound is noise at a few hundred Hz, so that utterances last seconds and files are small. Vectors are made: each person
has a direction of his own. Everybody who is told apart is told apart in truth.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from curate.blocks import fixed_size_lists
from curate.catalog import Catalog, rows_of
from curate.config import load_pipeline
from curate.decisions import Author, verdicts
from curate.runs import take_note
from curate.schema import CALIBRATIONS, DECISIONS, EMBEDDINGS, IDENTITIES, SOUND_PRINTS, UTTERANCES
from curate.speakers import speaker_table
from flows.judging import ages
from flows.reading import ingest, register, scan

RATE_HZ, RATE_OF_MP3_HZ = 200, 8_000
DIMENSION = 32
EXTRACTOR = "ge2e"
SEXES = ("f", "m")
VIDEO = "abcdefghij"  # of the eleven signs of a video's id


class Sounds:
    """Writes files of noise, each other than all before it."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(11)

    def write(self, path: Path, seconds: float = 5.0) -> None:
        rate = RATE_OF_MP3_HZ if path.suffix == ".mp3" else RATE_HZ
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, self._rng.uniform(-0.5, 0.5, int(seconds * rate)), rate)


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# ----------------------------------------------------------------------------------------------------------- corpora


def librispeech(root: Path, sounds: Sounds, *, people: dict[str, int]) -> str:
    """So many readers of each subset, half of them women, with two chapters of three utterances; books are shared."""
    speakers, chapters, number = [], [], 100
    for subset, num in people.items():
        for _ in range(num):
            number += 1
            speakers.append(f"{number:<4} | {SEXES[number % 2].upper()} | {subset:<16} | 8.00  | Reader {number}")
            for chapter in (number * 10, number * 10 + 1):
                book = chapter % 7
                chapters.append(f"{chapter} | {number} | 3.00 | {subset} | {book} | {1000 + book} | One | Book {book}")
                stem = f"{number}-{chapter}"
                folder = root / subset / str(number) / str(chapter)
                texts = []
                for at in range(3):
                    sounds.write(folder / f"{stem}-{at:04}.flac", 5 + at)
                    texts.append(f"{stem}-{at:04} {' '.join(spoken(chapter * 3 + at)).upper()}")
                write(folder / f"{stem}.trans.txt", texts)
    write(root / "SPEAKERS.TXT", [";ID  |SEX| SUBSET           |MINUTES| NAME", *speakers])
    write(
        root / "CHAPTERS.TXT",
        [";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE", *chapters],
    )
    return section("libri", "librispeech", root)


def spoken(seed: int, num: int = 12) -> list[str]:
    """Words that no two utterances have alike."""
    rng = np.random.default_rng([seed, 5])
    return ["".join(rng.choice([*VIDEO], 4)) for _ in range(num)]


def voxceleb(root: Path, sounds: Sounds, *, people: dict[str, int], videos: int = 3, cuts: int = 2) -> str:
    """So many people of `vox1_dev`, `vox1_test`, `vox2_dev` and `vox2_test`, each in so many videos of so many cuts.

    With the publishers' metadata and lists of trials, and the ages of VoxCeleb Enrichment for the people of VoxCeleb2.
    """
    first = {"vox1_dev": 10001, "vox1_test": 10270, "vox2_dev": 12, "vox2_test": 8000}
    meta: dict[str, list[str]] = {
        "vox1": ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"],
        "vox2": ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "],
    }
    ages = ["speaker_age,birth_year,Name,VoxCeleb_ID,video_id"]
    heard: dict[str, dict[str, list[str]]] = {}
    for part, num in people.items():
        corpus, split = part.split("_")
        for at in range(num):
            speaker, sex = f"id{first[part] + at:05}", SEXES[at % 2]
            name = f"{corpus}_person_{at}_of_{split}"
            meta[corpus].append(
                f"{speaker}\t{name}\t{sex}\t{('USA', 'UK')[at // 2 % 2]}\t{split}"
                if corpus == "vox1"
                else f"{speaker} ,{name} ,{sex} ,{split} "
            )
            for video in range(videos):
                called = f"-{VIDEO[video]}{speaker}_{VIDEO[at % 10]}"[:11].ljust(11, "_")
                folder = "wav" if corpus == "vox1" else "aac"
                for cut in range(cuts):
                    path = f"{speaker}/{called}/{cut + 1:05}.wav"
                    sounds.write(root / corpus / split / folder / path, 4 + cut + video)
                    heard.setdefault(part, {}).setdefault(speaker, []).append(path)
                if corpus == "vox2":
                    ages.append(f"{12 + (at * 9 + 3 * video) % 75},1950,{name},{speaker},{called}")
    for corpus, lines in meta.items():
        if any(part.startswith(corpus) and num for part, num in people.items()):
            write(root / f"{corpus}_meta.csv", lines)
    lists = {
        "veri_test": heard.get("vox1_test", {}),
        "veri_test2": heard.get("vox1_test", {}),
        "list_test_hard2": heard.get("vox1_dev", {}),
        "list_test_all2": heard.get("vox1_dev", {}),
    }
    files = [name for name, of_list in lists.items() if of_list]
    for name in files:
        write(root / f"{name}.txt", listed(lists[name]))
    more = {"trials": [str(root / f"{name}.txt") for name in files]}
    if len(ages) > 1:
        write(root / "ages.csv", ages)
        more["ages"] = [str(root / "ages.csv")]
    return section("vox", "voxceleb", root, **more)


def listed(heard: dict[str, list[str]]) -> Iterator[str]:
    """A list in VoxCeleb's form: of each person the first cuts of two videos, and against the next person."""
    people = sorted(heard)
    for one, other in zip(people, people[1:] + people[:1], strict=True):
        yield f"1 {heard[one][0]} {heard[one][-1]}"
        yield f"0 {heard[one][0]} {heard[other][-1]}"


def sitw(root: Path, sounds: Sounds, *, people: dict[str, int]) -> str:
    """So many people of dev and eval; each with a model of one file, and a test of another video."""
    for split, num in people.items():
        meta, enrol, test, keys = [], [], [], []
        for at in range(num):
            speaker, sex = f"{split[0].upper()}{at:03}", SEXES[at % 2]
            files = [f"{split[0]}{at:03}{letter}" for letter in "et"]
            for place, file in enumerate(files):
                video = 100_000 * len(split) + 10 * at + place
                meta.append(f"audio/{file}.flac {speaker} {sex} studio {video} 0 60 1 clean 0 interview none")
                sounds.write(root / split / "audio" / f"{file}.flac", 20 + place)
            enrol.append(f"{10_000 + at} audio/{files[0]}.flac")
            test.append(f"audio/{files[1]}.flac")
            keys += [
                f"{10_000 + at} audio/{split[0]}{other:03}t.flac {'tgt' if other == at else 'imp'}"
                for other in range(num)
            ]
        write(root / split / "keys" / "meta.lst", meta)
        write(root / split / "lists" / "enroll-core.lst", enrol)
        write(root / split / "lists" / "test-core.lst", test)
        write(root / split / "keys" / "core-core.lst", keys)
    return section("sitw", "sitw", root)


def zaloai(root: Path, sounds: Sounds, *, people: int, cuts: int = 4) -> str:
    """Folders of `id-sex-age`."""
    for at in range(people):
        folder = f"{at + 1}-{SEXES[at % 2].upper()}-{20 + at % 35}"
        for cut in range(cuts):
            sounds.write(root / folder / f"{at + 1}-{cut}.wav", 3 + cut)
    return section("zalo", "zaloai", root)


def vivos(root: Path, sounds: Sounds, *, train: int, test: int, cuts: int = 4) -> str:
    """Speakers of train and test with prompts and genders."""
    for split, called, num in (("train", "VIVOSSPK", train), ("test", "VIVOSDEV", test)):
        genders, prompts = [], []
        for at in range(1, num + 1):
            speaker = f"{called}{at:02}"
            genders.append(f"{speaker} {SEXES[at % 2]}")
            for cut in range(1, cuts + 1):
                sounds.write(root / split / "waves" / speaker / f"{speaker}_R{cut:03}.wav", 3 + cut)
                prompts.append(f"{speaker}_R{cut:03} {' '.join(spoken(10_000 * len(split) + at * 100 + cut)).upper()}")
        write(root / split / "genders.txt", genders)
        write(root / split / "prompts.txt", prompts)
    return section("vivos", "vivos", root)


def vlsp2020(root: Path, sounds: Sounds, *, people: int, cuts: int = 4) -> str:
    """Flat files with their texts, the speaker and the sex in their names."""
    for at in range(people):
        for cut in range(cuts):
            stem = root / "train" / f"spk{at:03}{SEXES[at % 2]}_{cut:04}"
            sounds.write(stem.with_suffix(".wav"), 3 + cut)
            write(stem.with_suffix(".txt"), [" ".join(spoken(50_000 + at * 100 + cut))])
    pattern = r"train/(?P<speaker>spk[0-9]+(?P<sex>[fm]))_[^/]+"
    return section("vlsp", "vlsp2020", root, pattern=pattern)


def common_voice(root: Path, sounds: Sounds, *, people: int, cuts: int = 3) -> str:
    """Clients of one language, whose decades go round; one in eight says no age."""
    columns = (
        *("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age", "gender"),
        *("accents", "variant", "locale", "segment"),
    )
    decades = ("teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies", "")
    genders = ("female_feminine", "male_masculine")
    rows: dict[str, list[str]] = {"validated": [], "train": [], "dev": [], "test": []}
    durations = ["clip\tduration[ms]"]
    for at in range(people):
        client = f"{at:03x}".rjust(128, "a")
        for cut in range(cuts):
            clip = f"common_voice_vi_{at * 10 + cut}.mp3"
            sounds.write(root / "clips" / clip, 2.5)
            sentence = " ".join(spoken(90_000 + at * 10 + cut))
            cells = [client, clip, f"s{at}{cut}", sentence, "", "2", "0", decades[at % 8], genders[at // 2 % 2]]
            line = "\t".join([*cells, "", "", "vi", ""])
            rows["validated"].append(line)
            rows[("train", "dev", "test")[at % 3]].append(line)
            durations.append(f"{clip}\t2500")
    for table, lines in (rows | {"invalidated": [], "other": []}).items():
        write(root / f"{table}.tsv", ["\t".join(columns), *lines])
    write(root / "clip_durations.tsv", durations)
    return section("cv", "common_voice", root)


def aihub(
    root: Path, sounds: Sounds, *, name: str, preset: str, people: int, ages: Sequence[int], cuts: int = 3
) -> str:
    """Free Conversation Voice: twin trees of audio and labels, a JSON an utterance, on two days."""
    for at in range(people):
        age, sex = ages[at % len(ages)], SEXES[at % 2].upper()
        folder = f"{preset}_{sex}_{at:08}_{age}_수도권_실내"
        for cut in range(cuts):
            stem = f"{folder}_{cut:05}"
            sounds.write(root / "Training" / "[원천]1.AI" / folder / f"{stem}.wav", 3 + cut)
            label = {
                "발화정보": {
                    "stt": " ".join(spoken(200_000 + at * 100 + cut)),
                    "scriptId": "일반통합",
                    "fileNm": f"{stem}.wav",
                    "recrdTime": "0.1",
                    "recrdQuality": "16K",
                    "recrdDt": f"2020-11-{1 + cut % 2:02} 11:22:33",
                    "scriptSetNo": "일반",
                },
                "대화정보": {"recrdEnvrn": "실내", "colctUnitCode": "S0", "cityCode": "수도권", "recrdUnit": "폰"},
                "녹음자정보": {"gender": "여" if sex == "F" else "남", "recorderId": f"{at:08}", "age": age},
            }
            write(root / "Training" / "[라벨]1.AI" / folder / f"{stem}.json", [json.dumps(label, ensure_ascii=False)])
    return section(name, "aihub", root, preset=preset)


def section(name: str, reader: str, root: Path, **more: object) -> str:
    keys = {"name": name, "reader": reader, "root": str(root), "min_duration_s": 0.0, "max_duration_s": 600.0} | more
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join(["[[corpora]]", *lines, ""])


# ---------------------------------------------------------------------------------------------------------- catalogs


def filled(folder: Path, sections: Sequence[str], *, voices: dict[str, str] | None = None) -> Catalog:
    """What `curate run` leaves of these corpora where it finds no fault, and everybody under one label.

    `voices` are labels that have the voice of another, and were not found to be one person with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "made.toml"
    file.write_text("\n".join(['name = "made"', 'catalog = "catalog"', "", *sections]), encoding="utf-8")
    pipeline = load_pipeline(file)
    catalog = Catalog(pipeline.catalog)
    for corpus in pipeline.corpora:
        scan(pipeline, catalog, corpus.name)
        take_note(catalog, ingest(pipeline, catalog, corpus.name).carry_out())
    take_note(catalog, register(pipeline, catalog).carry_out())
    utterances = catalog.read(UTTERANCES).sort_by("utterance_id")
    hear(catalog, utterances, voices or {})
    for step in ("embed", "duplicates", "clean", "review", "identities"):
        catalog.publish(DECISIONS, rows_of(DECISIONS, []), part=step, fingerprint="made")
    label = speaker_table(utterances)["speaker_id"]
    publish_identities(catalog, {one: one for one in label.to_pylist()})
    rates = {"wanted_rate": 0.001, "rate": 0.001, "rate_lower": 0.0, "rate_upper": 0.01, "is_told_apart": True}
    told = {"threshold": 0.9, "threshold_lower": 0.9, "threshold_upper": 0.9, "num_people": 20, "num_pairs": 190}
    names = sorted(corpus.name for corpus in pipeline.corpora)
    rows = [{"corpus": name, "told_by": name} | told | rates for name in names]
    catalog.publish(CALIBRATIONS, rows_of(CALIBRATIONS, rows), fingerprint="made")
    take_note(catalog, ages(pipeline, catalog).carry_out())
    return catalog


def publish_identities(catalog: Catalog, person_of: dict[str, str]) -> None:
    rows = [{"speaker_id": one, "identity_id": person} for one, person in sorted(person_of.items())]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, rows), fingerprint=str(sorted(person_of.items())))


def decide(catalog: Catalog, subject: str, ids: Sequence[str], verdict: str, other: str | None = None) -> None:
    """A reviewer's verdict, as the step `review` would leave it."""
    author = Author(rule="ann", step="review", run_id="made")
    rows = verdicts(author, subject, ids, verdict=verdict, reason="reviewed", other_ids=[other] * len(ids))
    catalog.publish(DECISIONS, rows, part="review", fingerprint=f"{verdict} {ids} {other}")


def hear(catalog: Catalog, utterances: pa.Table, voices: dict[str, str]) -> None:
    """Vectors near a direction of each voice's own, and sound prints of which no two agree."""
    ids = utterances["utterance_id"]
    voice = pa.array([voices.get(label, label) for label in utterances["speaker_id"].to_pylist()])
    code = voice.dictionary_encode().indices.to_numpy()
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(code.max() + 1, DIMENSION))
    vectors = (directions[code] + rng.normal(scale=0.3, size=(len(code), DIMENSION))).astype(np.float32)
    names = pa.repeat(EXTRACTOR, len(ids))
    heard = pa.table({"utterance_id": ids, "extractor": names, "vector": fixed_size_lists(vectors)})
    catalog.publish(EMBEDDINGS, heard, part=EXTRACTOR, fingerprint="made")
    prints = pa.table(
        {
            "utterance_id": ids,
            "extractor": names,
            "samples_sha256": pc.binary_join_element_wise(ids, "samples", "/"),
            "landmarks": pa.array([[]] * len(ids), pa.list_(pa.int64())),
        }
    )
    catalog.publish(SOUND_PRINTS, prints, part=EXTRACTOR, fingerprint="made")


# ------------------------------------------------------------------------------------------------------- what is made

OVERLAP = ("vox1_person_3_of_dev", "vox1_person_5_of_dev")  # by the names that VGGFace has for id10004 and id10006
IN_BOTH = {"vox/id00017": "sitw/E001"}  # who is in VoxCeleb2 and in SITW, and nobody has found it


def vietnamese(folder: Path) -> Catalog:
    """What VietSV is made of."""
    sounds = Sounds()
    sections = [
        zaloai(folder / "zalo", sounds, people=46),
        vivos(folder / "vivos", sounds, train=4, test=4),
        vlsp2020(folder / "vlsp", sounds, people=4),
        common_voice(folder / "cv", sounds, people=8),
    ]
    return filled(folder, sections)


def western(folder: Path) -> Catalog:
    """What the designs on VoxCeleb, LibriSpeech and SITW are made of."""
    sounds, parts = Sounds(), {"vox1_dev": 8, "vox1_test": 4, "vox2_dev": 220, "vox2_test": 4}
    sections = [
        voxceleb(folder / "vox", sounds, people=parts, videos=2, cuts=1),
        librispeech(folder / "libri", sounds, people={"train-clean-100": 4, "dev-other": 4, "test-other": 4}),
        sitw(folder / "sitw", sounds, people={"dev": 3, "eval": 4}),
    ]
    write(folder / "overlap.txt", OVERLAP)
    return filled(folder, sections, voices=IN_BOTH)


def korean(folder: Path) -> Catalog:
    """What the designs on AI-Hub are made of."""
    sounds, ages_of_all, of_the_old = Sounds(), (25, 38, 45, 52, 60, 66), (61, 69)
    sections = [
        aihub(folder / "fcvg", sounds, name="fcvg", preset="fcvg", people=16, ages=ages_of_all),
        aihub(folder / "fcve", sounds, name="fcve", preset="fcve", people=8, ages=of_the_old),
    ]
    return filled(folder, sections)


MADE = {"vietnamese": vietnamese, "western": western, "korean": korean}
BUILT_FROM = {
    "vietsv": "vietnamese",
    "libri-vox": "western",
    "sitw": "western",
    "aihub-age": "korean",
} | {f"voxceleb-enrichment-{scheme}{more}": "western" for scheme in ("leq17", "leq29") for more in ("", "-disjoint")}
