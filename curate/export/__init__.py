"""One file per form that a benchmark goes out in: the tools that read it, its layout, what it can hold, `write`."""

from importlib import import_module
from types import ModuleType

from curate.errors import ExportError

FORMS = ("kaldi", "lhotse", "speechbrain", "wespeaker", "voxceleb", "nemo", "huggingface")


def form(name: str) -> ModuleType:
    """The module of a form. Raises ExportError naming the forms that there are."""
    if name not in FORMS:
        raise ExportError(f"form {name!r}; expected one of {', '.join(FORMS)}")
    return import_module(f"curate.export.{name}")


__all__ = ["FORMS", "form"]
