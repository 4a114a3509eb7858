"""Two speakers in dev, who share a video, and one in eval; one model of two stretches."""

DEV_META = """audio/agiwn.flac PNTR f studio 762983 40 179 3 clean 0 interview laughter
audio/uknkl.flac UZCG m studio 762983 40 179 3 clean 0 interview laughter
audio/skdts.flac PNTR f video 605273 96 120 1 codec,reverb 3 interview laughter,overlap
"""
EVAL_META = "audio/lywwa.flac ZPYJ m lapel 111222 0 60 2+ noise 1 outdoor\n"
FILES = {
    "dev/keys/meta.lst": DEV_META,
    "dev/lists/enroll-core.lst": "12013 audio/agiwn.flac\n20001 audio/uknkl.flac\n",
    "dev/lists/enroll-assist.lst": "45205 audio/agiwn.flac 0.000 0.050\n45205 audio/agiwn.flac 0.060 0.090\n",
    "dev/lists/enroll-assistclean.lst": "45205 audio/agiwn.flac 0.060 0.090\n",
    "dev/lists/test-core.lst": "audio/skdts.flac\n",
    "dev/lists/test-multi.lst": "audio/uknkl.flac 3\naudio/skdts.flac 1\n",
    "dev/keys/core-core.lst": "12013 audio/skdts.flac tgt\n20001 audio/skdts.flac imp\n",
    "dev/keys/core-multi.lst": "12013 audio/uknkl.flac imp\n",
    "dev/keys/assist-core.lst": "45205 audio/skdts.flac tgt\n20001 audio/skdts.flac imp\n",
    "dev/keys/assist-multi.lst": "45205 audio/uknkl.flac imp\n",
    "dev/keys/aux/assist-multi.10s.lst": "45205 audio/uknkl.flac imp\n",
    "eval/keys/meta.lst": EVAL_META,
    "eval/lists/enroll-core.lst": "69006 audio/lywwa.flac\n",
    "eval/lists/test-core.lst": "audio/lywwa.flac\n",
    "eval/lists/trial.core-core.lst": "69006 audio/lywwa.flac\n",
}


def make(root, sound):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    sound(root, *(f"dev/audio/{name}.flac" for name in ("agiwn", "uknkl", "skdts")), "eval/audio/lywwa.flac")
