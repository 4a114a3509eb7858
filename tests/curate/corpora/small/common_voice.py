"""Four clips of three clients: two of them in a split, one with a bare quote in its sentence, one not validated."""

AN, BA, CUC = ("a" * 128, "b" * 128, "c" * 128)
COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
)
CLIPS = {
    "1": [
        AN,
        "common_voice_vi_1.mp3",
        "s1",
        "Xin chào.",
        "",
        "2",
        "0",
        "fourties",
        "female_feminine",
        "Huế",
        "",
        "vi",
        "",
    ],
    "2": [AN, "common_voice_vi_2.mp3", "s2", '"Vâng, nó nói', "", "2", "0", "", "", "", "", "vi", ""],
    "3": [
        BA,
        "common_voice_vi_3.mp3",
        "s3",
        "Một hai",
        "general",
        "3",
        "1",
        "teens",
        "non-binary",
        "",
        "",
        "vi",
        "Benchmark",
    ],
    "4": [CUC, "common_voice_vi_4.mp3", "s4", "Ba", "", "0", "2", "sixties", "male_masculine", "", "", "vi", ""],
}
TABLES = {"validated": "123", "train": "1", "dev": "", "test": "3", "invalidated": "4", "other": ""}


def make(root, sound):
    sound(root, *(f"clips/common_voice_vi_{number}.mp3" for number in CLIPS))
    for table, clips in TABLES.items():
        write(root / f"{table}.tsv", [COLUMNS.split(), *(CLIPS[clip] for clip in clips)])
    write(root / "clip_durations.tsv", [["clip", "duration[ms]"], *([row[1], "100"] for row in CLIPS.values())])
    write(root / "reported.tsv", [["sentence_id", "sentence", "locale", "reason"], ["s1", "Xin chào.", "vi", "\t"]])


def write(file, rows):
    file.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
