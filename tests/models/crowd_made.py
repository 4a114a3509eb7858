"""A crowd of 72 people of 6 to 89 years whose voices follow their years, spoken by espeak: what age systems learn from.

The demo's 33 people say the same sentences in the same way, and have ages, but their voices were chosen to be apart,
whatever their years: nothing that one of them teaches of age holds for another. Here a law says how a voice goes with
years, each person strays from it a little, and what is learnt of some people holds for others. The law is made up,
along what is known of voices: children have short tracts, and with years speech gets lower, flatter, slower and more
breathy. In truth it does so far less regularly. Who learns it knows the ages of this crowd and of nobody else.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.demo.spoken import LANGUAGES, SAMPLE_RATE_HZ, Voice, speak
from models.data.crops import RATE_HZ
from models.data.speech import Speech
from tests.models.recipes_made import spoken_by

SENTENCES = Path(__file__).parents[2] / "benchmarks" / "demo" / "sentences.txt"
# Of the women, and of the men: eight below 18, then four of each decade. By leq29 that is 12 young, 12 adults and 12
# seniors; by leq17 8, 16 and 12; by decades 8, 8 and 4.
YEARS = (6, 8, 10, 12, 14, 16, 17, 17, *(decade + year for decade in range(20, 90, 10) for year in (0, 3, 6, 9)))
VARIANTS = {"female": ("f1", "f2", "f3", "f4", "f5"), "male": ("m1", "m3", "m4", "m7", "m8")}
GROWN_TRACT = {"female": 1.06, "male": 0.92}  # formant scales
NUM_WORDS, NUM_EACH = 7, 6  # of an utterance, which lasts 1 to 2 s; utterances of a person
LONGEST_S = 2.5
TOGETHER, NUM_UNHEARD = 4, 2  # of so many of one sex who follow each other in age, so many are not heard


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the crowd."""

    name: str
    sex: str
    age_years: int
    voice: Voice
    breath: float  # of noise, for 1 of voice


def person(name: str, sex: str, years: int, rng: np.random.Generator) -> Person:
    """By the law: tracts grow by 30 % until 18. From 10 to 80 they lengthen by 15 % more, pitch falls by 80 of espeak's
    hundred steps and its range by as many, 300 words a minute become 110, and the noise in the voice rises by 42 dB.
    """
    to_grow, old = max(0.0, (18 - years) / 18), float(np.clip((years - 10) / 70, 0, 1))
    tract = GROWN_TRACT[sex] * (1 + 0.3 * to_grow) * (1.05 - 0.15 * old) * (1 + 0.02 * rng.normal())
    voice = Voice(
        language=str(rng.choice(LANGUAGES)),
        variant=str(rng.choice(VARIANTS[sex])),
        pitch=int(np.clip(95 - 80 * old + 5 * rng.normal(), 0, 99)),
        pitch_range=int(np.clip(90 - 80 * old + 5 * rng.normal(), 0, 99)),
        words_per_minute=round((300 - 190 * old) * (1 + 0.05 * rng.normal())),
        formant_scale=float(np.clip(tract, 0.75, 1.4)),
    )
    breath_db = -44 + 42 * old + rng.normal()
    return Person(name=name, sex=sex, age_years=years, voice=voice, breath=float(10 ** (breath_db / 20)))


def people() -> list[Person]:
    """Everybody, from the youngest on: a woman and a man of each age in turn."""
    rng = np.random.default_rng(5)
    return [person(f"{sex}-{place:02}", sex, years, rng) for place, years in enumerate(YEARS) for sex in VARIANTS]


def write(folder: Path) -> None:
    """`name/place.wav` at 16 kHz, and `speakers.csv` (speaker,sex,age)."""
    rng = np.random.default_rng(6)
    sentences = [" ".join(line.split()[:NUM_WORDS]) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    crowd = people()
    for one in crowd:
        (folder / one.name).mkdir()
        for place, text in enumerate(rng.choice(sentences, NUM_EACH, replace=False)):
            sound = speak(str(text), one.voice, seed=place + 1)
            breathy = sound * (1 + one.breath * rng.normal(size=len(sound)))
            wave = np.clip(soxr.resample(breathy, SAMPLE_RATE_HZ, RATE_HZ), -1, 1)
            soundfile.write(folder / one.name / f"{place}.wav", wave, RATE_HZ, subtype="PCM_16")
    with (folder / "speakers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["speaker", "sex", "age"])
        rows.writerows([one.name, one.sex, one.age_years] for one in crowd)


def speech(folder: Path) -> Speech:
    """What was written, with sexes and ages."""
    with (folder / "speakers.csv").open() as file:
        told = {row["speaker"]: row for row in csv.DictReader(file)}
    spoken = spoken_by({name: sorted((folder / name).glob("*.wav")) for name in told}, longest_s=LONGEST_S)
    who = [told[spoken.people[code]] for code in spoken.person]
    years = [int(row["age"]) for row in who]
    return replace(spoken, sex=[row["sex"] for row in who], ages=[(age, age) for age in years])


def halves(crowd: Speech, seed: int, *, youngest: int = 0, oldest: int = 90) -> tuple[Speech, Speech]:
    """Who is heard and who is not, of people of these years: of each sex and of each age about as many."""
    rng, unheard = np.random.default_rng([seed, 9]), set()
    of_age = [one for one in people() if youngest <= one.age_years <= oldest]
    for sex in VARIANTS:
        names = [one.name for one in of_age if one.sex == sex]
        for first in range(0, len(names), TOGETHER):
            unheard |= {str(name) for name in rng.choice(names[first : first + TOGETHER], NUM_UNHEARD, replace=False)}
    of_both = {one.name for one in of_age}
    who = [crowd.people[code] for code in crowd.person]
    rows = ([row for row, name in enumerate(who) if name in some] for some in (of_both - unheard, unheard))
    heard, others = (crowd.take(np.array(some)) for some in rows)
    return heard, others
