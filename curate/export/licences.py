"""What a licence allows of whoever passes its audio on, as far as its name tells.

Only a licence that is one of those below and nothing else is known to allow it: `CC-BY-4.0; copyright of the videos
remains with their owners` is more than CC BY 4.0. Whatever else is not known is taken for what does not allow it, and
so is a licence that wants its work unchanged: a benchmark is chosen from corpora, and stretches are cut.

Sources: https://spdx.org/licenses/; https://huggingface.co/docs/hub/repositories-licenses.
"""

import re
from enum import StrEnum

FREE = {  # SPDX identifiers in lower case, which are those of the Hugging Face Hub, too
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "mpl-2.0": "MPL-2.0",
    "gpl-3.0": "GPL-3.0-only",
    "cc0-1.0": "CC0-1.0",
    "cc-by-2.0": "CC-BY-2.0",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cdla-permissive-1.0": "CDLA-Permissive-1.0",
    "cdla-permissive-2.0": "CDLA-Permissive-2.0",
    "cdla-sharing-1.0": "CDLA-Sharing-1.0",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}
NON_COMMERCIAL = {
    "cc-by-nc-2.0": "CC-BY-NC-2.0",
    "cc-by-nc-3.0": "CC-BY-NC-3.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-sa-2.0": "CC-BY-NC-SA-2.0",
    "cc-by-nc-sa-3.0": "CC-BY-NC-SA-3.0",
    "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0",
}
UNCHANGED = {
    "cc-by-nd-4.0": "CC-BY-ND-4.0",
    "cc-by-nc-nd-3.0": "CC-BY-NC-ND-3.0",
    "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0",
}
SPDX = FREE | NON_COMMERCIAL | UNCHANGED
_FORBIDS = re.compile(r"ai-hub-terms-of-use|ldc-user-agreement|(no|non|not)-(be-)?redistribut|not-to-be-passed-on")
_SAYS_NON_COMMERCIAL = re.compile(r"non-?commercial|\bnc\b")


class Terms(StrEnum):
    """What may be done with audio, in words that end a sentence about it."""

    FREE = "may be passed on"
    NON_COMMERCIAL = "may be passed on, but not for money"
    UNCHANGED = "may be passed on as it is, but not in parts"
    FORBIDDEN = "may not be passed on"
    UNKNOWN = "is not known to allow passing on"


PASSED_ON = (Terms.FREE, Terms.NON_COMMERCIAL)


def in_short(licence: str | None) -> str:
    """As the Hub would write it: lower case, with hyphens; `unknown` where nothing is said."""
    return re.sub(r"[^a-z0-9.]+", "-", (licence or "unknown").lower()).strip("-.")


def terms_of(licence: str | None) -> Terms:
    """What the licence allows."""
    words = in_short(licence)
    for known, terms in ((FREE, Terms.FREE), (NON_COMMERCIAL, Terms.NON_COMMERCIAL), (UNCHANGED, Terms.UNCHANGED)):
        if words in known:
            return terms
    return Terms.FORBIDDEN if _FORBIDS.search(words) else Terms.UNKNOWN


def is_non_commercial(licence: str | None) -> bool:
    """Whether its name says so, whatever else it says."""
    return terms_of(licence) is Terms.NON_COMMERCIAL or bool(_SAYS_NON_COMMERCIAL.search(in_short(licence)))


def spdx_url(licence: str | None) -> str | None:
    """Where its text is; None for one that has no identifier."""
    name = SPDX.get(in_short(licence))
    return None if name is None else f"https://spdx.org/licenses/{name}.html"
