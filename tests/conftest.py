"""What every test shares: where the real speech lies, and fixed threads."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums must not depend on who else is running

CORPORA = Path(os.environ.get("VOXCURATE_CORPORA", Path(__file__).parents[2] / "shared" / "corpora"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The real speech. Where it is missing, tests that need it fail: a pass would say nothing."""
    assert (CORPORA / "LibriSpeech").is_dir(), f"no real speech in {CORPORA}: set VOXCURATE_CORPORA"
    return CORPORA
