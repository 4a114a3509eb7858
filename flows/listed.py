"""A list of trials to be evaluated, a file or one of a catalog, and what is known of those who are in it.

With a catalog, ids stand for the names of lists, and it is known who speaks and what else is told of an utterance.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks import comparison, evaluation
from benchmarks.list_files import list_names
from benchmarks.score_files import read_list, scores_of
from benchmarks.scoring import trials_of
from curate import whole
from curate.catalog import Catalog, read_parquet
from curate.errors import CatalogError, ListError
from curate.labels import Columns, columns_of
from curate.schema import AGE_LABELS, IDENTITIES, MODELS, SPLITS, TRIALS, UTTERANCES

EDGES_S = (2.0, 4.0, 8.0)  # of durations
MAX_GROUPS = 100  # more are no breakdown
SAME_OR_NOT = {"session_id": "one session", "speaker_id": "one label", "path": "one file", "work_id": "one work"}
OF_AGES = ("age_group", "age_subgroup")
Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A list of trials (enrol_id, test_id, is_target), and what is known of it."""

    trials: pa.Table
    benchmark: str
    name: str
    place: str  # for messages
    catalog: Catalog | None = None
    people: Mapping[str, str] | None = None  # told beside a list that is no catalog's

    @cached_property
    def is_target(self) -> NDArray[np.bool_]:
        """(T,)."""
        return np.asarray(self.trials["is_target"])

    @cached_property
    def utterances(self) -> Columns:
        """Those of the catalog, under their settled labels. Raises CatalogError where there is no catalog."""
        if self.catalog is None:
            raise CatalogError(f"{self.place}: what is told of its utterances is not known; expected `--catalog`")
        return columns_of(self.catalog, with_dropped=True)

    @cached_property
    def ids(self) -> pa.Array:
        """The utterances that are in the trials or in a model of them."""
        sides = evaluation.names_in(self.trials)
        return pa.array([*sides, *(one for name in sides for one in self.models.get(name, ()))], pa.string()).unique()

    def of_trials(self, columns: list[str]) -> pa.Table:
        """Columns of those utterances alone: of the catalog's millions few are in trials."""
        return _of(self.utterances(columns), self.ids)

    @cached_property
    def models(self) -> dict[str, list[str]]:
        """The utterances of each enrolment model."""
        found: dict[str, list[str]] = {}
        if self.catalog is not None and self.benchmark in self.catalog.parts(MODELS):
            rows = self.catalog.read(MODELS, self.benchmark)
            for model, utterance in zip(
                *(rows[name].to_pylist() for name in ("model_id", "utterance_id")), strict=True
            ):
                found.setdefault(model, []).append(utterance)
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """What files of lists and scores call the ids of the trials."""
        return {} if self.catalog is None else names_of(self.utterances, self.ids)

    @cached_property
    def person(self) -> Mapping[str, str] | None:
        """Who is in each utterance and model of the trials. Raises ListError for one of nobody."""
        known = self.people if self.catalog is None else self._identities(self.catalog)
        if known is None:
            return None
        known = dict(known) | {model: known[own[0]] for model, own in self.models.items() if own[0] in known}
        strangers = [one for one in evaluation.names_in(self.trials) if one not in known]
        if strangers:
            raise ListError(f"{self.place}: {strangers[0][:80]}: {len(strangers)} of its names are of nobody known")
        return known

    def _identities(self, catalog: Catalog) -> dict[str, str]:
        labels = self.of_trials(["utterance_id", "speaker_id"])
        rows = catalog.read(IDENTITIES)
        identity = dict(zip(rows["speaker_id"].to_pylist(), rows["identity_id"].to_pylist(), strict=True))
        pairs = zip(*(labels[name].to_pylist() for name in labels.column_names), strict=True)
        person = {utterance: identity.get(speaker, speaker) for utterance, speaker in pairs}
        if self.benchmark in catalog.parts(SPLITS):
            rows = _of(catalog.read(SPLITS, self.benchmark, columns=["utterance_id", "identity_id"]), self.ids)
            person |= dict(zip(rows["utterance_id"].to_pylist(), rows["identity_id"].to_pylist(), strict=True))
        return person

    def scores(self, path: Path, form: str | None) -> Scores:
        """(T,) of a file of scores."""
        return scores_of(self.trials, path, form=form, names=self.names)

    def groups(self, column: str) -> NDArray[Any]:
        """The group of each trial, by a column of its utterances.

        Durations are binned by the shorter side; of sessions, labels, files and works it is told whether both sides are
        of one. Of other columns both sides are told, `female/male` where they differ.
        """
        told = self._told(column)
        enrol, test = (self._side(name, told) for name in ("enrol_id", "test_id"))
        if column == "duration_s":
            shorter = np.minimum(*(np.array(side, dtype=np.float64) for side in (enrol, test)))
            return comparison.binned(shorter, EDGES_S, unit="s")
        if column in SAME_OR_NOT:
            known = np.array([value is not None for side in (enrol, test) for value in side]).reshape(2, -1).all(axis=0)
            same = np.where(enrol == test, SAME_OR_NOT[column], f"not {SAME_OR_NOT[column]}")
            found: NDArray[Any] = np.where(known, same, comparison.UNKNOWN)
            return found
        groups = comparison.of_both_sides(enrol, test)
        if (num := len(np.unique(groups))) > MAX_GROUPS:
            raise ListError(f"--by {column}: {num} groups; expected a column with at most {MAX_GROUPS}")
        return groups

    def _side(self, name: str, told: Mapping[str, Any]) -> NDArray[Any]:
        ids = evaluation.names_in(self.trials)
        values = np.empty(len(ids), dtype=object)
        values[:] = [self._of_model(told, one) if one in self.models else told.get(one) for one in ids]
        found: NDArray[Any] = values[evaluation.coded(self.trials[name], {one: at for at, one in enumerate(ids)})]
        return found

    def _of_model(self, told: Mapping[str, Any], model: str) -> Any:
        """Of durations the sum; else what its utterances agree on."""
        values = [told.get(one) for one in self.models[model]]
        if all(isinstance(value, float) for value in values):
            return sum(values)
        return values[0] if len(set(values)) == 1 else None

    def _told(self, column: str) -> dict[str, Any]:
        if self.catalog is None or (column in UTTERANCES.arrow().names and column not in OF_AGES):
            rows, name = self.of_trials([*dict.fromkeys(["utterance_id", column])]), column
        else:
            rows, name = self._age_labels(self.catalog, column)
        return dict(zip(rows["utterance_id"].to_pylist(), rows[name].to_pylist(), strict=True))

    def _age_labels(self, catalog: Catalog, column: str) -> tuple[pa.Table, str]:
        """Of the only scheme, or of the one that the column is called after."""
        rows = catalog.read(AGE_LABELS)
        schemes = sorted(rows["scheme"].unique().to_pylist())
        scheme = column if column in schemes else schemes[0] if column in OF_AGES and len(schemes) == 1 else None
        if scheme is None:
            raise ListError(
                f"--by {column}: expected a column of utterances, or an age scheme of the catalog "
                f"({', '.join(schemes) or 'there is none'})"
            )
        rows = rows.filter(pc.equal(rows["scheme"], scheme))
        return _of(rows, self.ids), column if column in OF_AGES else OF_AGES[0]


