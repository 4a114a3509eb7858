"""Put a published folder on the Hugging Face Hub: in one commit, so that nobody sees half of it.

The Hub's address and token are those of `huggingface_hub`: `HF_ENDPOINT`, and `HF_TOKEN` or what `hf auth login` keeps.
"""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from curate.errors import ExportError
from curate.export.manifest import MANIFEST, OF_OTHERS, present
from curate.verify import faults_of

REFUSED = (401, 403)


def address_of(repo: str) -> str:
    """Where a data set of this name is."""
    return f"{HfApi().endpoint}/datasets/{repo}"


def push(folder: Path, repo: str, *, is_public: bool = False) -> str:
    """Make the repository hold this folder and nothing else; where it lies now. A new one is private, unless asked.

    Raises ExportError where the folder is not as it was published, where the Hub refuses the token, and where it does
    not answer or take it.
    """
    if faults := faults_of(folder):
        raise ExportError(f"{folder}: {faults[0]}; expected it as `curate publish` wrote it")
    api, again = HfApi(), f"{folder} is written, and can be pushed by `hf upload {repo} {folder} --repo-type dataset`"
    try:
        api.create_repo(repo, repo_type="dataset", private=not is_public, exist_ok=True)
        here = present(folder) | {MANIFEST: folder / MANIFEST}
        there = [name for name in api.list_repo_files(repo, repo_type="dataset") if name.split("/")[0] not in OF_OTHERS]
        api.create_commit(
            repo,
            [
                *(CommitOperationDelete(path_in_repo=name) for name in sorted(set(there) - here.keys())),
                *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=here[name]) for name in sorted(here)),
            ],
            commit_message="Publish by Voxcurate",
            repo_type="dataset",
        )
    except HFValidationError as error:
        raise ExportError(f"{_in_a_line(error)}; expected `--push-to OWNER/NAME`; {again}") from error
    except HfHubHTTPError as error:
        if error.response.status_code in REFUSED:
            said = f"{api.endpoint} refuses the token; expected one in HF_TOKEN that may write {repo}"
            raise ExportError(f"{said}; {again}") from error
        raise ExportError(f"{api.endpoint}: {_in_a_line(error)}; {again}") from error
    except Exception as error:  # no network is told by whatever library the Hub's client asks with
        raise ExportError(f"{api.endpoint}: {_in_a_line(error)}; {again}") from error
    return address_of(repo)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
