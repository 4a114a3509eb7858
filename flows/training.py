"""`curate train`: which recipe, on which split, and who is held out."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.scoring import trials_of
from benchmarks.trial_rules import NoPairError, Rules
from benchmarks.trials import draw_trials
from curate.catalog import Catalog, read_parquet
from curate.errors import CatalogError, TrainingError
from curate.explain import counted
from curate.export.chosen import benchmark_of
from curate.query import as_table
from curate.schema import SPLITS, TRIALS, UTTERANCES
from flows import seeds
from models.data.labels import classes_of, codes
from models.data.speech import Integers, Speech, of_manifest, of_split, of_utterances
from models.training.recipe import Recipe
from models.training.run import HeldOut, Trained, train
from models.training.run_folder import MEASURES
from models.training.systems import age_scheme_of, in_toml, recipe_of, recipes

log = logging.getLogger("voxcurate")  # the command line shows it

SHARE_HELD_OUT, LEAST_HELD_OUT, MOST_HELD_OUT = 0.05, 4, 200  # people
MOST_TRIALS = 20_000  # of each kind, among people held out
HELD_OUT = "held-out"  # what their list is called


def listed() -> str:
    """All recipes, a line each."""
    return as_table(["recipe", "what it is"], [(recipe.name, recipe.source) for recipe in recipes().values()])


def described(name: str, settings: Sequence[str]) -> str:
    """A recipe in full, key by key, as `--set` or a file of one's own may change it."""
    return in_toml(name, settings)


def train_on_split(
    name: str,
    settings: Sequence[str],
    catalog: Catalog,
    *,
    benchmark: str | None,
    split: str,
    also: str | None,
    trials: str | None,
    dev: str | None,
    hold_out: int | None,
    out: Path | None,
    initial: Path | None,
    cache: bool,
    device: str,
) -> str:
    """Train on a split of a benchmark; what came of it, in words. Raises as `models.training.run.train` does."""
    recipe = recipe_of(name, settings)
    with catalog.as_one():
        benchmark = benchmark_of(catalog, benchmark)
        speech, read, held_out = _who_is_heard(
            recipe, catalog, benchmark, split, also=also, trials=trials, dev=dev, hold_out=hold_out
        )
    folder = out or Path("runs") / recipe.name
    of = f"{benchmark}, split {split}" + ("" if also is None else f" and {also}")
    read = _without_people_of(held_out, read)
    found = train(
        recipe, speech, folder, of=of, also=read, held_out=held_out, initial=initial, cache=cache, device=device
    )
    return in_words(found, folder)


def _who_is_heard(
    recipe: Recipe,
    catalog: Catalog,
    benchmark: str,
    split: str,
    *,
    also: str | None,
    trials: str | None,
    dev: str | None,
    hold_out: int | None,
) -> tuple[Speech, Speech | None, HeldOut | None]:
    """What is trained on, what is only read, and who is held out."""
    speech = of_split(catalog, benchmark, split)
    read = None if also is None else _also(recipe, catalog, benchmark, also)
    held_out: HeldOut | None
    if dev is not None and dev in (split, also):
        raise TrainingError(f"--dev {dev}: is trained on; expected another split")
    if trials is not None:
        held_out = on_list(catalog, benchmark, trials)
        if both := shared(speech, held_out.speech):
            raise TrainingError(
                f"--trials {trials}: {both[0]}: {counted(len(both), 'person', 'people')} of the list are in the split "
                f"{split!r}; expected a list of others"
            )
        if dev is not None:
            if not recipe.reads:
                raise TrainingError(
                    f"--trials {trials} with --dev {dev}: both are for systems that write text; expected one of them"
                )
            held_out = replace(held_out, read=of_split(catalog, benchmark, dev))
    elif dev is not None:
        held_out = on_split(catalog, benchmark, dev, seed=recipe.seed)
        if both := shared(speech, held_out.speech):
            people = counted(len(both), "person is", "people are")
            log.info(f"train: {people} in {split} and in {dev}: validations say little of people who are not known")
    else:
        rows = described_in(catalog, benchmark, split)
        scheme = age_scheme_of(recipe)
        speech, held_out = without_held_out(
            speech, rows, hold_out, benchmark=benchmark, seed=recipe.seed, age_scheme=scheme
        )
    return speech, read, held_out


