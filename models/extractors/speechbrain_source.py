"""Where the files of a published model lie: in a local folder, or in the cache of Hugging Face, fetched if need be."""

import re
from pathlib import Path

from curate.errors import ExtractorError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def file_of(source: str, name: str) -> Path:
    """The file of this name in the folder, or in the model of this name at the hub.

    What the cache of Hugging Face (`HF_HOME`) holds is taken as it is, without asking the hub for anything newer.
    Raises ExtractorError where the file cannot be had.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / name).is_file():
            raise ExtractorError(f"{source}: no {name} in it; expected a folder as {_bring('NAME')} leaves it")
        return folder / name
    if not HUB_NAME.fullmatch(source):
        raise ExtractorError(
            f"{source}: no such folder; expected one with hyperparams.yaml, or a name at the Hugging Face hub"
            ' such as "speechbrain/spkrec-ecapa-voxceleb"'
        )
    return _at_hub(source, name)


def _at_hub(source: str, name: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError

    cached = try_to_load_from_cache(source, name)
    if isinstance(cached, str):
        return Path(cached)
    try:
        get_hf_file_metadata(hf_hub_url(source, name))  # asks once, where a download would try for minutes
        return Path(hf_hub_download(source, name))
    except RemoteEntryNotFoundError as error:
        raise ExtractorError(f"{source}: has no {name} at the hub; expected an encoder of SpeechBrain") from error
    except RepositoryNotFoundError as error:
        raise ExtractorError(f"{source}: the hub has no such model, or not for everybody; expected its name") from error
    except Exception as error:  # no network is told by whatever library the hub's client asks with
        raise ExtractorError(
            f"{source}: not in the cache of Hugging Face and the hub cannot be reached; expected a local folder:"
            f' where there is network, {_bring(source)}, then source = "FOLDER"'
        ) from error


def _bring(source: str) -> str:
    return f"`hf download {source} --local-dir FOLDER`"
