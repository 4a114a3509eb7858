"""What the step of embeddings says on its way."""

from pathlib import Path

import pytest

from curate.embed import Embedded
from curate.vectors import Planned
from flows.embedding import Progress


def progress(num_stretches=3, num_held=0):
    planned = Planned(file=Path("planned"), roots={}, num_stretches=num_stretches, num_held=num_held, audio_s=7200.0)
    return Progress(planned)


def block(num_utterances, *faults):
    return Embedded(block="b", num_utterances=num_utterances, audio_s=3600.0, faults=faults, seconds=1.0, waited_s=0.0)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((1, 0), "embed: 1 utterance, 2.00 h, to be heard by ge2e; 0 heard before"),
        ((3, 40), "embed: 3 utterances, 2.00 h, to be heard by ge2e; 40 heard before"),
    ],
)
def test_the_first_line_says_what_there_is_to_do_and_what_is_there(there, said):
    assert progress(*there).before("ge2e") == said


def test_blocks_and_utterances_are_counted_as_they_are_done():
    so_far = progress()
    assert so_far.after(block(2)).startswith("embed: block 1: 2 of 3 utterances, ")
    assert so_far.after(block(1)).startswith("embed: block 2: 3 of 3 utterances, ")


def test_each_utterance_without_a_vector_has_a_line_of_its_own():
    first, *others = progress().after(block(2, "toy/a: it is silent", "toy/b: too")).splitlines()
    assert first.startswith("embed: block 1: ")
    assert others == ["  no vector: toy/a: it is silent", "  no vector: toy/b: too"]