def train_on_manifest(
    name: str,
    settings: Sequence[str],
    manifest: Path,
    *,
    hold_out: int | None,
    out: Path | None,
    initial: Path | None,
    cache: bool,
    device: str,
) -> str:
    """The same on the utterances of a manifest."""
    recipe = recipe_of(name, settings)
    speech = of_manifest(manifest)
    rows = pa.table(
        {
            "utterance_id": speech.utterance_ids,
            "identity_id": [speech.people[code] for code in speech.person],
            "corpus": ["manifest"] * len(speech),
            "path": [str(file) for file in speech.files],
        }
    )
    scheme = age_scheme_of(recipe)
    speech, held_out = without_held_out(
        speech, rows, hold_out, benchmark=manifest.stem, seed=recipe.seed, age_scheme=scheme
    )
    folder = out or Path("runs") / recipe.name
    found = train(
        recipe, speech, folder, of=str(manifest), held_out=held_out, initial=initial, cache=cache, device=device
    )
    return in_words(found, folder)


def in_words(found: Trained, folder: Path) -> str:
    """What came of a run; empty for the processes that only helped."""
    if found.encoder is None:
        return ""
    at, lines = found.progress, []
    if at.first_error is not None and at.best_error is not None:
        before, after = (f"{100 * error:.2f} %" for error in (at.first_error, at.best_error))
        lines.append(f"{MEASURES[at.measure]} {before} before, {after} after epoch {at.best_epoch} (the best)")
    lines.append(f"The run is in {folder}; its network, for a pipeline file:")
    lines += ["  [embedding]", '  extractor = "checkpoint"', f'  source = "{found.encoder}"']
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------ who is held out


def without_held_out(
    speech: Speech, rows: pa.Table, num: int | None, *, benchmark: str, seed: int, age_scheme: str | None = None
) -> tuple[Speech, HeldOut | None]:
    """The speech of those who are trained on, and of `num` people who are not, with pairs of theirs as trials.

    By default one person of twenty, 4 to 200; none where `num` is 0. With an `age_scheme` as large a share of every
    group, one person at least where there are two. Trials are those of `trials_among`. Raises TrainingError where so
    many cannot be held out.
    """
    if num == 0:
        return speech, None
    several = np.flatnonzero(np.bincount(speech.person) > 1)
    if num is None:
        num = min(max(round(SHARE_HELD_OUT * len(speech.people)), LEAST_HELD_OUT), MOST_HELD_OUT)
    if num < 2 or num > len(several) - 2:
        raise TrainingError(
            f"--hold-out {num}: {len(several)} people have two utterances; expected 2 to {max(len(several) - 2, 0)}, "
            "0 to hold nobody out, or others by --trials or --dev"
        )
    rng = np.random.default_rng([seed, seeds.HELD_OUT])
    drawn = rng.choice(several, num, replace=False) if age_scheme is None else _of_each(speech, num, age_scheme, rng)
    is_out = np.isin(speech.person, drawn)
    out = speech.take(np.flatnonzero(is_out))
    trials = trials_among(rows, out, benchmark=benchmark, seed=seed)
    if trials is None and age_scheme is None:
        raise TrainingError(f"--hold-out {num}: no two utterances of one person to compare; expected more people")
    held = HeldOut(benchmark=benchmark, list_name=HELD_OUT, trials=trials, speech=out)
    return speech.take(np.flatnonzero(~is_out)), held


def _of_each(speech: Speech, num: int, age_scheme: str, rng: np.random.Generator) -> Integers:
    """About `num` people, as large a share of each age group as of all; a person is of the group of most utterances.

    Raises TrainingError where no group has two people, or no age is known.
    """
    names = classes_of(age_scheme)
    group = codes(speech, {"age_group": names["age_group"]}, age_scheme)["age_group"]
    if not (group >= 0).any():
        raise TrainingError(
            f"nobody of {counted(len(speech.people), 'person', 'people')} has a known age in a group of {age_scheme}; "
            "expected a corpus that tells ages (a manifest: in `age`)"
        )
    counts = np.zeros((len(speech.people), len(names["age_group"])), np.int64)
    np.add.at(counts, (speech.person[group >= 0], group[group >= 0]), 1)
    known = counts.any(axis=1)
    drawn = []
    for code in range(counts.shape[1]):
        of_group = np.flatnonzero(known & (counts.argmax(axis=1) == code))
        if len(of_group) > 1:
            share = max(1, round(num * len(of_group) / known.sum()))
            drawn.append(rng.choice(of_group, min(share, len(of_group) - 1), replace=False))
    if not drawn:
        raise TrainingError(
            f"--hold-out {num}: no age group ({age_scheme}) has two people; expected more people whose age is known, "
            "0 to hold nobody out, or a split by --dev"
        )
    return np.concatenate(drawn)


