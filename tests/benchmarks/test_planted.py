"""What counts as found, missed and a false alarm."""

import pyarrow as pa

from benchmarks.planted import Planted, account, false_alarms
from curate.decisions import Author, verdicts
from curate.reasons import Reason, Subject, Verdict
from curate.schema import IDENTITIES

AUTHOR = Author(rule="rule", step="clean", run_id="0")
PLANTED = [
    Planted(fault="noise", subject="utterance", subject_id="c/a/1"),
    Planted(fault="noise", subject="utterance", subject_id="c/a/2"),
    Planted(fault="two_people", subject="speaker", subject_id="c/b"),
    Planted(fault="same_person", subject="pair", subject_id="c/d", other_id="c/e"),
    Planted(fault="same_person", subject="pair", subject_id="c/e", other_id="c/f"),
]
UTTERANCES = pa.table(
    {
        "utterance_id": ["c/a/1", "c/a/2", "c/a/3", "c/b/1"],
        "speaker_id": ["c/a", "c/a", "c/a", "c/b"],
    }
)


def drops(subject: Subject, *ids: str) -> pa.Table:
    return verdicts(AUTHOR, subject, list(ids), verdict=Verdict.DROP, reason=Reason.BELOW_RANGE)


def identities(**groups: str) -> pa.Table:
    rows = [{"speaker_id": f"c/{speaker}", "identity_id": f"c/{identity}"} for speaker, identity in groups.items()]
    return pa.Table.from_pylist(rows, schema=IDENTITIES.arrow())


def test_each_fault_is_found_by_the_verdict_on_its_own_kind_of_subject():
    decisions = pa.concat_tables([drops(Subject.UTTERANCE, "c/a/1"), drops(Subject.SPEAKER, "c/b")])
    accounts = account(PLANTED, decisions, identities(a="a", b="b", d="d", e="d", f="f"))
    assert [(one.fault, len(one.found), len(one.missed)) for one in accounts] == [
        ("noise", 1, 1),
        ("two_people", 1, 0),
        ("same_person", 1, 1),
    ]


def test_what_nobody_planted_is_a_false_alarm_but_not_what_a_wrong_speaker_says():
    decisions = pa.concat_tables(
        [drops(Subject.UTTERANCE, "c/a/1", "c/a/3", "c/b/1"), drops(Subject.SPEAKER, "c/b", "c/d")]
    )
    alarms = false_alarms(PLANTED, UTTERANCES, decisions, identities(a="a", b="a", d="d", e="d", f="d"))
    assert alarms.utterances == ("c/a/3",)
    assert alarms.speakers == ("c/d",)
    assert alarms.pairs == (("c/b", "c/a"),)  # d, e and f are one person, d and f through e
