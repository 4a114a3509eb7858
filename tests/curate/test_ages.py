"""What `curate.ages` promises: one group and subgroup where the whole stated range fits, else why there is none."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.ages import OLDEST, SCHEMES, Group, Label, groups_of, label, label_ages
from curate.conforming import conform
from curate.corpora.described import age_of
from curate.schema import AGE_LABELS

ages = st.integers(0, OLDEST)
schemes = st.sampled_from(sorted(SCHEMES))


def table(*spans):
    columns = {
        "utterance_id": pa.array([f"toy/{i}" for i in range(len(spans))], pa.string()),
        "age_min_years": pa.array([youngest for youngest, _ in spans], pa.int16()),
        "age_max_years": pa.array([oldest for _, oldest in spans], pa.int16()),
    }
    return pa.table(columns)


def years_of(subgroup):
    """`30-39` as (30, 39), `80+` as (80, OLDEST), `17` as (17, 17)."""
    first, _, last = subgroup.rstrip("+").partition("-")
    return int(first), OLDEST if subgroup.endswith("+") else int(last or first)


@pytest.mark.parametrize(
    ("scheme", "age", "group", "subgroup"),
    [
        ("leq29", 0, "young", "0-9"),
        ("leq29", 10, "young", "10-19"),
        ("leq29", 29, "young", "20-29"),
        ("leq29", 30, "adult", "30-39"),
        ("leq29", 59, "adult", "50-59"),
        ("leq29", 60, "senior", "60-69"),
        ("leq29", 79, "senior", "70-79"),
        ("leq29", 80, "senior", "80+"),
        ("leq29", 120, "senior", "80+"),
        ("leq17", 12, "young", "0-12"),
        ("leq17", 13, "young", "13-16"),
        ("leq17", 16, "young", "13-16"),
        ("leq17", 17, "young", "17"),
        ("leq17", 18, "adult", "18-29"),
        ("leq17", 29, "adult", "18-29"),
        ("leq17", 30, "adult", "30-39"),
        ("leq17", 59, "adult", "50-59"),
        ("leq17", 60, "senior", "60-69"),
        ("decades", 20, "20-39", "20-29"),
        ("decades", 39, "20-39", "30-39"),
        ("decades", 40, "40-59", "40-49"),
        ("decades", 59, "40-59", "50-59"),
        ("decades", 60, "60-69", "60-69"),
        ("decades", 69, "60-69", "60-69"),
    ],
)
def test_a_known_age_has_the_group_and_subgroup_of_the_paper(scheme, age, group, subgroup):
    assert label(scheme, age, age) == Label(group=group, subgroup=subgroup)


def test_teens_are_young_up_to_29_and_straddle_17_and_18():
    assert label("leq29", *age_of("teens")) == Label(group="young", subgroup="10-19")
    assert label("leq17", *age_of("teens")) == Label(unlabelled_because="straddles_groups")


@pytest.mark.parametrize(
    ("decade", "group"),
    [
        ("twenties", "young"),
        ("thirties", "adult"),
        ("fourties", "adult"),
        ("fifties", "adult"),
        ("sixties", "senior"),
        ("seventies", "senior"),
        ("eighties", "senior"),
        ("nineties", "senior"),
    ],
)
def test_every_decade_of_common_voice_has_a_group_and_a_subgroup_in_leq29(decade, group):
    told = label("leq29", *age_of(decade))
    assert (told.group, told.unlabelled_because) == (group, None)
    assert told.subgroup is not None
    expected = "adult" if decade == "twenties" else group
    assert label("leq17", *age_of(decade)).group == expected


@pytest.mark.parametrize("decade", ["teens", "seventies", "eighties"])
def test_who_is_younger_or_older_than_the_superclasses_has_none(decade):
    assert label("decades", *age_of(decade)) == Label(unlabelled_because="no_group")
    assert label("decades", 65, 75) == Label(unlabelled_because="straddles_groups")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("youngest", "oldest"), [(-1, -1), (-1, 5), (121, 121), (60, 121), (40, 30), (200, 999)])
def test_impossible_ages_are_not_labelled(scheme, youngest, oldest):
    assert label(scheme, youngest, oldest) == Label(unlabelled_because="impossible_age")


@pytest.mark.parametrize(("youngest", "oldest"), [(None, None), (None, 30), (30, None)])
def test_no_age_is_no_label(youngest, oldest):
    assert label("leq29", youngest, oldest) == Label(unlabelled_because="no_age")


def test_a_range_that_straddles_subgroups_keeps_its_group():
    assert label("leq29", 35, 45) == Label(group="adult")
    assert label("leq29", 25, 35) == Label(unlabelled_because="straddles_groups")
    assert label("leq29", 59, 60) == Label(unlabelled_because="straddles_groups")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_groups_and_their_subgroups_partition_the_years(scheme):
    for age in range(OLDEST + 1):
        holding = [group for group in SCHEMES[scheme] if group.youngest <= age <= group.oldest]
        told = label(scheme, age, age)
        assert [group.name for group in holding] == [name for name in [told.group] if name]
        assert told.unlabelled_because == (None if holding else "no_group")
    for group in SCHEMES[scheme]:
        names = [group.subgroup(age, age) for age in range(group.youngest, group.oldest + 1)]
        spans = [years_of(name) for name in dict.fromkeys(names)]
        assert spans[0][0] == group.youngest
        assert spans[-1][1] == group.oldest
        assert all(end + 1 == start for (_, end), (start, _) in pairwise(spans))
        assert all(names.count(name) == b - a + 1 for name, (a, b) in zip(dict.fromkeys(names), spans, strict=True))


@given(schemes, ages, ages)
def test_a_range_is_labelled_where_every_year_in_it_says_the_same(scheme, one, other):
    youngest, oldest = sorted((one, other))
    each = [label(scheme, age, age) for age in range(youngest, oldest + 1)]
    told, groups, subgroups = label(scheme, youngest, oldest), {e.group for e in each}, {e.subgroup for e in each}
    assert told.group == (groups.pop() if len(groups) == 1 else None)
    assert told.subgroup == (subgroups.pop() if len(subgroups) == 1 else None)
    outside = all(e.unlabelled_because == "no_group" for e in each)
    assert told.unlabelled_because == (None if told.group else "no_group" if outside else "straddles_groups")


spans = st.tuples(st.none() | st.integers(-5, 130), st.none() | st.integers(-5, 130))


@given(st.lists(spans, max_size=10))
def test_there_is_one_row_an_utterance_and_scheme_in_order(rows):
    labelled = label_ages(table(*rows), ("leq17", "leq29"))
    assert labelled["scheme"].to_pylist() == ["leq17"] * len(rows) + ["leq29"] * len(rows)
    assert labelled["utterance_id"].to_pylist() == [f"toy/{i}" for i in range(len(rows))] * 2
    told = labelled.select(["age_group", "age_subgroup", "unlabelled_because"]).to_pylist()
    expected = [label(scheme, *row) for scheme in ("leq17", "leq29") for row in rows]
    assert [Label(group=a, subgroup=b, unlabelled_because=c) for a, b, c in (row.values() for row in told)] == expected
    assert conform(AGE_LABELS, labelled).num_rows == 2 * len(rows)


def test_no_scheme_is_no_row():
    assert len(label_ages(table((30, 30)), ())) == 0


def test_groups_written_out_are_divided_as_they_say():
    assert groups_of("young 0-25/26-30; adult 31/32+") == (
        Group(name="young", youngest=0, oldest=30, subgroups_from=(26,)),
        Group(name="adult", youngest=31, oldest=OLDEST, subgroups_from=(32,)),
    )
    assert groups_of("pupils 6-18;parents 30-45") == (
        Group(name="pupils", youngest=6, oldest=18, subgroups_from=()),
        Group(name="parents", youngest=30, oldest=45, subgroups_from=()),
    )
    told = label("pupils 6-18; parents 30-45", 19, 19)
    assert told == Label(unlabelled_because="no_group")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_of_a_paper_is_the_same_written_out(scheme):
    names = {
        group.name: [group.subgroup(age, age) for age in range(group.youngest, group.oldest + 1)]
        for group in SCHEMES[scheme]
    }
    written = "; ".join(f"{name} {'/'.join(dict.fromkeys(subgroups))}" for name, subgroups in names.items())
    assert groups_of(written) == SCHEMES[scheme]


@given(st.lists(st.integers(0, OLDEST), min_size=2, max_size=9, unique=True).map(sorted), st.data())
def test_what_is_written_out_gives_each_age_the_part_that_holds_it(starts, data):
    """Parts that follow each other, some of them in one group, of any cuts."""
    parts = [f"{start}-{end - 1}" for start, end in pairwise(starts)]
    is_new = [True, *(data.draw(st.booleans()) for _ in parts[1:])]
    written = "".join(
        (f"; g{place} " if new else "/") + part for place, (part, new) in enumerate(zip(parts, is_new, strict=True))
    )
    scheme = written.removeprefix("; ")
    for age in range(OLDEST + 1):
        told = label(scheme, age, age)
        inside = starts[0] <= age < starts[-1]
        assert (told.group is not None) == inside
        if inside:
            first, last = years_of(told.subgroup)
            assert first <= age <= last
            assert f"{first}-{last}" in parts


@pytest.mark.parametrize(
    ("scheme", "complaint"),
    [
        ("leq30", "'leq30'; expected one of leq29, leq17, decades, or groups written out, such as"),
        ("", "''; expected one of leq29"),
        ("young 0-30; ", "''; expected one of"),
        ("young 0-30 adult 31+", "'young 0-30 adult 31[+]'; expected"),
        ("young 0-30/32+", "young: 32 follows 30; expected 31"),
        ("young 0-30; adult 30+", "adult begins at 30; expected groups in order, past 30"),
        ("adult 31+; young 0-30", "young begins at 0; expected groups in order, past 120"),
        ("young 0-30; young 31+", "young stands twice"),
        ("young 30-0", "'30-0'; expected years up to 120"),
        ("young 0-121", "'0-121'; expected years up to 120"),
        ("young 0--5", "'0--5'; expected years up to 120, such as 26-30, 31 or 32[+]"),
    ],
)
def test_what_is_no_scheme_is_refused_by_name(scheme, complaint):
    with pytest.raises(ValueError, match=complaint):
        groups_of(scheme)
