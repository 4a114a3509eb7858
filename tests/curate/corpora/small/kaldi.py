"""Two data directories: whole files behind the usual commands, and segments of a call with trials."""

from pathlib import Path

SETTINGS = {"manifest": Path("data")}
FILES = {
    "data/train/wav.scp": """an-1 wav/an-1.wav
an-2 flac -c -d -s 'wav/an 2.flac' |
binh-1 sox wav/binh-1.wav -t wav - remix 2 |
""",
    "data/train/utt2spk": "an-1 an\nan-2 an\nbinh-1 binh\n",
    "data/train/spk2utt": "an an-1 an-2\nbinh binh-1\n",
    "data/train/spk2gender": "an f\nbinh m\n",
    "data/train/text": "an-1 xin chào\nan-2\nbinh-1 dạ  vâng\n",
    "data/train/utt2age": "an-1 34\nan-2 30-39\n",
    "data/train/utt2session": "an-1 phòng 1\n",
    "data/train/utt2accent": "binh-1 miền Bắc\n",
    "data/train/utt2nationality": "binh-1 Việt Nam\n",
    "data/train/utt2licence": "binh-1 CC0-1.0\n",
    "data/test/wav.scp": """call-A /opt/sph2pipe -f wav -p -c 1 wav/call.wav |
call-B sox wav/call.wav -t wav - remix 2 |
""",
    "data/test/segments": "chi-1 call-A 0.01 0.05\nchi-2 call-A 0.05 -1\ndung-1 call-B 0 0.1\n",
    "data/test/utt2spk": "chi-1 chi\nchi-2 chi\ndung-1 dung\n",
    "data/test/reco2dur": "call-A 0.1\ncall-B 0.1\n",
    "data/test/trials": "chi-1 chi-2 target\nchi-1 dung-1 nontarget\ndung chi-2 nontarget\n",
    "data/test/model2utt": "m chi-1 chi-2\n",
}


def make(root, sound):
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    sound(root, "wav/an-1.wav", "wav/an 2.flac")
    sound(root, "wav/binh-1.wav", "wav/call.wav", channels=2)
