"""The 31 labelled people of the demo, what each corpus states of them, and thirds of them: what age systems learn from.

Their ages follow their voices (`benchmarks.demo.people`), so that what some teach of age holds for others. Of the
corpora all is taken that the plan says is right: no fault, and the person of the label speaks. Labels that are one
person are one here, as after curation. What a corpus states of age is what is learnt: years in `ha-noi` and `hue`,
decades in `sai-gon`, of whom two labels state nothing.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.demo.corpora import write_demo
from benchmarks.demo.people import AGE_UNKNOWN, LABELS, PEOPLE
from benchmarks.demo.plan import Utterance, plan
from models.data.crops import FileReader, Integers, Reader, Samples
from models.data.speech import Speech
from tests.models.recipes_made import spoken_by

SEED = 3  # of the corpora; as in the demo's own tests, which share them
LONGEST_S = 2.5
NUM_PARTS, DRAW = 3, (0, 9)  # of which one is not heard; of who is in which


def write(folder: Path) -> None:
    """The corpora, under `folder`/corpora."""
    write_demo(folder / "corpora", seed=SEED)


class Held(Reader):
    """Samples in memory, for the splits of one speech: decoded once."""

    def __init__(self, speech: Speech, samples: list[Samples]) -> None:
        super().__init__(speech)
        self.samples = samples

    def read_into(self, row: int, first: int, out: Samples) -> None:
        """As told of all readers."""
        out[:] = self.samples[row][first : first + len(out)]

    def take(self, rows: Integers) -> "Held":
        """Those rows alone."""
        return Held(self.speech.take(rows), [self.samples[row] for row in rows])


def held(speech: Speech) -> Held:
    """All of it, decoded."""
    reader, samples = FileReader(speech), []
    for row, num_samples in enumerate(reader.num_samples):
        samples.append(np.empty(num_samples, np.float32))
        reader.read_into(row, 0, samples[-1])
    return Held(speech, samples)


def people(folder: Path) -> Held:
    """Everybody, with sex, and with age as the corpus states it."""
    right = {
        folder / "corpora" / said.corpus / said.path: said
        for said in plan(np.random.default_rng(SEED))
        if not said.fault and said.person == LABELS[said.corpus][said.speaker]
    }
    files: dict[str, list[Path]] = {}
    for path, said in right.items():
        files.setdefault(said.person, []).append(path)
    spoken = spoken_by(files, longest_s=LONGEST_S)
    rows = [right[path] for path in spoken.files]
    sex = [PEOPLE[said.person].sex for said in rows]
    return held(replace(spoken, sex=sex, ages=[stated_age(said) for said in rows]))


def stated_age(said: Utterance) -> tuple[int, int] | None:
    """From the youngest to the oldest that its person may be by the corpus; None where it does not say."""
    years = PEOPLE[said.person].age_years
    if said.speaker_id in AGE_UNKNOWN:
        return None
    return (years // 10 * 10, years // 10 * 10 + 9) if said.corpus == "sai-gon" else (years, years)


def part_of(seed: int) -> set[str]:
    """The third who are not heard: of each sex one of three who follow each other in age.

    Seeds that follow each other have the three thirds of one draw in turn, so that everybody is unheard once.
    """
    rng, unheard = np.random.default_rng(DRAW), set()
    labelled = {name for labels in LABELS.values() for name in labels.values()}
    for sex in ("female", "male"):
        names = sorted((one for one in labelled if PEOPLE[one].sex == sex), key=lambda one: PEOPLE[one].age_years)
        for first in range(0, len(names), NUM_PARTS):
            parts = rng.permutation(NUM_PARTS)
            three = names[first : first + NUM_PARTS]
            unheard |= {name for name, part in zip(three, parts, strict=False) if part == (seed - 1) % NUM_PARTS}
    return unheard


def split(everybody: Held, seed: int) -> tuple[Held, Held]:
    """Who is heard, and who is not."""
    unheard = part_of(seed)
    is_out = np.array([everybody.speech.people[code] in unheard for code in everybody.speech.person])
    return everybody.take(np.flatnonzero(~is_out)), everybody.take(np.flatnonzero(is_out))
