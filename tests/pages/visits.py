"""What visitors of the review page ask for, and what they find."""

import html
import re
from urllib.parse import parse_qs, urlencode, urlsplit

from curate.reviews import said, standing

DROPPED, RELABELLED, KEPT = "one/ann/0", "one/ann/1", "one/ann/2"
UNHEARD = "two/cem/3"


def look(subject, one, other="", **filters):
    return f"/look?{urlencode({'subject': subject, 'id': one} | ({'other': other} if other else {}) | filters)}"


def listed(page):
    """Subject and ids of the entries of a queue, in order."""
    links = re.findall(r'<a class="id stretched" href="([^"]+)"', page.text)
    found = [parse_qs(urlsplit(html.unescape(link)).query) for link in links]
    return [tuple(query[name][0] for name in ("subject", "id", "other") if name in query) for query in found]


def stands(catalog):
    rows = standing(said(catalog)).to_pylist()
    return {(row["subject"], row["subject_id"]): (row["verdict"], row["other_id"], row["reviewer"]) for row in rows}
