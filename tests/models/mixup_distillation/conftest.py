"""Teachers, made once."""

import pytest

from tests.models.mixup_distillation.systems_made import teachers_in


@pytest.fixture(scope="session")
def teachers(tmp_path_factory):
    """The folder of an encoder of each architecture."""
    return teachers_in(tmp_path_factory.mktemp("teachers"))
