"""What can be decided, about what, and why: closed lists, so that a reader of `decisions` knows every word of it."""

from enum import StrEnum


class Verdict(StrEnum):
    """What was decided."""

    KEEP = "keep"
    DROP = "drop"
    MERGE = "merge"
    RELABEL = "relabel"


class Subject(StrEnum):
    """What a decision is about."""

    UTTERANCE = "utterance"
    SPEAKER = "speaker"
    PAIR = "pair"


class Reason(StrEnum):
    """Why: the closed list. `MEANING` says each in words."""

    OK = "ok"
    TOO_FEW_TO_JUDGE = "too_few_to_judge"
    AGE_CONFLICT = "age_conflict"
    LISTED = "listed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    SILENT = "silent"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    NO_SPEECH = "no_speech"
    NOT_FINITE = "not_finite"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    INCOHERENT_SPEAKER = "incoherent_speaker"
    MIXED_SPEAKER = "mixed_speaker"
    TOO_FEW_LEFT = "too_few_left"
    INVALID_SPEAKER = "invalid_speaker"
    WRONG_SPEAKER = "wrong_speaker"
    ANOTHER_PERSON = "another_person"
    UNLIKE_SPEAKER = "unlike_speaker"
    BELOW_RANGE = "below_range"
    ABOVE_RANGE = "above_range"
    SAME_PERSON = "same_person"
    SEX_CONFLICT = "sex_conflict"
    LANGUAGE_CONFLICT = "language_conflict"
    INCOMPLETE_LINK = "incomplete_link"
    AGES_APART = "ages_apart"
    NOBODY_TWICE = "nobody_twice"
    REVIEWED = "reviewed"


MEANING: dict[Reason, str] = {
    Reason.OK: "nothing speaks against it",
    Reason.TOO_FEW_TO_JUDGE: "too few utterances, or too little speech, to judge by; kept",
    Reason.AGE_CONFLICT: "its sources of ages disagree by score years; its age is the range that they span",
    Reason.LISTED: "named by an exclusion list of its corpus",
    Reason.MISSING: "the corpus names a file that is not there",
    Reason.UNREADABLE: "no audio could be decoded from the file",
    Reason.TRUNCATED: "the file ends before the audio that its header announces",
    Reason.EMPTY: "the file holds no samples",
    Reason.SILENT: "its loudest sample is below the limit of its corpus",
    Reason.TOO_SHORT: "shorter than the limit of its corpus",
    Reason.TOO_LONG: "longer than the limit of its corpus",
    Reason.NO_SPEECH: "the extractor found no speech in it",
    Reason.NOT_FINITE: "the extractor gave no finite vector for it",
    Reason.DUPLICATE: "the same samples as other_id",
    Reason.NEAR_DUPLICATE: "the same recording as other_id, changed or cut; score landmarks agree",
    Reason.INCOHERENT_SPEAKER: "its utterances do not sound like one person",
    Reason.MIXED_SPEAKER: "several people speak under its label; kept where one of them is the main one",
    Reason.TOO_FEW_LEFT: "too few of its utterances are left",
    Reason.INVALID_SPEAKER: "its speaker was dropped",
    Reason.WRONG_SPEAKER: "likelier an utterance of other_id than of its own speaker",
    Reason.ANOTHER_PERSON: "of a person who is not the main one under its label",
    Reason.UNLIKE_SPEAKER: "no more like its speaker than a stranger is, and like nobody else",
    Reason.BELOW_RANGE: "less like its speaker's other utterances than the valid range allows",
    Reason.ABOVE_RANGE: "more like its speaker's other utterances than the valid range allows",
    Reason.SAME_PERSON: "the two labels sound like one person",
    Reason.SEX_CONFLICT: "similar enough, but labelled with different sexes",
    Reason.LANGUAGE_CONFLICT: "similar enough, but labelled with different languages",
    Reason.INCOMPLETE_LINK: "similar enough, but one of them may not be somebody who was merged with the other",
    Reason.AGES_APART: "similar enough, but their corpus states ages too far apart for one person",
    Reason.NOBODY_TWICE: "similar enough, but two labels of a corpus that holds nobody twice would be one person",
    Reason.REVIEWED: "a reviewer decided so",
}
