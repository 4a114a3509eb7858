"""A subject whose reader has every fault: what fuzzing is to find. No kind of files has it; tests of the fuzzer do."""

import os
import time
from pathlib import Path

from curate.errors import CorpusError
from tests.fuzz.subjects import Subject, anew, of_texts


def subjects(folder: Path) -> list[Subject]:
    """One, of a file whose first byte says what befalls its reader."""
    return [of_texts("faulty", anew(folder / "faulty"), {"a.txt": "whole\n"}, read)]


def read(path: Path) -> None:
    """By the last four bits of the first byte, of which the whole file has 7, so that one bit leads to a fault."""
    match sum(path.read_bytes()[:1]) % 16:
        case 6:
            raise ValueError("a traceback")
        case 5:
            os.abort()
        case 3:
            time.sleep(3_600)
        case 15:
            bytearray(9 << 26)[:: 1 << 12] = bytes(9 << 14)
        case 4:
            raise CorpusError("too long " * 1_000)
        case 2:
            raise CorpusError(f"{path}: a 2; expected another byte")