def trials_among(rows: pa.Table, out: Speech, *, benchmark: str, seed: int) -> pa.Table | None:
    """All pairs of these utterances, or 20,000 of each kind; None where no two are of one person.

    Those of one person are of two sessions where these are known, else of two recordings, else any two.
    """
    among = rows.filter(pc.is_in(rows["utterance_id"], value_set=out.utterance_ids))
    rng = np.random.default_rng([seed, seeds.HELD_OUT, 1])
    has_sessions = "session_id" in among.column_names
    asked = Rules(max_trials=MOST_TRIALS, not_same=("session_id",) if has_sessions else ())
    any_two = Rules(max_trials=MOST_TRIALS)
    for targets in (asked, any_two, Rules(max_trials=MOST_TRIALS, same_recording=True)):
        try:
            return draw_trials(
                among, benchmark=benchmark, name=HELD_OUT, targets=targets, nontargets=any_two, rng=rng
            ).trials
        except NoPairError:
            continue
    return None


def _also(recipe: Recipe, catalog: Catalog, benchmark: str, split: str) -> Speech:
    """The split that is learnt whole. Raises TrainingError for a recipe that learns nothing so."""
    if recipe.whole is None:
        raise TrainingError(f"--also {split}: {recipe.name} learns crops alone; expected a recipe of whole utterances")
    return of_split(catalog, benchmark, split)


def _without_people_of(held_out: HeldOut | None, also: Speech | None) -> Speech | None:
    """What is learnt beside, but for people who are held out."""
    if also is None or held_out is None or not (both := shared(also, held_out.speech)):
        return also
    rows = np.flatnonzero(~np.isin(also.person, [also.people.index(who) for who in both]))
    left = counted(len(also) - len(rows), "utterance")
    log.info(f"train: {left} of {counted(len(both), 'person', 'people')} who are held out are not learnt")
    return also.take(rows)


def described_in(catalog: Catalog, benchmark: str, split: str) -> pa.Table:
    """The utterances of a split, with their people."""
    splits = catalog.read(SPLITS, benchmark)
    return splits.filter(pc.equal(splits["split"], split)).join(catalog.read(UTTERANCES), "utterance_id")


def on_split(catalog: Catalog, benchmark: str, split: str, *, seed: int) -> HeldOut:
    """Another split of the benchmark, with pairs of its utterances as trials. Raises TrainingError."""
    speech = of_split(catalog, benchmark, split)
    trials = trials_among(described_in(catalog, benchmark, split), speech, benchmark=benchmark, seed=seed)
    return HeldOut(benchmark=benchmark, list_name=f"{HELD_OUT}-{split}", trials=trials, speech=speech)


def shared(speech: Speech, other: Speech) -> list[str]:
    """Who speaks in both."""
    return sorted({*speech.people} & {*other.people})


def on_list(catalog: Catalog, benchmark: str, name: str) -> HeldOut:
    """A list of the benchmark. Raises CatalogError where it has none of this name, or one of models."""
    path = catalog.path(TRIALS, benchmark)
    has_part = benchmark in catalog.parts(TRIALS)
    there = sorted(read_parquet(path, ["list"])["list"].unique().to_pylist()) if has_part else []
    if not there:
        raise CatalogError(f"{benchmark}: has no lists of trials; expected --hold-out instead of --trials")
    if name not in there:
        raise CatalogError(f"{benchmark}: no list {name!r}; expected {', '.join(there)}")
    read = pa.Table.from_batches(trials_of(path, name)).unify_dictionaries()
    sides = {side: _of_this_list(read[side].combine_chunks()) for side in ("enrol_id", "test_id")}
    trials = pa.table(sides | {"is_target": read["is_target"]})
    num_target = pc.sum(trials["is_target"]).as_py()
    if num_target in (0, len(trials)):
        raise CatalogError(f"{benchmark}/{name}: {num_target} targets of {len(trials)} trials; expected both kinds")
    asked = pa.concat_arrays([side.dictionary for side in sides.values()]).unique()
    splits = catalog.read(SPLITS, benchmark)
    chosen = splits.filter(pc.is_in(splits["utterance_id"], value_set=asked)).select(["utterance_id", "identity_id"])
    if len(chosen) < len(asked):
        raise CatalogError(
            f"{benchmark}/{name}: {len(asked) - len(chosen)} of its sides are no utterances of the splits; expected a "
            "list of utterances, not of models"
        )
    return HeldOut(benchmark=benchmark, list_name=name, trials=trials, speech=of_utterances(catalog, chosen))


def _of_this_list(side: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same ids, without those of the other lists of the file, which its dictionaries name."""
    names = side.unique().dictionary_decode()
    place = pc.index_in(side.dictionary, value_set=names)
    return pa.DictionaryArray.from_arrays(place.take(side.indices), names)
