"""What the demo will say and what will be wrong with it, decided before a sound is made.

A fault falls on any utterance of any label that holds one person, so one label may have several and most have none.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.demo.people import LABELS, LODGERS

SENTENCES = Path(__file__).with_name("sentences.txt")
SESSIONS = ("s1", "s2")
FILE_NAME = {
    "ha-noi": "{speaker}/{session}/{speaker}-{session}-{number:02}.wav",
    "hue": "clips/{speaker}_{session}_{number:02}.wav",
    "sai-gon": "audio/{speaker}/{session}-{number:02}.flac",
}
PLANTED = (  # fault, kind, how many
    ("noise", "white", 2),
    ("noise", "hum", 1),
    ("noise", "speech_under_pink", 2),
    ("noise", "speech_under_babble", 2),
    ("silence", "zeros", 2),
    ("silence", "faint", 1),
    ("silence", "empty_room", 1),
    ("wrong_speaker", "somebody_else", 10),
    ("too_short", "fifth_of_a_second", 3),
    ("truncated", "second_half_missing", 2),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One file to be: under whose label it lies, who speaks, what they say, and what is wrong with it."""

    corpus: str
    speaker: str
    session: str
    number: int
    text: str
    person: str  # who really speaks
    fault: str = ""
    kind: str = ""
    other_id: str = ""  # the label of who really speaks, where it is not this one

    @property
    def path(self) -> str:
        """Relative to the corpus."""
        return FILE_NAME[self.corpus].format(speaker=self.speaker, session=self.session, number=self.number)

    @property
    def utterance_id(self) -> str:
        """As the catalog makes it."""
        return f"{self.corpus}/{self.path.rsplit('.', 1)[0]}"

    @property
    def speaker_id(self) -> str:
        """As the catalog makes it."""
        return f"{self.corpus}/{self.speaker}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """One row of `truth.csv`; the fields are its columns."""

    fault: str
    subject: str  # utterance | speaker | pair
    subject_id: str
    other_id: str
    detail: str


def plan(rng: np.random.Generator) -> list[Utterance]:
    """Five or six utterances for each session of each label, which reads no sentence twice; the faults are planted."""
    sentences = itertools.cycle(rng.permutation(SENTENCES.read_text(encoding="utf-8").splitlines()).tolist())
    utterances = [
        Utterance(
            corpus=corpus,
            speaker=speaker,
            session=session,
            number=number,
            text=next(sentences),
            person=_who_speaks(f"{corpus}/{speaker}", session, number) or person,
        )
        for corpus, labels in LABELS.items()
        for speaker, person in labels.items()
        for session in SESSIONS
        for number in range(1, 1 + rng.integers(5, 7))
    ]
    return _plant(utterances, rng)


def truth(utterances: list[Utterance]) -> Iterator[Truth]:
    """Every fault of the demo, once."""
    for utterance in utterances:
        if utterance.fault:
            yield Truth(
                fault=utterance.fault,
                subject="utterance",
                subject_id=utterance.utterance_id,
                other_id=utterance.other_id,
                detail=utterance.kind,
            )
    for speaker_id, lodger in LODGERS.items():
        theirs = [row.utterance_id for row in utterances if row.speaker_id == speaker_id and row.person == lodger.name]
        yield Truth(fault="two_people", subject="speaker", subject_id=speaker_id, other_id="", detail=" ".join(theirs))
    for first, second in same_person():
        yield Truth(fault="same_person", subject="pair", subject_id=first, other_id=second, detail="")


def same_person() -> list[tuple[str, str]]:
    """Pairs of speaker ids that are one person, each pair in order."""
    people = [(f"{corpus}/{speaker}", name) for corpus, labels in LABELS.items() for speaker, name in labels.items()]
    pairs = itertools.combinations(sorted(people), 2)
    return [(first, second) for (first, name), (second, other_name) in pairs if name == other_name]


def _who_speaks(speaker_id: str, session: str, number: int) -> str | None:
    """The lodger, where it is their turn."""
    lodger = LODGERS.get(speaker_id)
    if lodger is None:
        return None
    return lodger.name if (session == SESSIONS[1] if lodger.whole_session else number % 2 == 0) else None


def _plant(utterances: list[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """The same utterances, some of them with a fault, none with two."""
    planted = list(utterances)
    free = [index for index, utterance in enumerate(utterances) if utterance.speaker_id not in LODGERS]
    for fault, kind, count in PLANTED:
        fit = [index for index in free if fault != "truncated" or planted[index].path.endswith(".flac")]
        for index in rng.choice(fit, count, replace=False).tolist():
            free.remove(index)
            planted[index] = replace(
                _misfiled(planted[index], rng) if fault == "wrong_speaker" else planted[index], fault=fault, kind=kind
            )
    return planted


def _misfiled(utterance: Utterance, rng: np.random.Generator) -> Utterance:
    """The same words under the same label, by anybody else who has a label of their own in this corpus."""
    others = [
        (speaker, name)
        for speaker, name in LABELS[utterance.corpus].items()
        if name != utterance.person and f"{utterance.corpus}/{speaker}" not in LODGERS
    ]
    speaker, name = others[rng.integers(len(others))]
    return replace(utterance, person=name, other_id=f"{utterance.corpus}/{speaker}")
