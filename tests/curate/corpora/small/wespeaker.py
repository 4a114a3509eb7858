"""A raw list of train and one of test, which has speech marked in a call and trials."""

FILES = {
    "train/raw.list": """{"key": "an/1/x.wav", "wav": "wav/an/1/x.wav", "spk": "an"}
{"key": "an/2/x.wav", "wav": "flac -c -d -s wav/an/2/x.flac |", "spk": "an"}
{"key": "bình/y", "spk": "bình", "wav": "wav/bình/y z.wav"}
""",
    "test/raw.list": """{"key": "a", "speaker": "chị Chi", "spk": "ch=E1=BB=8B=20Chi", "wav": "wav/7.wav"}
{"key": "b", "speaker": "dũng", "wav": "sox wav/7.wav -t wav - remix 2 |", "vad": [["0.02", "0.04"], [0.05, 0.09]]}
""",
    "test/trials/toy.kaldi": "a b nontarget\na a target\n",
    "test/model2utt": "m a b\n",
}


def make(root, sound):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    sound(root, "wav/an/1/x.wav", "wav/an/2/x.flac", "wav/bình/y z.wav")
    sound(root, "wav/7.wav", channels=2)
