"""The kinds of files that are fuzzed, where their subjects are made, and how many of all files are of each."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.fuzz.subjects import Subject


@dataclass(frozen=True)
class Kind:
    """Of files: `made` is `module:function`, imported when it is asked for; `share` is in thousandths of all files."""

    name: str
    made: str
    share: int

    @property
    def module(self) -> str:
        """Of `tests.fuzz`."""
        return self.made.partition(":")[0]

    def subjects(self, folder: Path) -> list[Subject]:
        """Made below the folder."""
        function = self.made.partition(":")[2]
        make: Callable[[Path], list[Subject]] = getattr(import_module(f"tests.fuzz.{self.module}"), function)
        return make(folder)


FAULTY = Kind("faulty", "faulty:subjects", 1)  # for tests of the fuzzer
KINDS = {
    kind.name: kind
    for kind in (
        Kind("sound files", "heard:sound_files", 500),
        Kind("corpora", "heard:corpora", 34),
        Kind("exclusion lists", "heard:exclusions", 10),
        Kind("pipeline files", "asked:pipeline_files", 110),
        Kind("designs", "asked:design_files", 115),
        Kind("recipes", "asked:recipe_files", 110),
        Kind("trial lists", "asked:trial_lists", 20),
        Kind("score files", "asked:score_files", 25),
        Kind("verdict files", "asked:verdict_files", 20),
        Kind("catalogs", "asked:catalogs", 3),
        Kind("published folders", "asked:published_folders", 10),
        Kind("our checkpoints", "networks:our_checkpoints", 8),
        Kind("runs", "networks:runs", 17),
        Kind("SpeechBrain", "networks:speechbrain_folders", 5),
        Kind("ONNX", "networks:onnx_files", 8),
        Kind("transformers", "networks:transformers_folders", 3),
    )
}
