"""`curate train`: which recipe, on which split, and who is held out."""

from collections.abc import Sequence
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
from models.data.speech import Speech, of_manifest, of_split, of_utterances
from models.training.run import HeldOut, Trained, train
from models.training.systems import in_toml, recipe_of, recipes

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
    trials: str | None,
    hold_out: int | None,
    out: Path | None,
    initial: Path | None,
    cache: bool,
    device: str,
) -> str:
    """Train on a split of a benchmark; what came of it, in words. Raises as `models.training.run.train` does."""
    recipe = recipe_of(name, settings)
    benchmark = benchmark_of(catalog, benchmark)
    speech = of_split(catalog, benchmark, split)
    if trials is None:
        splits = catalog.read(SPLITS, benchmark)
        rows = splits.filter(pc.equal(splits["split"], split)).join(catalog.read(UTTERANCES), "utterance_id")
        speech, held_out = without_held_out(speech, rows, hold_out, benchmark=benchmark, seed=recipe.seed)
    else:
        held_out = on_list(catalog, benchmark, trials)
        both = sorted({*speech.people} & {*held_out.speech.people})
        if both:
            people = counted(len(both), "person", "people")
            raise TrainingError(
                f"--trials {trials}: {both[0]}: {people} of the list are in the split {split!r}; expected a list of "
                "others"
            )
    folder = out or Path("runs") / recipe.name
    of = f"{benchmark}, split {split}"
    found = train(recipe, speech, folder, of=of, held_out=held_out, initial=initial, cache=cache, device=device)
    return in_words(found, folder)


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
    speech, held_out = without_held_out(speech, rows, hold_out, benchmark=manifest.stem, seed=recipe.seed)
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
    if at.first_eer is not None and at.best_eer is not None:
        lines.append(
            f"EER {100 * at.first_eer:.2f} % before, {100 * at.best_eer:.2f} % after epoch {at.best_epoch} (the best)"
        )
    lines.append(f"The run is in {folder}; its network, for a pipeline file:")
    lines += ["  [embedding]", '  extractor = "checkpoint"', f'  source = "{found.encoder}"']
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------ who is held out


def without_held_out(
    speech: Speech, rows: pa.Table, num: int | None, *, benchmark: str, seed: int
) -> tuple[Speech, HeldOut | None]:
    """The speech of those who are trained on, and of `num` people who are not, with pairs of theirs as trials.

    By default one person of twenty, 4 to 200; none where `num` is 0. Trials are all pairs, or 20,000 of each kind;
    those of one person are of two sessions where these are known, else of two recordings, else any two. Raises
    TrainingError where so many cannot be held out.
    """
    if num == 0:
        return speech, None
    several = np.flatnonzero(np.bincount(speech.person) > 1)
    if num is None:
        num = min(max(round(SHARE_HELD_OUT * len(speech.people)), LEAST_HELD_OUT), MOST_HELD_OUT)
    if num < 2 or num > len(several) - 2:
        raise TrainingError(
            f"--hold-out {num}: {len(several)} people have two utterances; expected 2 to {max(len(several) - 2, 0)}, "
            "0 to hold nobody out, or a list by --trials"
        )
    drawn = np.random.default_rng([seed, seeds.HELD_OUT]).choice(several, num, replace=False)
    is_out = np.isin(speech.person, drawn)
    out = speech.take(np.flatnonzero(is_out))
    among = rows.filter(pc.is_in(rows["utterance_id"], value_set=out.utterance_ids))
    rng = np.random.default_rng([seed, seeds.HELD_OUT, 1])
    has_sessions = "session_id" in among.column_names
    asked = Rules(max_trials=MOST_TRIALS, not_same=("session_id",) if has_sessions else ())
    any_two = Rules(max_trials=MOST_TRIALS)
    for targets in (asked, any_two, Rules(max_trials=MOST_TRIALS, same_recording=True)):
        try:
            drawn_trials = draw_trials(
                among, benchmark=benchmark, name=HELD_OUT, targets=targets, nontargets=any_two, rng=rng
            )
        except NoPairError:
            continue
        held = HeldOut(benchmark=benchmark, list_name=HELD_OUT, trials=drawn_trials.trials, speech=out)
        return speech.take(np.flatnonzero(~is_out)), held
    raise TrainingError(f"--hold-out {num}: no two utterances of one person to compare; expected more people")


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
