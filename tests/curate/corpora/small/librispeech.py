"""Two subsets, three readers, one of them with two chapters; reader 60 has pipes in his name, a title some, too."""

SPEAKERS_TXT = """; Some pipe(|) separated metadata about all LibriVox readers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | |CBW|Simon
9    | M | dev-clean        | 8.00  | Nguyễn Văn A
"""
CHAPTERS_TXT = """; Some pipe(|) separated metadata about the audio chapters included in the corpus.
;ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE
1      | 9    | 8.00  | dev-clean        | 219  | 121   | Chapter 01 | Northanger Abbey
5      | 60   | 9.77  | train-clean-100  | 220  | 121   | "Chapter" |02| of 3 | Northanger Abbey (version 2)
7      | 60   | 10.41 | train-clean-100  | 53   | 1023  | In Chancery | Bleak House
"""


def make(root, sound):
    files = [
        "dev-clean/9/1/9-1-0000.flac",
        "train-clean-100/60/5/60-5-0000.flac",
        "train-clean-100/60/5/60-5-0001.flac",
    ]
    sound(root, *files, "train-clean-100/60/7/60-7-0000.flac")
    (root / "SPEAKERS.TXT").write_text(SPEAKERS_TXT, encoding="utf-8")
    (root / "CHAPTERS.TXT").write_text(CHAPTERS_TXT, encoding="utf-8")
    texts = "60-5-0000 HE SAID  TWO WORDS\n60-5-0001 AND MORE\n"
    (root / "train-clean-100/60/5/60-5.trans.txt").write_text(texts, encoding="utf-8")
