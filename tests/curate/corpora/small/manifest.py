"""Two stretches of one file, and a file of its own."""

from pathlib import Path

SETTINGS = {"manifest": Path("m.csv")}


def make(root, sound):
    sound(root, "audio/call.wav", "audio/solo.flac")
    rows = "audio/call.wav,an,call-1,0,0.05\naudio/call.wav,ba,call-2,0.05,0.05\naudio/solo.flac,an,,,\n"
    (root / "m.csv").write_text("path,speaker,name,start_s,duration_s\n" + rows, encoding="utf-8")
