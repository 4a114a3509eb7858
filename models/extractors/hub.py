"""Where the files of a published model lie: in a local folder, or in the cache of Hugging Face, fetched if need be."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import filter as matching
from pathlib import Path

from curate.errors import ExtractorError

TIMEOUT_S = 10.0  # for the hub to say what it has


def folder_of(source: str, names: Sequence[str], either: Sequence[str] = (), *, example: str) -> Path:
    """The folder with these files, and with files of one of the patterns in `either`, of which the first is preferred.

    `source` is that folder, or the model's name at the hub. What the cache of Hugging Face (`HF_HOME`) holds is taken
    as it is, without asking the hub for anything newer; else the hub is asked once, for these files alone. Raises
    ExtractorError where they cannot be had; `example` is a name at the hub that would do.
    """
    if (folder := Path(source)).is_dir():
        if lacks := _lacks(_files(folder), names, either):
            raise ExtractorError(
                f'{source}: no {lacks} in it; expected a folder with {_all(names, either)}, like that of "{example}"'
            )
        return folder
    if not _is_hub_name(source):
        raise ExtractorError(
            f"{source}: no such folder; expected one with {names[0]}, or a name at the Hugging Face hub"
            f' such as "{example}"'
        )
    cached = _cached(source, names)
    if cached and not _lacks(_files(cached), names, either):
        return cached
    there = _at_hub(source, cached)
    if missing := _lacks(there, names, either):
        raise ExtractorError(f'{source}: has no {missing} at the hub; expected a model such as "{example}"')
    wanted = next(([pattern] for pattern in either if matching(there, pattern)), [])
    return _fetched(source, [*names, *wanted], cached)


def _files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file()]


def _lacks(there: Sequence[str], names: Sequence[str], either: Sequence[str]) -> str | None:
    """Of what is wanted, that which is not there, if anything."""
    for name in names:
        if name not in there:
            return name
    found = not either or any(matching(there, pattern) for pattern in either)
    return None if found else _plain(either[0])


def _all(names: Sequence[str], either: Sequence[str]) -> str:
    """What is wanted, in words."""
    *others, last = [*names, *([" or ".join(map(_plain, either))] if either else [])]
    return f"{', '.join(others)} and {last}" if others else last


def _plain(pattern: str) -> str:
    """The name of the file that most models have of those that fit the pattern."""
    return pattern.replace("*", "")


def _is_hub_name(source: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # its manual names it, __all__ not

    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return "/" in source  # without, it is a folder that is not there


def _cached(name: str, names: Sequence[str]) -> Path | None:
    """The snapshot that the cache holds of the model, if any of it; maybe not all of these files."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, wanted) for wanted in names)
    return next((Path(file).parent for file in found if isinstance(file, str)), None)


def _at_hub(name: str, cached: Path | None) -> list[str]:
    """The files of the model, asked for once: where there is no network, a download would try for half a minute."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        with _quiet():
            told = HfApi().model_info(name, revision=_commit(cached), timeout=TIMEOUT_S)
    except RepositoryNotFoundError as error:
        raise ExtractorError(f"{name}: the hub has no such model, or not for everybody; expected its name") from error
    except Exception as error:  # no network is told by whatever library the hub's client asks with
        raise _out_of_reach(name, error) from error
    return [file.rfilename for file in told.siblings or []]


def _fetched(name: str, wanted: Sequence[str], cached: Path | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with _quiet():
            return Path(snapshot_download(name, revision=_commit(cached), allow_patterns=list(wanted)))
    except Exception as error:  # as above
        raise _out_of_reach(name, error) from error


def _commit(cached: Path | None) -> str | None:
    """Of a model that the cache holds in part, the rest is taken as it was then."""
    return cached.name if cached else None


def _out_of_reach(name: str, error: Exception) -> ExtractorError:
    why = type(error).__name__
    return ExtractorError(
        f"{name}: not whole in the cache of Hugging Face, nor to be had from the hub ({why}); expected a folder as "
        f"`hf download {name} --local-dir FOLDER` leaves it, and FOLDER in the place of the name"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the hub's client: what matters of them is told in one line. Its bars stay."""
    from huggingface_hub.utils import logging as of_hub

    verbosity = of_hub.get_verbosity()
    of_hub.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        of_hub.set_verbosity(verbosity)
