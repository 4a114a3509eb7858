"""Verdicts from a CSV file: each row is what the same ids and verdict would be on the command line."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.catalog import Catalog, rows_of
from curate.named import Named, Review, ReviewError
from curate.reasons import Verdict
from curate.schema import EMBEDDINGS, UTTERANCES
from curate.verdict_files import read_verdicts

LABELS = {"a/1": "c/a", "a/2": "c/a", "b/1": "c/b", "d/g": "d/g"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    catalog = Catalog(tmp_path_factory.mktemp("named"))
    common = {"path": "x.wav", "start_s": 0.0, "corpus": "c"}
    rows = [common | {"utterance_id": one, "speaker_id": label} for one, label in LABELS.items()]
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="c", fingerprint="f")
    heard = [{"utterance_id": one, "extractor": "x", "vector": [1.0]} for one in LABELS]
    catalog.publish(EMBEDDINGS, rows_of(EMBEDDINGS, heard), part="x", fingerprint="f")
    return catalog


def written(path, rows, names=("subject", "subject_id", "verdict", "other_id", "reviewer", "note")):
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def test_each_row_is_a_verdict_and_says_itself_what_it_is_about(tmp_path, catalog):
    rows = [
        {"subject_id": "a/1", "verdict": "drop", "note": 'a, "cough"'},
        {"subject_id": "c/a", "verdict": "keep"},
        {"subject_id": "c/a", "verdict": "keep", "other_id": "c/b", "reviewer": "bob"},
        {"subject_id": "c/b", "verdict": "merge", "other_id": "d/g"},
        {"subject_id": "a/2", "verdict": "relabel", "other_id": "c/b"},
        {"subject_id": "d/g", "verdict": "drop", "subject": "speaker"},
        {"subject_id": "d/g", "verdict": "keep", "subject": "utterance"},
    ]
    assert [
        (str(one.subject), one.subject_id, str(one.verdict), one.other_id, one.note)
        for one in read_verdicts(written(tmp_path / "said.csv", rows), catalog, note="all at once")
    ] == [
        ("utterance", "a/1", "drop", None, 'a, "cough"'),
        ("speaker", "c/a", "keep", None, "all at once"),
        ("pair", "c/a", "keep", "c/b", "all at once"),
        ("pair", "c/b", "merge", "d/g", "all at once"),
        ("utterance", "a/2", "relabel", "c/b", "all at once"),
        ("speaker", "d/g", "drop", None, "all at once"),
        ("utterance", "d/g", "keep", None, "all at once"),
    ]


@given(data=st.data())
def test_a_file_says_what_its_rows_say_one_by_one(tmp_path_factory, catalog, data):
    one_of = st.sampled_from([*LABELS, *LABELS.values(), "zz"])
    row = st.tuples(one_of, st.sampled_from([*Verdict]), st.none() | one_of)
    asked = data.draw(st.lists(row, min_size=1, max_size=4))

    def told(say):
        try:
            return say()
        except ReviewError as error:
            return str(error).partition(", line ")[2].partition(": ")[2] or str(error)

    def one_by_one():
        said = []
        for one, verdict, other in asked:
            named = Named(catalog, [name for name in (one, other) if name])
            about = named.subject_of(one, other, verdict, None)
            said.append(Review(subject=about, subject_id=one, other_id=other, verdict=verdict))
            named.require_fit(said[-1])
        return said

    names = ("subject_id", "verdict", "other_id")
    file = written(
        tmp_path_factory.mktemp("rows") / "said.csv", [dict(zip(names, row, strict=True)) for row in asked], names
    )
    assert told(lambda: read_verdicts(file, catalog)) == told(one_by_one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("subject_id,reviewer\na/1,ann\n", "no column 'verdict'; expected CSV with the columns subject_id, verdict"),
        ("subject_id,verdict\n", "no row; expected CSV"),
        ("", "no column 'subject_id'; expected CSV"),
        ("subject_id,verdict\na/1,drop\nzz,drop\n", ", line 3: 'zz': no utterance or speaker of "),
        ("subject_id,verdict\na/1,dorp\n", ", line 2: verdict 'dorp'; expected one of keep, drop, merge, relabel"),
        ("subject_id,verdict\n,drop\n", ", line 2: no subject_id; expected an utterance_id or a speaker_id"),
        ("subject_id,verdict,subject\nc/a,drop,person\n", ", line 2: subject 'person'; expected one of utterance"),
        ("subject_id,verdict,other_id\na/1,drop,c/b\n", ", line 2: 'a/1': drop with 'c/b'; expected one id"),
        ('subject_id,verdict\n"a/1,drop\n', "unexpected end of data; expected CSV in UTF-8"),
        ("subject_id,verdict\nd/g,drop\n", ", line 2: 'd/g': both an utterance and a speaker; expected `--subject`"),
    ],
)
def test_a_row_that_cannot_be_said_is_told_with_its_line(tmp_path, catalog, text, told):
    file = tmp_path / "said.csv"
    file.write_text(text)
    with pytest.raises(ReviewError) as refusal:
        read_verdicts(file, catalog)
    assert str(refusal.value).startswith(str(file))
    assert told in str(refusal.value)


@pytest.mark.parametrize(("content", "told"), [(None, "No such file"), (b"subject_id,verdict\n\xff,drop\n", "UTF-8")])
def test_a_file_that_cannot_be_read_is_told(tmp_path, catalog, content, told):
    file = tmp_path / "said.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ReviewError, match=told):
        read_verdicts(file, catalog)
