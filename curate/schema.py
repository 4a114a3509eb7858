"""Every table of the catalog: what a row is, its key, its columns, their meaning and unit.

Types are spelt only here; the Arrow schema, the checks before publishing and `docs/tables.md` derive from it. Numeric
columns carry their unit in their name (`duration_s`, `sample_rate_hz`); a cosine, a count and a rate have none.

Who changes a table raises VERSION, says in HISTORY what changed, tells `curate.migration` what older rows have in its
place, and adds a golden catalog (`tests/golden`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from curate.reasons import MEANING, Subject, Verdict


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a unit ends its name."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """One table. `part_is` says what one of its files holds; a table that nothing divides has one file, `all`."""

    name: str
    row_is: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    part_is: str = "all"

    def arrow(self) -> pa.Schema:
        """The Arrow schema."""
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])

    def rows(self, columns: Mapping[str, Any]) -> pa.Table:
        """These columns, of one length, as rows; a column that is not given is null. Raises ValueError otherwise."""
        unknown = sorted(columns.keys() - {c.name for c in self.columns})
        if unknown:
            raise ValueError(f"{self.name}: no column {unknown[0]!r}; expected {self.arrow().names}")
        num = len(next(iter(columns.values())))
        given = {c.name: columns.get(c.name, pa.nulls(num, c.type)) for c in self.columns}
        return pa.table(given).cast(self.arrow())


VERSION = 2  # of all tables together; a catalog says it in its `schema.json` (curate.versions)
HISTORY = {
    1: "Does not say its version: all catalogs before there were versions. `utterances` may lack `work_id`, `trials` "
    "`list`, `results` `list` and `subset`; of the earliest, other columns that may be null are missing, too.",
    2: "`utterances.work_id`, `trials.list`, `results.list` and `results.subset`; the tables `models`, `removals`, "
    "`leaks` and `class_results`.",
}

_text, _bool = pa.string(), pa.bool_()
_f32, _f64, _i16, _i32, _i64 = pa.float32(), pa.float64(), pa.int16(), pa.int32(), pa.int64()
_time = pa.timestamp("us", tz="UTC")

_CORPUS = Column("corpus", _text, "the corpus, as the pipeline file names it")
_UTTERANCE = Column(
    "utterance_id", _text, "corpus/relative path without suffix (with its channel and start in ms), or corpus/name"
)
_SPEAKER = Column("speaker_id", _text, "corpus/label: one label of one corpus")
_BENCHMARK = Column("benchmark", _text, "the benchmark, as the pipeline file or the protocol names it")
_LIST = Column("list", _text, "the list of trials, as its protocol calls it; `test` without one")

CORPORA = Table(
    name="corpora",
    row_is="One corpus: where it lies and on what terms.",
    key=("corpus",),
    columns=(
        _CORPUS,
        Column("reader", _text, "the reader that understands its layout"),
        Column("root", _text, "the folder that `path` of utterances is relative to; may move without new ids"),
        Column("licence", _text, "SPDX identifier, or the publisher's words", nullable=True),
        Column("citation", _text, "how its authors ask to be cited", nullable=True),
        Column("url", _text, "where it can be had", nullable=True),
        Column("remarks", _text, "what is odd about it, a line each", nullable=True),
    ),
)

UTTERANCES = Table(
    name="utterances",
    row_is="One stretch of audio as its corpus describes it, and what a look into the file found.",
    key=("utterance_id",),
    part_is="corpus",
    columns=(
        _UTTERANCE,
        _CORPUS,
        _SPEAKER,
        Column(
            "session_id",
            _text,
            "speaker_id/session: one sitting, call, chapter or video; of a stretch, else its file",
            nullable=True,
        ),
        Column("path", _text, "of the file, relative to the root of its corpus"),
        Column("channel", _i16, "of the file, counted from 0; null: all of them, averaged", nullable=True),
        Column("start_s", _f64, "where in the file the stretch begins"),
        Column("duration_s", _f64, "of the stretch; null where the file cannot be read", nullable=True),
        Column("sample_rate_hz", _i32, "of the file", nullable=True),
        Column("num_channels", _i32, "of the file", nullable=True),
        Column("num_samples", _i64, "of the file, in each channel", nullable=True),
        Column(
            "peak_dbfs",
            _f32,
            "the loudest sample of the file; -inf for digital silence; null where only headers were looked at",
            nullable=True,
        ),
        Column("content_sha256", _text, "of the file's bytes", nullable=True),
        Column("damage", _text, "missing | unreadable | truncated | empty; null for a sound file", nullable=True),
        Column("sex", _text, "female | male, as the corpus says", nullable=True),
        Column("age_min_years", _i16, "the youngest that the corpus' statement allows", nullable=True),
        Column("age_max_years", _i16, "the oldest; equals age_min_years where the age is known", nullable=True),
        Column("age_source", _text, "where the age comes from", nullable=True),
        Column(
            "age_conflict_years", _i16, "how far its sources are apart; null where they agree or are one", nullable=True
        ),
        Column("work_id", _text, "corpus/work: the book, show or film that it is from", nullable=True),
        Column("accent", _text, "as the corpus says", nullable=True),
        Column("nationality", _text, "as the corpus says", nullable=True),
        Column("language", _text, "BCP 47 tag", nullable=True),
        Column("transcript", _text, "as the corpus writes it", nullable=True),
        Column("corpus_split", _text, "the corpus' own split", nullable=True),
        Column("licence", _text, "the terms that this row comes under", nullable=True),
    ),
)

ENROLMENTS = Table(
    name="enrolments",
    row_is="One utterance that an enrolment model is made of, as the corpus' authors say.",
    key=("model_id", "utterance_id"),
    part_is="corpus",
    columns=(
        _CORPUS,
        Column("model_id", _text, "corpus/list/model"),
        _UTTERANCE,
    ),
)

PUBLISHED_TRIALS = Table(
    name="published_trials",
    row_is="One trial of a list that the corpus' authors publish.",
    key=("corpus", "list", "enrol_id", "test_id"),
    part_is="corpus",
    columns=(
        _CORPUS,
        Column("list", _text, "the list or condition, such as core-core"),
        Column("enrol_id", _text, "utterance_id, or model_id of enrolments"),
        Column("test_id", _text, "utterance_id"),
        Column("is_target", _bool, "null where no key is published", nullable=True),
    ),
)

EMBEDDINGS = Table(
    name="embeddings",
    row_is="One utterance as one extractor hears it.",
    key=("utterance_id", "extractor"),
    part_is="extractor",
    columns=(
        _UTTERANCE,
        Column("extractor", _text, "name of the extractor"),
        Column("vector", pa.list_(_f32), "as long as the extractor says, never null, not normalised by us"),
    ),
)

SOUND_PRINTS = Table(
    name="sound_prints",
    row_is="One utterance's audio in short: what tells it again, however it was copied.",
    key=("utterance_id", "extractor"),
    part_is="extractor",
    columns=(
        _UTTERANCE,
        Column("extractor", _text, "name of the extractor"),
        Column("samples_sha256", _text, "of its samples as the extractor is given them"),
        Column("landmarks", pa.list_(_i64), "pairs of peaks of its spectrum, and when (curate.landmarks)"),
    ),
)

UTTERANCE_SCORES = Table(
    name="utterance_scores",
    row_is="One utterance against the other utterances of its speaker.",
    key=("utterance_id",),
    columns=(
        _UTTERANCE,
        _SPEAKER,
        Column(
            "average_similarity",
            _f64,
            "a_i of VietSV eq. 6: the sum of its cosines to the speaker's others, divided by all n; null where n is 1",
            nullable=True,
        ),
        Column("own_cosine", _f64, "to its speaker without it (and its session); robust only", nullable=True),
        Column("nearest_speaker_id", _text, "the other speaker that it is most like; robust only", nullable=True),
        Column("nearest_cosine", _f64, "to that speaker; robust only", nullable=True),
        Column("probability_wrong", _f64, "that its label is wrong; robust only, null where not judged", nullable=True),
    ),
)

SPEAKER_SCORES = Table(
    name="speaker_scores",
    row_is="One speaker: how alike its utterances are, and the range that they are held against.",
    key=("speaker_id",),
    columns=(
        _SPEAKER,
        Column("num_utterances", _i64, "with an embedding"),
        Column("self_similarity", _f64, "mean cosine of two different utterances; null for one", nullable=True),
        Column("lower_bound", _f64, "of utterance_scores.average_similarity (VietSV eq. 7)", nullable=True),
        Column("upper_bound", _f64, "of utterance_scores.average_similarity (VietSV eq. 7)", nullable=True),
        Column("num_people", _i64, "who speak under it; robust only, null where not judged", nullable=True),
    ),
)

SPEAKER_PAIRS = Table(
    name="speaker_pairs",
    row_is="Two speakers above the least threshold, or one and the other it is most like.",
    key=("speaker_id", "other_id"),
    columns=(
        _SPEAKER,
        Column("other_id", _text, "the second speaker; after speaker_id in the order of ids"),
        Column("similarity", _f64, "mean cosine of all their kept utterances"),
    ),
)

CALIBRATIONS = Table(
    name="calibrations",
    row_is="One corpus, and how alike two of its labels must be to be one person, as its own people tell.",
    key=("corpus",),
    columns=(
        _CORPUS,
        Column("told_by", _text, "the corpus whose people tell it: another one, where it has too few"),
        Column("threshold", _f64, "the least mean cosine of two labels; between two corpora the stricter one counts"),
        Column("threshold_lower", _f64, "end of the 95 % interval of what gives the wanted rate, people drawn anew"),
        Column("threshold_upper", _f64, "end of the 95 % interval of what gives the wanted rate, people drawn anew"),
        Column("wanted_rate", _f64, "false merges per compared pair of different people"),
        Column("rate", _f64, "the same as estimated at the threshold"),
        Column("rate_lower", _f64, "end of its 95 % interval"),
        Column("rate_upper", _f64, "end of its 95 % interval"),
        Column("num_people", _i64, "that tell it"),
        Column("num_pairs", _i64, "of their labels"),
        Column("is_told_apart", _bool, "false where one person is not always as alike: expect missing merges"),
    ),
)

DECISIONS = Table(
    name="decisions",
    row_is="One verdict on one utterance, speaker or pair of speakers.",
    key=("subject", "subject_id", "other_id", "step"),
    part_is="step",
    columns=(
        Column("subject", _text, " | ".join(Subject)),
        Column("subject_id", _text, "utterance_id or speaker_id"),
        Column(
            "other_id",
            _text,
            "the second speaker of a pair, the utterance that a duplicate repeats, or the likelier speaker",
            nullable=True,
        ),
        Column("verdict", _text, " | ".join(Verdict)),
        Column("reason", _text, "from the closed list of curate.reasons.Reason"),
        Column("score", _f64, "what was measured", nullable=True),
        Column("lower_bound", _f64, "the least score that would have been well", nullable=True),
        Column("upper_bound", _f64, "the greatest", nullable=True),
        Column("decided_by", _text, "the rule and its preset, or the reviewer"),
        Column("step", _text, "the step that decided"),
        Column("run_id", _text, "the row of runs that decided"),
    ),
)

REVIEWS = Table(
    name="reviews",
    row_is="One thing that a reviewer said. The last one said of a subject stands; no run writes this table.",
    key=("reviewer", "num_before"),
    part_is="reviewer",
    columns=(
        Column("reviewer", _text, "who"),
        Column("num_before", _i64, "things that this reviewer said before it"),
        Column("said_at", _time, "when"),
        Column("subject", _text, " | ".join(Subject)),
        Column("subject_id", _text, "utterance_id or speaker_id"),
        Column("other_id", _text, "the second speaker of a pair, or the label an utterance goes to", nullable=True),
        Column(
            "verdict",
            _text,
            f"{' | '.join(Verdict)}; null: the reviewer's own word is taken back, or, where he has none, all others'",
            nullable=True,
        ),
        Column("note", _text, "in the reviewer's words", nullable=True),
    ),
)

IDENTITIES = Table(
    name="identities",
    row_is="One speaker and the person it was found to be.",
    key=("speaker_id",),
    columns=(_SPEAKER, Column("identity_id", _text, "the first speaker_id of that person in the order of ids")),
)

AGE_LABELS = Table(
    name="age_labels",
    row_is="One utterance in one age scheme.",
    key=("scheme", "utterance_id"),
    columns=(
        Column("scheme", _text, "leq29 | leq17 | decades, or groups written out"),
        _UTTERANCE,
        Column("age_group", _text, "the group (a superclass, in the hierarchical scheme)", nullable=True),
        Column("age_subgroup", _text, "the part of the group (a subclass)", nullable=True),
        Column("unlabelled_because", _text, "no_age | impossible_age | straddles_groups | no_group", nullable=True),
    ),
)

SPLITS = Table(
    name="splits",
    row_is="One kept utterance in one benchmark.",
    key=("benchmark", "utterance_id"),
    part_is="benchmark",
    columns=(
        _BENCHMARK,
        _UTTERANCE,
        Column("identity_id", _text, "the person"),
        Column("split", _text, "train | test, or as its protocol calls them"),
    ),
)

MODELS = Table(
    name="models",
    row_is="One utterance that an enrolment model of a benchmark is made of.",
    key=("benchmark", "model_id", "utterance_id"),
    part_is="benchmark",
    columns=(_BENCHMARK, Column("model_id", _text, "what trials enrol in place of one utterance"), _UTTERANCE),
)

TRIALS = Table(
    name="trials",
    row_is="One pair of utterances to be told same or different.",
    key=("benchmark", "list", "enrol_id", "test_id"),
    part_is="benchmark",
    columns=(
        _BENCHMARK,
        _LIST,
        Column("enrol_id", _text, "utterance_id, or model_id of models"),
        Column("test_id", _text, "utterance_id"),
        Column("is_target", _bool, "one person speaks both"),
    ),
)

REMOVALS = Table(
    name="removals",
    row_is="One rule by which a benchmark was built, and what it took away.",
    key=("benchmark", "stage", "part", "place"),
    part_is="benchmark",
    columns=(
        _BENCHMARK,
        Column("stage", _text, "source | filter | split | trials | targets | nontargets | remark"),
        Column("part", _text, "the source, the split or the list that it took away from"),
        Column("place", _i32, "its turn among the rules of that, counted from 0"),
        Column("rule", _text, "in words"),
        Column("num_examined", _i64, "what the rules before it left: utterances, or pairs; null where uncounted", True),
        Column("num_removed", _i64, "of those, by this one", nullable=True),
        Column("is_exact", _bool, "of all, else of those that were looked at"),
    ),
)

LEAKS = Table(
    name="leaks",
    row_is="One thing that was looked for on two sides of a benchmark, which should share none of it.",
    key=("benchmark", "check", "side", "other_side"),
    part_is="benchmark",
    columns=(
        _BENCHMARK,
        Column(
            "check",
            _text,
            "person | speaker | session | recording | samples | near_duplicate | transcript | voice | named",
        ),
        Column("side", _text, "a split"),
        Column("other_side", _text, "another split, or a list of names by its file"),
        Column("num_side", _i64, "what there is to compare on this side; 0: nothing is known there"),
        Column("num_other", _i64, "and on the other"),
        Column("num_unknown", _i64, "utterances of both sides of which it is not known, so that they are not compared"),
        Column("num_shared", _i64, "on both; of near_duplicate and voice the pairs, of named the entries"),
        Column("num_utterances", _i64, "of the side, that this touches"),
        Column("num_other_utterances", _i64, "of the other, that this touches; null for a list", nullable=True),
        Column("is_allowed", _bool, "the protocol says that these sides share it"),
        Column("examples", _text, "of what is shared, a line each", nullable=True),
    ),
)

OF_ALL = "all"  # the subset of RESULTS that is a whole list
RESULTS = Table(
    name="results",
    row_is="One figure of one system on one list of a benchmark.",
    key=("benchmark", "list", "system", "subset", "metric"),
    part_is="benchmark, or list and system of one",
    columns=(
        _BENCHMARK,
        _LIST,
        Column("system", _text, "what gave the scores"),
        Column("subset", _text, "all, or a part of the trials such as `sex = female`"),
        Column("metric", _text, "eer | min_dcf | act_dcf | cllr | min_cllr, with p_target where several are asked"),
        Column("value", _f64, "a rate in [0, 1], or a normalised cost"),
        Column("lower", _f64, "end of the 95 % interval, people drawn anew; null where too few", nullable=True),
        Column("upper", _f64, "end of the 95 % interval, people drawn anew; null where too few", nullable=True),
        Column("num_target", _i64, "target trials"),
        Column("num_nontarget", _i64, "nontarget trials"),
        Column("conventions", _text, "how the figure is computed, for comparison with others"),
    ),
)

CLASS_RESULTS = Table(
    name="class_results",
    row_is="One figure of what one system tells of the utterances of a split: of a class, or of all of a task.",
    key=("benchmark", "split", "system", "task", "class_name", "metric"),
    part_is="benchmark, split and system",
    columns=(
        _BENCHMARK,
        Column("split", _text, "of the benchmark"),
        Column("system", _text, "what tells the classes"),
        Column("task", _text, "sex | age_group | age_subgroup | text"),
        Column("class_name", _text, "the class, as the task calls it; `all` of means and shares"),
        Column(
            "metric",
            _text,
            "precision | recall | f1, of `all` macro or weighted before it; accuracy; contradiction; of text wer | cer",
        ),
        Column("value", _f64, "a rate; null where nothing tells it: a class that nobody is and nobody is called", True),
        Column("lower", _f64, "end of the 95 % interval, people drawn anew; null where too few", nullable=True),
        Column("upper", _f64, "end of the 95 % interval, people drawn anew; null where too few", nullable=True),
        Column("num_utterances", _i64, "whose class is known and is this one; of `all` those that the figure is of"),
        Column("num_people", _i64, "who speak them"),
        Column("conventions", _text, "how the figure is computed, for comparison with others"),
    ),
)

RUNS = Table(
    name="runs",
    row_is="One step that was carried out. No other table that a run writes holds times.",
    key=("run_id", "part"),
    columns=(
        Column("run_id", _text, "the first 12 digits of the fingerprint"),
        Column("step", _text, "the step"),
        Column("part", _text, "the corpus, extractor or benchmark it was done for, or `all`"),
        Column("started_at", _time, "null where the run died before it could note this", nullable=True),
        Column("finished_at", _time, "when its tables were current"),
        Column("num_rows", _i64, "rows in the tables that it published"),
        Column("summary", _text, "what it found, in words"),
        Column("settings", _text, "JSON: its part of the pipeline file"),
        Column("versions", _text, "JSON: of Voxcurate and the libraries that compute"),
        Column("fingerprint", _text, "sha256 of its settings, its code and its inputs' fingerprints"),
    ),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        CORPORA,
        UTTERANCES,
        ENROLMENTS,
        PUBLISHED_TRIALS,
        EMBEDDINGS,
        SOUND_PRINTS,
        UTTERANCE_SCORES,
        SPEAKER_SCORES,
        SPEAKER_PAIRS,
        CALIBRATIONS,
        DECISIONS,
        REVIEWS,
        IDENTITIES,
        AGE_LABELS,
        SPLITS,
        MODELS,
        TRIALS,
        REMOVALS,
        LEAKS,
        RESULTS,
        CLASS_RESULTS,
        RUNS,
    )
}


def as_markdown() -> str:
    """All tables in words; `docs/tables.md` is this text."""
    lines = ["# Tables of the catalog", "", "Made from `curate/schema.py`; a test holds the two together.", ""]
    lines += ["A catalog says its version in `schema.json`; `curate migrate` brings it to the last of these.", ""]
    lines += ["| version | what it has |", "| --- | --- |"]
    lines += [f"| {version} | {_cell(what)} |" for version, what in HISTORY.items()]
    lines += [""]
    for table in TABLES.values():
        parts = "" if table.part_is == "all" else f" One file a {table.part_is}."
        lines += [f"## {table.name}", "", f"{table.row_is} Key: {', '.join(table.key)}.{parts}", ""]
        lines += ["| column | type | may be null | meaning |", "| --- | --- | --- | --- |"]
        for column in table.columns:
            may_be_null = "yes" if column.nullable else ""
            lines += [f"| {column.name} | {column.type} | {may_be_null} | {_cell(column.meaning)} |"]
        lines += [""]
    lines += ["## Reasons", "", "| reason | meaning |", "| --- | --- |"]
    lines += [f"| {reason} | {meaning} |" for reason, meaning in MEANING.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
