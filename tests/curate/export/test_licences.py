"""What a licence is known to allow: what is not known is not allowed."""

import pytest

from curate.corpora import READERS
from curate.export.licences import PASSED_ON, Terms, is_non_commercial, spdx_url, terms_of


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("CC0-1.0", Terms.FREE),
        ("CC BY 4.0", Terms.FREE),
        ("cc-by-sa-4.0", Terms.FREE),
        ("CC-BY-NC-SA-4.0", Terms.NON_COMMERCIAL),
        ("CC-BY-ND-4.0", Terms.UNCHANGED),
        ("CC-BY-NC-ND-4.0", Terms.UNCHANGED),
        ("CC-BY-4.0; copyright of the videos remains with their owners", Terms.UNKNOWN),
        ("free for research", Terms.UNKNOWN),
        ("AI-Hub terms of use", Terms.FORBIDDEN),
        ("LDC User Agreement", Terms.FORBIDDEN),
        ("research only, no redistribution", Terms.FORBIDDEN),
        ("", Terms.UNKNOWN),
        (None, Terms.UNKNOWN),
    ],
)
def test_a_licence_allows_what_it_is_known_to_allow(licence, terms):
    assert terms_of(licence) is terms


def test_of_the_corpora_that_are_read_four_may_be_passed_on():
    allowed = {name for name, reader in READERS.items() if terms_of(reader.LICENCE) in PASSED_ON}
    assert allowed == {"common_voice", "fsdd", "librispeech", "vivos"}


def test_only_names_with_nc_in_them_are_not_for_money():
    assert is_non_commercial("CC-BY-NC-ND-4.0")
    assert is_non_commercial("for non-commercial research")
    assert not is_non_commercial("CC-BY-4.0")
    assert not is_non_commercial("sync licence")


def test_licences_are_found_where_spdx_has_them():
    assert spdx_url("CC BY 4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert spdx_url("free for research") is None
