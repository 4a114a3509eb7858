"""What docs/dependencies.md says of the terms of what we depend on, and `constraints-lowest.txt` of its versions."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTICE = {  # terms that ask for no more than a notice
    *("Apache-2.0", "MIT", "MIT-0", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "BSD", "0BSD", "ISC", "Zlib"),
    *("PSF-2.0", "CNRI-Python", "CC0-1.0", "Apache-2.0 WITH LLVM-exception"),
}
IN_OTHER_WORDS = {  # of classifiers, and free ones
    "Apache-2.0": (
        *("Apache Software License", "Apache License, Version 2.0", "Apache License 2.0", "Apache-2.0 License"),
        *("Apache 2.0", "Apache 2.0 License", "Apache License v2.0"),
    ),
    "MIT": ("MIT License", "The MIT License (MIT)", "MIT license", "MIT Licence"),
    "BSD": ("BSD License", "3-Clause BSD License", "BSD 3-Clause License"),
    "ISC": ("ISC License (ISCL)", "ISC License"),
    "PSF-2.0": ("PSF", "Python Software Foundation License"),
}
NAME = {words: name for name, others in IN_OTHER_WORDS.items() for words in others}


def listed() -> dict[str, str]:
    """Of docs/dependencies.md: distribution -> terms, where they are special."""
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    section = text.partition("## Licences")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z][a-z0-9-]*) \| (.+?) \| .+ \|$", section, flags=re.MULTILINE)
    return {name: terms for name, terms in rows if name != "distribution"}


@cache
def pulled_in() -> dict[str, Distribution]:
    """Every installed distribution that ours needs, with its extras; what other systems need is not installed."""
    found: dict[str, Distribution] = {}
    seen, waiting = set(), [("voxcurate", frozenset({"dev"}))]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # the test of constraints says if it should be there
            continue
        for one in map(Requirement, found[name].requires or []):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                waiting.append((canonicalize_name(one.name), frozenset(one.extras)))
    del found["voxcurate"]
    return found


def is_free(terms: str) -> bool:
    """Of an SPDX expression: whether it leaves a choice that asks for no more than a notice.

    Told apart by hand: all that we met are sums of choices in brackets, or choices.
    """
    if terms in NAME:
        return True
    parts = [part.strip("() ") for part in re.split(r" AND (?![^(]*\))", terms)]
    return all(any(NAME.get(one, one) in NOTICE for one in part.split(" OR ")) for part in parts)


def said(one: Distribution) -> list[str]:
    """What it says of its terms: an expression, else its classifiers, else a line of free words; perhaps nothing."""
    told = one.metadata
    if "License-Expression" in told:
        return [told["License-Expression"]]
    classifiers = [line for line in told.get_all("Classifier") or [] if line.startswith("License ::")]
    words = [line.rpartition(" :: ")[2] for line in classifiers if not line.endswith(":: OSI Approved")]
    line = (told["License"] or "").strip().partition("\n")[0] if "License" in told else ""
    return words or [word for word in (line,) if word and word != "UNKNOWN"]


def special() -> Iterator[str]:
    """Those whose terms ask for more, or are not told."""
    for name, one in pulled_in().items():
        words = said(one)
        if not words or not all(map(is_free, words)):
            yield name


@pytest.mark.parametrize(
    ("terms", "free"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("Apache-2.0 OR GPL-3.0-or-later", True),
        ("MIT AND (BSD-2-Clause OR LGPL-2.1-or-later)", True),
        ("BSD-2-Clause AND Apache-2.0 WITH LLVM-exception", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("(MPL-2.0 OR GPL-2.0) AND MIT", False),
        ("GPL-3.0-or-later", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("of my own", False),
    ],
)
def test_what_terms_leave_free(terms, free):
    assert is_free(terms) == free


def test_whatever_has_other_terms_than_a_notice_or_tells_none_stands_in_the_docs_with_what_that_means():
    assert len(pulled_in()) > 200
    assert set(special()) - listed().keys() == set(), "terms that nobody has read"


def test_the_docs_name_nothing_that_is_no_dependency_or_has_such_terms_no_more():
    ours = {name: terms for name, terms in listed().items() if name in pulled_in()}
    assert ours.keys() - set(special()) == set()
    nothing = {name for name, terms in ours.items() if terms == "says nothing"}
    assert {name for name in ours if not said(pulled_in()[name])} == nothing
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    assert listed().keys() - set(map(canonicalize_name, pinned)) == set()


# -------------------------------------------------------------------------------------------------- the lowest versions


def direct() -> list[Requirement]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    return [one for one in map(Requirement, PROJECT["dependencies"] + extras) if one.name != "voxcurate"]


def test_every_direct_dependency_has_a_lowest_version_and_that_is_what_make_lowest_takes():
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    taken = dict(line.partition(" ;")[0].split("==") for line in lines)
    for one in direct():
        bounds = [spec.version for spec in one.specifier if spec.operator in (">=", "~=")]
        assert len(bounds) == 1, f"{one}: no lowest version"
        assert Version(taken[canonicalize_name(one.name)]) == Version(bounds[0]), one


def test_the_versions_that_we_test_with_are_allowed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    taken = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert [str(one) for one in direct() if taken[canonicalize_name(one.name)] not in one.specifier] == []
