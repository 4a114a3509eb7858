"""Two subsets, three readers, one of them with two chapters; reader 60 has pipes in his name, as published."""

SPEAKERS_TXT = """; Some pipe(|) separated metadata about all LibriVox readers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | |CBW|Simon
9    | M | dev-clean        | 8.00  | Nguyễn Văn A
"""


def make(root, sound):
    files = [
        "dev-clean/9/1/9-1-0000.flac",
        "train-clean-100/60/5/60-5-0000.flac",
        "train-clean-100/60/5/60-5-0001.flac",
    ]
    sound(root, *files, "train-clean-100/60/7/60-7-0000.flac")
    (root / "SPEAKERS.TXT").write_text(SPEAKERS_TXT, encoding="utf-8")
    (root / "CHAPTERS.TXT").write_text("; not read\n", encoding="utf-8")
    texts = "60-5-0000 HE SAID  TWO WORDS\n60-5-0001 AND MORE\n"
    (root / "train-clean-100/60/5/60-5.trans.txt").write_text(texts, encoding="utf-8")
