"""One file per corpus: licence, citation, layout, what it fills, and `rows(root, settings)`."""

from types import ModuleType

from curate.corpora import emodb, folder, fsdd, librispeech, manifest

READERS: dict[str, ModuleType] = {
    "librispeech": librispeech,
    "emodb": emodb,
    "fsdd": fsdd,
    "folder": folder,
    "manifest": manifest,
}

__all__ = ["READERS"]