def listed(
    where: str,
    catalog: Catalog | None,
    *,
    benchmark: str | None = None,
    name: str | None = None,
    people: Path | None = None,
) -> Listed:
    """The list in a file, or `BENCHMARK/LIST` of the catalog; of a benchmark with one list its name is enough."""
    if Path(where).is_file():
        path = Path(where)
        trials = read_list(path)
        found = Listed(
            trials=trials,
            benchmark=benchmark or path.stem,
            name=name or path.stem,
            place=where,
            catalog=catalog,
            people=None if people is None else people_in(people),
        )
        return found if catalog is None else _with_ids(found)
    if catalog is None:
        raise ListError(f"{where}: no such file; expected a list of trials, or `--catalog` and BENCHMARK/LIST")
    benchmark, _, asked = where.partition("/")
    if benchmark not in catalog.parts(TRIALS):
        known = ", ".join(catalog.parts(TRIALS)) or "none"
        raise CatalogError(f"{where}: no such file, and no such benchmark in {catalog.root}; there are: {known}")
    path = catalog.path(TRIALS, benchmark)
    lists = sorted(read_parquet(path, ["list"])["list"].unique().to_pylist())
    name = asked or (lists[0] if len(lists) == 1 else "")
    if not lists:
        raise CatalogError(f"{where}: has no lists of trials; expected a benchmark that has some")
    if name not in lists:
        raise CatalogError(f"{where}: no such list; expected {benchmark}/ and one of {', '.join(lists)}")
    trials = pa.Table.from_batches(trials_of(path, name)).unify_dictionaries()
    return Listed(trials=trials, benchmark=benchmark, name=name, place=where, catalog=catalog)


def _with_ids(found: Listed) -> Listed:
    """The list under ids of the catalog, where its names are those of `list_names`."""
    given = evaluation.names_in(found.trials)
    ids = pa.array([*given, *(name.rpartition(".")[0] for name in given)], pa.string())  # a name is an id and a suffix
    id_of = {name: one for one, name in names_of(found.utterances, ids).items()}
    columns = {"is_target": found.trials["is_target"]}
    for side in ("enrol_id", "test_id"):
        coded = found.trials[side].unify_dictionaries().combine_chunks()
        ids = [id_of.get(name, name) for name in coded.dictionary.to_pylist()]
        columns[side] = pa.DictionaryArray.from_arrays(coded.indices, pa.array(ids, pa.string()))
    return Listed(
        trials=pa.table(columns),
        benchmark=found.benchmark,
        name=found.name,
        place=found.place,
        catalog=found.catalog,
    )


def names_of(utterances: Columns, ids: pa.Array) -> dict[str, str]:
    """What files of lists and scores call these utterances."""
    rows = utterances(["utterance_id", "corpus", "path"])
    names = list_names(_of(rows, ids))  # but for a name that is the id of another one: that is known if both are there
    return list_names(_of(rows, pa.concat_arrays([ids, pa.array(names.values(), pa.string())])))


def _of(rows: pa.Table, ids: pa.Array) -> pa.Table:
    return rows.filter(pc.is_in(rows["utterance_id"], value_set=ids))


def people_in(path: Path) -> dict[str, str]:
    """Lines of `utterance person`, as Kaldi's `utt2spk`. Raises ListError naming file and line."""
    people: dict[str, str] = {}
    content = whole.read_bytes(path)
    if content is None:
        raise ListError(f"{path}: no such file; expected lines of `utterance person`")
    for number, line in enumerate(content.decode("utf-8-sig", errors="replace").split("\n"), 1):
        words = unicodedata.normalize("NFC", line).split()  # as lists are read
        if len(words) not in (0, 2) or (words and people.setdefault(*words) != words[1]):
            raise ListError(f"{path}:{number}: {line[:80]!r}; expected `utterance person`, and each utterance once")
    return people
