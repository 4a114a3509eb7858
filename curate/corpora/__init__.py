"""One file per corpus: licence, citation, layout, what it fills, and `rows(root, settings)`."""

from types import ModuleType

from curate.corpora import (
    aihub,
    common_voice,
    emodb,
    folder,
    fsdd,
    hub5,
    huggingface,
    kaldi,
    lhotse,
    librispeech,
    manifest,
    nemo,
    nist_sre08,
    nist_sre16,
    sitw,
    speechbrain,
    vivos,
    vlsp2020,
    voxceleb,
    wespeaker,
    zaloai,
)

READERS: dict[str, ModuleType] = {
    "librispeech": librispeech,
    "emodb": emodb,
    "fsdd": fsdd,
    "common_voice": common_voice,
    "vivos": vivos,
    "zaloai": zaloai,
    "folder": folder,
    "manifest": manifest,
    "kaldi": kaldi,
    "wespeaker": wespeaker,
    "speechbrain": speechbrain,
    "nemo": nemo,
    "lhotse": lhotse,
    "voxceleb": voxceleb,
    "sitw": sitw,
    "nist_sre08": nist_sre08,
    "nist_sre16": nist_sre16,
    "hub5": hub5,
    "aihub": aihub,
    "vlsp2020": vlsp2020,
    "huggingface": huggingface,
}

__all__ = ["READERS"]
