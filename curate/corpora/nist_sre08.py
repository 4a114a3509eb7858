"""NIST SRE 2008: telephone calls, and interviews recorded by microphones, 8 kHz SPHERE, one voice a channel.

Licence: LDC User Agreement. Citation: Martin, Greenberg, "NIST 2008 Speaker Recognition Evaluation: Performance Across
Telephone and Room Microphone Channels", Interspeech 2009. https://catalog.ldc.upenn.edu/LDC2011S08

Layout: a folder that holds LDC2011S05 (training) and LDC2011S08 (test), or links to both with `links = "anywhere"`.
Files are found by their names, wherever they lie below it:
    `<segment>.sph`: a call, side a on the first channel and b on the second; of an interview only side a is used
    `<male|female>/<training>.trn`: model, `segment.sph:A` of each of its calls, divided by commas
    `<training>-<test>.ndx`: model, sex, `segment.sph:A`
    `NIST_SRE08_header_info.<part>.csv`: segment, language, kind of speech, kind of channel
    `NIST_SRE08_<training>.model.key`: model, sex, `segment:a` of each call divided by blanks, speaker
    `NIST_SRE08_<training>-<test>.trial.key`: model, segment, side, `target` or `nontarget`, and eight common conditions
    `NIST_SRE08_<condition>.<train|test>.segment.key`: segment, two fields more, phonecall or interview, language,
    `speaker:kind:native language` of side a, and after a blank that of side b
The last four are divided by commas and open with a header. Conditions are short2, 3conv, 8conv, long, 10sec, 3summed
for training and short3, long, 10sec, summed for test. All of this is what public recipes read (Kaldi's the .trn, .ndx,
model and trial keys, others the segment keys), but for three things, which are inferred: that segment keys of training
have the form of those of test, that lists of summed calls name no side, and that a speaker who is not known is a word
in N (NA). Files that are called ALL, which seem to repeat the others, are not read.

An utterance is a side that any list names. Its speaker is whom the segment key says, else the speaker of the model that
it trains, else of the model whose target it is. Models that share a side are of one speaker: where no key tells of any
of their sides, all are `model_<training>_<number>` of the first; a test segment that nothing tells of is a speaker of
its own, `segment_<segment>_<side>`. The two voices of a summed call make one label, `105477+110074`. A session is a
segment: which segments are one interview, heard by several microphones, is not told.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, Enrolment, PublishedTrial
from curate.corpora.lists import SIDES
from curate.corpora.places import files_below
from curate.corpora.sre08_lists import Lists, Model, Side, is_unknown, read_lists, trials_of

LICENCE = "LDC User Agreement"
CITATION = (
    "Martin, Greenberg: NIST 2008 Speaker Recognition Evaluation: Performance Across Telephone and Room Microphone "
    "Channels, Interspeech 2009"
)
URL = "https://catalog.ldc.upenn.edu/LDC2011S08"
FILLS = ("sex", "session", "language", "corpus_split")

AUDIO = (".sph", ".wav", ".flac")


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["nist_sre08"]
    max_duration_s: float = Field(default=600.0, gt=0)  # calls and interviews last minutes


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every side that a list names of every file, in the order of files."""
    lists = read_lists(root, settings.links)
    sides, speakers = lists.sides_of(), _speakers(lists)
    for path, segment in _audio(root, settings):
        for letter in sides.get(segment, ()):
            side = segment, letter
            yield Described(
                path=path,
                name=_name(side),
                speaker=speakers.get(side, f"segment_{_name(side)}"),
                session=segment,
                channel=SIDES[letter] if letter else None,
                sex=lists.sexes[side],
                language=settings.language or lists.languages.get(segment),
                corpus_split="train" if segment in lists.trained else "test",
            )


def enrolments(root: Path, settings: Settings) -> Iterator[Enrolment]:
    """Every side of every model, in lists called `short2` and so on."""
    for (training, model), sides in read_lists(root, settings.links).models.items():
        for side in sides:
            yield Enrolment(list=training, model=model, utterance=_name(side))


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """The trials of every condition, in lists called `short2-short3` and so on; where no key is there, without one."""
    for condition, path in read_lists(root, settings.links).trials.items():
        for trial in trials_of(condition, path):
            training, model = trial.model
            test, is_target = _name(trial.side), trial.is_target
            yield PublishedTrial(list=condition, enrol=model, enrol_list=training, test=test, is_target=is_target)


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Files that no list names, segments that lists name and no file holds, and sides of which two keys disagree."""
    lists = read_lists(root, settings.links)
    sides, on_disk = lists.sides_of(), {segment: path for path, segment in _audio(root, settings)}
    if strangers := sorted(on_disk[segment] for segment in on_disk.keys() - sides.keys()):
        yield f"{len(strangers)} files that no list names, such as {strangers[0]!r}"
    if missing := sorted(sides.keys() - on_disk.keys()):
        yield f"{len(missing)} segments that lists name and no file holds, such as {missing[0]!r}"
    for side, model in _links(lists):
        told, known = lists.model_speakers.get(model), lists.speakers.get(side)
        if told and known and told != known and not is_unknown(told):
            yield (
                f"{_name(side)}: {known[:80]!r} by its segment key, {told[:80]!r} by model {model[1][:80]!r} of "
                f"{model[0]}"
            )


def _audio(root: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """Path and segment of every file."""
    for path in files_below(root, AUDIO, links=settings.links):
        yield path, normalize("NFC", path.rpartition("/")[2].rpartition(".")[0].lower())


def _name(side: Side) -> str:
    return "_".join(part for part in side if part)


def _links(lists: Lists) -> list[tuple[Side, Model]]:
    """Which sides are of which models' speakers. A summed call is nobody's alone."""
    trains = [(side, model) for model, sides in lists.models.items() for side in sides]
    return [(side, model) for side, model in trains + lists.targets if side[1]]


def _speakers(lists: Lists) -> dict[Side, str]:
    """Whom each side says, as far as any list tells; what the better list tells is kept."""
    speakers, links = dict(lists.speakers), _links(lists)
    for side, model in links:
        if (told := lists.model_speakers.get(model)) and not is_unknown(told):
            speakers.setdefault(side, told)
    return _by_models(links, speakers) | speakers


def _by_models(links: list[tuple[Side, Model]], known: dict[Side, str]) -> dict[Side, str]:
    """A label for each side that a model tells of: models that share a side are of one speaker.

    It is the speaker that keys tell of any of those sides; where they tell none, or two, the first of the models.
    """
    above: dict[Model, Model] = {}

    def top(model: Model) -> Model:
        while above.get(model, model) != model:
            model = above[model]
        return model

    model_of: dict[Side, Model] = {}
    for side, model in links:
        first, second = sorted((top(model_of.setdefault(side, model)), top(model)))
        above[second] = first
    told: dict[Model, set[str]] = {}
    for side in model_of.keys() & known.keys():
        told.setdefault(top(model_of[side]), set()).add(known[side])
    labels = {one: "model_{}_{}".format(*one) for one in map(top, model_of.values())}
    labels |= {one: min(speakers) for one, speakers in told.items() if len(speakers) == 1}
    return {side: labels[top(model)] for side, model in model_of.items()}
