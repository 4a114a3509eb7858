"""Classes of sex and age: their codes, worked by hand and against the table of labels that the catalog keeps."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.ages import SCHEMES, label_ages
from models.data.labels import classes_of, codes, group_of_subgroup
from tests.models.training.runs_made import spoken

AGES = [(10, 10), (29, 29), (30, 30), (60, 60), (25, 35), (20, 24), (121, 130), None]


def speech(ages, sex=()):
    return replace(spoken(len(ages), 1), ages=ages, sex=sex)


def test_groups_and_subgroups_of_the_first_paper():
    classes = classes_of("leq29")
    assert classes["age_group"] == ("young", "adult", "senior")
    assert classes["age_subgroup"] == ("0-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80+")
    assert group_of_subgroup("leq29") == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    found = codes(speech(AGES), classes, "leq29")
    assert found["age_group"].tolist() == [0, 0, 1, 2, -1, 0, -1, -1]
    assert found["age_subgroup"].tolist() == [1, 2, 3, 6, -1, 2, -1, -1]


def test_a_group_that_is_not_divided_is_its_own_subgroup():
    assert classes_of("decades")["age_subgroup"] == ("20-29", "30-39", "40-49", "50-59", "60-69")
    assert group_of_subgroup("decades") == (0, 0, 1, 1, 2)


def test_sexes_and_what_nobody_said():
    known = {"sex": ("female", "male")}
    assert codes(speech([None] * 3, ["male", None, "female"]), known, None)["sex"].tolist() == [1, -1, 0]
    assert codes(speech([None] * 2), known, None)["sex"].tolist() == [-1, -1]
    assert codes(speech(()), {}, None) == {}


@pytest.mark.parametrize(("classes", "scheme"), [({"mood": ("glad",)}, "leq29"), ({"age_group": ("young",)}, None)])
def test_other_kinds_are_told(classes, scheme):
    with pytest.raises(ValueError, match=r"expected sex, or age_group or age_subgroup with a scheme"):
        codes(speech([None]), classes, scheme)


@given(
    st.sampled_from(sorted(SCHEMES)),
    st.lists(st.none() | st.tuples(st.integers(0, 110), st.integers(0, 10)), min_size=1, max_size=8),
)
def test_codes_name_what_the_catalog_calls_a_label(scheme, drawn):
    ages = [None if one is None else (one[0], one[0] + one[1]) for one in drawn]
    rows = pa.table(
        {
            "utterance_id": [f"u{at}" for at in range(len(ages))],
            "age_min_years": pa.array([None if one is None else one[0] for one in ages], pa.int16()),
            "age_max_years": pa.array([None if one is None else one[1] for one in ages], pa.int16()),
        }
    )
    kept, classes = label_ages(rows, (scheme,)), classes_of(scheme)
    found = codes(speech(ages), classes, scheme)
    for kind, names in classes.items():
        assert [None if code < 0 else names[code] for code in found[kind]] == kept[kind].to_pylist()
    known = found["age_subgroup"] >= 0
    groups = np.array(group_of_subgroup(scheme))[found["age_subgroup"][known]]
    assert (groups == found["age_group"][known]).all()
