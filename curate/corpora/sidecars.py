"""A corpus' own files of text: where they lie, how they are read, and what the coded words in them mean."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from curate.corpora.described import OLDEST_YEARS, age_of, sex_of
from curate.corpora.listed import DECODER
from curate.corpora.places import files_below, names_in, printable, require_inside
from curate.errors import CorpusError
from curate.storage import read_bytes, why

Links = Literal["inside", "anywhere"]
Encoding = Literal["utf-8", "utf-16", "cp949", "cp1258"]  # cp949 holds EUC-KR; cp1258 is Vietnamese
FOLDERS_AT_ONCE = 8  # whose names are kept: files come folder by folder
UNKNOWN = {
    "",
    "-",
    "none",
    "null",
    "n/a",
    "na",
    "nan",
    "unknown",
    "other",
    "알수없음",
    "알 수 없음",
    "미상",
    "기타",
    "무응답",
}
SEXES = {
    **dict.fromkeys(("남", "남성", "남자"), "male"),
    **dict.fromkeys(("여", "여성", "여자"), "female"),
    **dict.fromkeys(("nam", "nam giới"), "male"),
    **dict.fromkeys(("nữ", "nữ giới"), "female"),
}


class Twins:
    """Files that belong to another file: they lie beside it, or in a folder elsewhere that is called like its own.

    `swaps` are texts of a folder's path with what stands there in the path of its twin. Only the folders are held in
    memory. Names are compared in one normal form: a table or an archive may spell a Korean folder in the other one.
    """

    def __init__(self, root: Path, suffixes: tuple[str, ...], swaps: Mapping[str, str], links: Links) -> None:
        self._root, self._suffixes, self._swaps = root, suffixes, swaps
        self._folders: dict[str, list[str]] = {}  # last name -> those called so
        self._whole: dict[str, str] = {}
        last = None
        for path in files_below(root, suffixes, links=links):
            folder = _home(path)
            if folder != last:
                self._folders.setdefault(_last_name(folder), []).append(folder)
                self._whole[nfc(folder)] = last = folder
        self._names = lru_cache(FOLDERS_AT_ONCE)(self._names_in)

    def beside(self, path: str) -> str | None:
        """The file of the same stem in the folder of `path`, or in that which `swaps` put in its place."""
        home, stem = _home(path), _stem(path)
        for place in (self._whole.get(nfc(home)), self._whole.get(self._swapped(nfc(home)))):
            if place is not None and (name := self._names(place).get(stem)):
                return _joined(place, name)
        return None

    def named(self, stem: str, *, folder: str, near: str) -> str | None:
        """The file of this stem in a folder of this last name; of several, that which shares most of `near`'s path.

        Raises CorpusError where two are equally near.
        """
        twins = self._folders.get(_last_name(folder), [])
        return _nearest(near, [_joined(twin, name) for twin in twins if (name := self._names(twin).get(nfc(stem)))])

    def _swapped(self, folder: str) -> str:
        for text, other in self._swaps.items():
            folder = folder.replace(nfc(text), nfc(other))
        return folder

    def _names_in(self, folder: str) -> dict[str, str]:
        names = [name for name in names_in(self._root, folder) if name.lower().endswith(self._suffixes)]
        return {nfc(name.rpartition(".")[0]): name for name in names}


def nfc(text: str) -> str:
    """In the composed normal form."""
    return unicodedata.normalize("NFC", text)


def _last_name(folder: str) -> str:
    return nfc(folder.rpartition("/")[2])


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _home(path: str) -> str:
    return path.rpartition("/")[0]


def _stem(path: str) -> str:
    return nfc(PurePosixPath(path).stem)


def _nearest(near: str, found: list[str]) -> str | None:
    best = [path for path in found if _shared(near, path) == max(_shared(near, one) for one in found)]
    if len(best) > 1:
        raise CorpusError(
            f"{printable(near)}: both {best[0]!r} and {best[1]!r} fit; "
            "expected one (`labels` says what stands for what)"
        )
    return best[0] if best else None


def _shared(one: str, other: str) -> int:
    """How many folders two paths have in common, from the root on."""
    pairs = zip(nfc(one).split("/"), nfc(other).split("/"), strict=False)
    return next((depth for depth, (here, there) in enumerate(pairs) if here != there), 0)


def partner(path: str, ours: Twins, theirs: Twins) -> str | None:
    """What belongs to this file: it lies beside it, or else in a twin folder where nothing of ours is nearer to it."""
    if found := theirs.beside(path):
        return found
    found = theirs.named(_stem(path), folder=_home(path), near=path)
    return found if found and ours.named(_stem(path), folder=_home(found), near=found) == path else None


def require_groups(pattern: str, known: set[str]) -> set[str]:
    """The named groups of a regular expression. Raises ValueError for one that is none, or has others."""
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression ({error})") from error
    if unknown := sorted(groups - known):
        raise ValueError(f"pattern has a group {unknown[0]!r}; expected any of {', '.join(sorted(known))}")
    return groups


def matched(pattern: str, path: str) -> dict[str, str]:
    """What the named groups hold. Raises CorpusError for a path that the pattern does not fit."""
    match = re.fullmatch(nfc(pattern), nfc(path))
    if not match:
        raise CorpusError(f"`pattern` {pattern!r} does not fit {path!r}; expected one that fits every path")
    return {group: text for group, text in match.groupdict().items() if text}


def own_file(root: Path, path: str, links: Links) -> Path:
    """A file that a layout has at this place below the root. Raises CorpusError where a link leads out on the way."""
    if links == "inside":
        require_inside(root, path)
    return root / path


def lines_of(path: Path, corpus: str) -> Iterator[tuple[str, str]]:
    """`(place, line)` of each line that is not blank, whatever ends it; letters stay in the normal form they are in."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{printable(str(path))}: {why(error)}; expected the file that {corpus} has there") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{printable(str(path))}: byte {error.start} is no UTF-8; expected text in UTF-8") from error
    place = printable(str(path))
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):  # `splitlines` would divide at more
        if line.strip():
            yield f"{place}:{number}", line.strip()


