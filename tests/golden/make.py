"""Make a small catalog whose tables are all filled, by the code that PYTHONPATH leads to: README.md says how.

Two corpora of few utterances, spoken by the demo: one has ages, the other is laid out as SITW, for its models and
trials. What the version has of reviews, benchmarks by a design, and trained systems is filled by its own commands.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import soundfile

HERE = Path(__file__).parent
CORPUS = ("lan", "thao", "mai", "trang", "nhi", "hai")  # five of one sex: that many calibrate a threshold
SITW = ("huong", "dung", "cuong", "minh")
CATALOG = ("-c", "catalog")  # what it is without differs between versions of typer


def speak(demo: Path, folder: Path) -> None:
    """Few utterances of the demo's first corpus, in two layouts."""
    spoken, studio, sitw = demo / "corpora" / "ha-noi", folder / "corpora" / "studio", folder / "corpora" / "sitw"
    for who in CORPUS:
        for session in ("s1", "s2"):
            (studio / who / session).mkdir(parents=True)
            for file in sorted((spoken / who / session).iterdir())[:2]:
                shutil.copy(file, studio / who / session)
    told, *people = (spoken / "speakers.csv").read_text().splitlines()
    (studio / "speakers.csv").write_text("\n".join([told, *(one for one in people if one.split(",")[0] in CORPUS)]))
    for split, some in (("dev", SITW[::2]), ("eval", SITW[1::2])):
        for below in ("audio", "keys", "lists"):
            (sitw / split / below).mkdir(parents=True)
        meta, enrol, test, key = [], [], [], []
        for at, who in enumerate(some):
            for session, letter in (("s1", "e"), ("s2", "t")):
                file = sorted((spoken / who / session).iterdir())[0]
                samples, rate = soundfile.read(file, dtype="int16")
                soundfile.write(sitw / split / "audio" / f"{who}{letter}.flac", samples, rate)
                sex = "f" if who == "huong" else "m"
                meta.append(
                    f"audio/{who}{letter}.flac {who} {sex} studio {session[1]}{at} 0 9 1 clean 0 interview none"
                )
            enrol.append(f"model-{who} audio/{who}e.flac")
            test.append(f"audio/{who}t.flac")
            key.append(f"model-{who} audio/{who}t.flac tgt")
            key.append(f"model-{who} audio/{some[at - 1]}t.flac imp")
        for name, lines in (
            ("keys/meta", meta),
            ("lists/enroll-core", enrol),
            ("lists/test-core", test),
            ("keys/core-core", key),
        ):
            (sitw / split / f"{name}.lst").write_text("\n".join(lines) + "\n")


def curate(folder: Path, *words: str) -> None:
    """One command of the version."""
    subprocess.run([sys.executable, "-m", "flows.cli", *words], cwd=folder, check=True)


def make(demo: Path, folder: Path, version: int) -> None:
    """Fill `folder/catalog`, and take its tables to `version-N`."""
    if not (folder / "corpora").exists():
        speak(demo, folder)
    for name in ("pipeline", "design", "recipe"):
        shutil.copy(HERE / f"{name}.toml", folder)
    curate(folder, "run", "pipeline.toml")
    curate(folder, "decide", "studio/lan/s1/lan-s1-01", "drop", *CATALOG, "--reviewer", "ann", "--note", "a door")
    curate(folder, "decide", "studio/hai", "keep", "sitw/dung", *CATALOG, "--reviewer", "bob")
    curate(folder, "run", "pipeline.toml")
    curate(folder, "decide", "studio/lan/s1/lan-s1-02", "keep", *CATALOG, "--reviewer", "ann")
    if version > 1:
        of_design = (*CATALOG, "--benchmark", "design", "--device", "cpu")
        curate(folder, "build", "design.toml", *CATALOG)
        curate(folder, "train", "recipe.toml", *of_design, "--hold-out", "0")
        curate(folder, "test", "runs/golden", *of_design)
    out = HERE / f"version-{version}"
    shutil.rmtree(out, ignore_errors=True)
    tables = [one.parent for one in folder.glob("catalog/*/*.parquet")]
    for table in {*tables}:
        shutil.copytree(table, out / table.name, ignore=shutil.ignore_patterns("*.lock"))
    if (folder / "catalog" / "schema.json").exists():
        shutil.copy(folder / "catalog" / "schema.json", out)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