def pairs_of(path: Path, corpus: str, *, expected: str) -> Iterator[tuple[str, str, str]]:
    """Place, first word and rest of each of these lines. Raises CorpusError for a first word that comes twice."""
    seen: set[str] = set()
    for place, line in lines_of(path, corpus):
        first, *rest = line.split(maxsplit=1)
        if not rest:
            raise CorpusError(f"{place}: line {line[:80]!r}; expected {expected}")
        if first in seen:
            raise CorpusError(f"{place}: {first[:80]!r} again; expected one line for each")
        seen.add(first)
        yield place, first, rest[0]


def read_text(path: Path, encoding: Encoding) -> str:
    """All of a text file, without a byte order mark. Raises CorpusError naming the file."""
    try:
        return read_bytes(path).decode(encoding).removeprefix("\ufeff")
    except OSError as error:
        raise CorpusError(f"{printable(str(path))}: {why(error)}; expected a readable file") from error
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{printable(str(path))}: byte {error.start} is no {encoding}; expected text in it (`encoding`)"
        ) from error


def read_json(path: Path, encoding: Encoding) -> Any:
    """What a JSON file holds. Raises CorpusError naming the file."""
    try:
        return DECODER.decode(read_text(path, encoding))
    except CorpusError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorpusError(
            f"{printable(str(path))}: no JSON ({' '.join(str(error).split())}); expected one JSON a file"
        ) from error


def sex_at(place: str, word: str) -> str:
    """Of a letter or word that must be one or the other. Raises CorpusError naming the place."""
    try:
        sex = sex_of(word)
    except CorpusError:
        sex = None
    if sex is None:
        raise CorpusError(f"{place}: sex {word[:80]!r}; expected m or f")
    return sex


def meant_sex(text: str, words: Mapping[str, str]) -> str | None:
    """Of a coded word; None where it says that nobody knows. Raises CorpusError for one that nothing explains."""
    word = words.get(text, SEXES.get(nfc(text).lower(), text))
    if word.strip().lower() in UNKNOWN:
        return None
    try:
        return sex_of(word)
    except CorpusError as error:
        raise CorpusError(f"sex {text[:80]!r}; expected female, male, or a word of `words.sex`") from error


def meant_age(text: str, words: Mapping[str, str]) -> tuple[int, int] | None:
    """Of `37`, `37세`, `20대`, `30~39` or `60대 이상` and of all that `age_of` reads; None where nobody knows."""
    word = nfc(words.get(text, text)).strip().lower()
    if word in UNKNOWN:
        return None
    word = re.sub(r"^만\s*", "", word.replace("~", "-").replace("세", ""))
    if decade := re.fullmatch(r"([0-9]{1,2})\s*대(\s*이상)?", word):
        youngest = int(decade[1])
        return youngest, OLDEST_YEARS if decade[2] else youngest + 9
    try:
        return age_of(re.sub(r"\s*이상$", "+", word))
    except CorpusError as error:
        raise CorpusError(
            f"age {text[:80]!r}; expected years, a range, a decade, or a word that `words.age` explains"
        ) from error


def meant_years(birth: str, recorded: str) -> tuple[int, int] | None:
    """The age of who was born in one year and recorded in another; None where either is not told."""
    years = []
    for text in (birth, recorded):
        if text.strip().lower() in UNKNOWN:
            return None
        if not (
            match := re.match(r"((?:18|19|20)[0-9]{2})(?![0-9])", text)
            or re.match(r"((?:19|20)[0-9]{2})[0-9]{4}$", text)
        ):
            raise CorpusError(f"year {text[:80]!r}; expected a year, or a date that starts with it")
        years.append(int(match[1]))
    born, seen = years
    if not 0 < seen - born <= OLDEST_YEARS:
        raise CorpusError(
            f"born {birth[:80]!r}, recorded {recorded[:80]!r}; expected a year of birth before that of recording"
        )
    return seen - born - 1, seen - born
