"""A benchmark is published so that others can find, load and trust it, whatever its corpora are called and say."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from curate import audio
from curate.catalog import Catalog, rows_of
from curate.errors import ExportError
from curate.export import huggingface, manifest
from curate.export.croissant import RAI_REQUIRED, REQUIRED, lacking
from curate.export.hub_front import read_front_matter
from curate.schema import MODELS, RUNS, TRIALS
from curate.verify import faults_of
from flows import cli
from flows.publishing import Asked, publish_benchmark
from tests.flows.published_made import LICENCES, ODD, write_catalog

NOT_OURS = [  # what mlcroissant's own code, and what it uses, warn of
    "ignore:ConjunctiveGraph is deprecated",
    "ignore:The inplace keyword in DataFrame.reset_index is deprecated",
]
FFMPEG_IS_THERE = shutil.which("ffmpeg") is not None
FILES = [
    *("LICENSE.md", "README.md", "croissant.json", "data/test-00000-of-00001.parquet"),
    *("data/train-00000-of-00001.parquet", "manifest.json", "trials/test-00000-of-00001.parquet"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A catalog, and its benchmark published with audio in `out` and without in `bare`."""
    root = tmp_path_factory.mktemp("published")
    catalog = write_catalog(root)
    publish_benchmark(catalog, "toy", root / "out", Asked(has_audio=True, makers=("Lab & <b>Sons</b>",)))
    publish_benchmark(catalog, "toy", root / "bare", Asked())
    return root


@pytest.fixture
def copy(home, tmp_path):
    """The published folder, to be spoilt."""
    return Path(shutil.copytree(home / "out", tmp_path / "copy"))


@pytest.fixture
def command(monkeypatch, capsys):
    """The command within this process: exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sealed_again(folder):
    manifest.seal(folder)
    return faults_of(folder)


# ---------------------------------------------------------------------------------------------------------- the folder


def test_the_folder_holds_these_files_and_is_as_it_was_published(home):
    assert sorted(contents(home / "out")) == sorted(contents(home / "bare")) == FILES
    assert faults_of(home / "out") == faults_of(home / "bare") == []
    assert {path.name for path in home.iterdir()} == {"catalog", "studio", "odd", "calls", "out", "bare"}


def test_another_process_publishes_the_same_bytes(home, tmp_path):
    """Whose sets have another order."""
    script = (
        "import sys; from pathlib import Path; from curate.catalog import Catalog\n"
        "from flows.publishing import Asked, publish_benchmark\n"
        "asked = Asked(has_audio=True, makers=('Lab & <b>Sons</b>',))\n"
        "publish_benchmark(Catalog(Path(sys.argv[1])), 'toy', Path(sys.argv[2]), asked)"
    )
    words = [sys.executable, "-c", script, home / "catalog", tmp_path / "again"]
    subprocess.run(words, check=True, env={"PYTHONHASHSEED": "7"})
    assert contents(tmp_path / "again") == contents(home / "out")


def test_datasets_opens_every_configuration_with_the_bytes_of_the_audio(home, tmp_path):
    import datasets

    rows = datasets.load_dataset(str(home / "out"), cache_dir=str(tmp_path))
    assert {split: len(of) for split, of in rows.items()} == {"test": 17, "train": 4}
    assert isinstance(rows["test"].features["audio"], datasets.Audio)
    for row in rows["test"].cast_column("audio", datasets.Audio(decode=False)):
        assert row["audio"]["bytes"] == (home / row["corpus"] / row["source_file"]).read_bytes()
    assert {row["transcript"] for row in rows["test"].remove_columns("audio")} == {None, *ODD}
    trials = datasets.load_dataset(str(home / "out"), "trials-toy", split="test", cache_dir=str(tmp_path))
    assert (len(trials), sum(trials["is_target"])) == (136, 10)


@pytest.mark.skipif(not (FFMPEG_IS_THERE or os.environ.get("VOXCURATE_DEBIAN")), reason="torchcodec needs FFmpeg")
def test_datasets_decodes_the_audio_to_the_samples_of_the_corpus(home, tmp_path):
    import datasets

    rows = datasets.load_dataset(str(home / "out"), split="test", cache_dir=str(tmp_path))
    for row in rows.select(range(3)):
        samples, rate_hz = audio.read(home / row["corpus"] / row["source_file"])
        heard = row["audio"].get_all_samples()
        assert heard.sample_rate == rate_hz
        np.testing.assert_allclose(heard.data.numpy().T, samples, rtol=0, atol=1e-4)


def test_without_audio_a_row_says_where_its_audio_is(home):
    (row,) = (
        one
        for one in pq.read_table(home / "bare/data/train-00000-of-00001.parquet").to_pylist()
        if one["utterance_id"] == "calls/long-2"
    )
    assert "audio" not in row
    assert (row["source_file"], row["source_start_s"], row["duration_s"]) == ("long.wav", 1.0, 0.5)
    assert row["licence"] == "CC-BY-NC-SA-4.0"


def test_the_models_of_trials_go_out_too(tmp_path):
    catalog = write_catalog(tmp_path)
    made = [{"benchmark": "toy", "model_id": "m/1", "utterance_id": f"studio/an/{take}"} for take in (1, 2)]
    catalog.publish(MODELS, rows_of(MODELS, made), part="toy", fingerprint="")
    asked = {"benchmark": "toy", "list": "of-models", "enrol_id": "m/1", "test_id": "studio/an/3", "is_target": True}
    catalog.publish(TRIALS, rows_of(TRIALS, [asked]), part="toy", fingerprint="")
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked())
    assert pq.read_table(tmp_path / "out/models/train-00000-of-00001.parquet").to_pylist() == [
        {"model": "m/1", "utterance": "studio/an/1"},
        {"model": "m/1", "utterance": "studio/an/2"},
    ]
    assert [one["config_name"] for one in front(tmp_path / "out")["configs"]] == ["toy", "trials-toy", "models-toy"]
    assert faults_of(tmp_path / "out") == []
    sets = json.loads((tmp_path / "out/croissant.json").read_text())["recordSet"]
    assert [one["@id"] for one in sets] == ["splits", "utterances", "trials-of_models", "models"]


def test_a_benchmark_without_trials_goes_out_without_lists(tmp_path):
    catalog = write_catalog(tmp_path)
    catalog.publish(TRIALS, rows_of(TRIALS, []), part="toy", fingerprint="")
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked())
    assert [one["config_name"] for one in front(tmp_path / "out")["configs"]] == ["toy"]
    sets = json.loads((tmp_path / "out/croissant.json").read_text())["recordSet"]
    assert [one["@id"] for one in sets] == ["splits", "utterances"]
    assert "There are no lists of trials." in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "out/trials").exists()
    assert faults_of(tmp_path / "out") == []


# ------------------------------------------------------------------------------------------------------------ the card


def front(folder):
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_the_hub_reads_the_card(home):
    from huggingface_hub import DatasetCard, DatasetCardData

    card = DatasetCard.load(home / "out" / "README.md")
    assert isinstance(card.data, DatasetCardData)
    told = front(home / "out")
    assert card.data.to_dict() == told == read_front_matter((home / "out/README.md").read_text(encoding="utf-8"))
    assert told["language"] == ["no", "vi"]  # not false
    assert (told["license"], told["license_name"], told["license_link"]) == ("other", "mixed", "LICENSE.md")
    assert told["licences_by_split"] == {"test": ["CC-BY-4.0", "CC0-1.0"], "train": ["CC-BY-NC-SA-4.0"]}
    sizes = {
        (one["config_name"], of["name"]): of["num_examples"] for one in told["dataset_info"] for of in one["splits"]
    }
    assert sizes == {("toy", "test"): 17, ("toy", "train"): 4, ("trials-toy", "test"): 136}
    assert told["source_datasets"] == ["extended|other-calls", "extended|other-odd", "extended|other-studio"]


def test_no_word_of_a_corpus_does_anything_in_the_card(home):
    text = (home / "out/README.md").read_text(encoding="utf-8")
    body = text.split("---\n", 2)[2]
    assert not re.search(r"(?<!\\)<", re.sub(r"```.*?```", "", body, flags=re.DOTALL))
    assert not set(text) & set("\u202e\u200f\u2066\u0085\u2028\r")
    assert [line for line in text.splitlines() if line == "---"] == ["---", "---"]
    assert max(len(line) for line in text.splitlines()) < 1_000
    tables = [line for line in text.splitlines() if line.startswith("| accent") and "as the corpus says" not in line]
    assert len(tables) == len(ODD) + 1
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 8 for line in tables)


def test_the_card_says_what_the_tables_do(home):
    text = (home / "out/README.md").read_text(encoding="utf-8")
    for line in (
        "21 utterances of 10 people (0.00 hours). The audio is in the rows, as bytes of the format that its file has.",
        "| studio | 6 | 5 | 5 | 0.00 | 2 | CC-BY-4.0 | Who & where {2020} | not stated |",
        "| train | CC-BY-NC-SA-4.0 | may be passed on, but not for money | 4 | calls |",
        "- `test` mixes CC-BY-4.0; CC0-1.0: whoever uses all of it is bound by all of them.",
        "- `train` has audio that is not for commercial use: CC-BY-NC-SA-4.0.",
        "| clean | utterance | drop | too_short | 1 | shorter than the limit of its corpus |",
        "| test | 17 | 17 | 8 | 7 | 1 | 0 | 0.00 |",
        "| test | 10 | 126 | none | 17 | 8 |",
        "- split: num_test_speakers 8",
        "Nothing leaks that should not.",
        "| test | ge2e | eer | 12.50 % | none | 10 | 126 |",
        "| sex | male | 1 | 12.5 % | 2 | 0.00 | rare |",
        "| sex | male | 3 | 2 | 66.7 % |",
        "Voices were not compared.",
        "- No age group is known of 16 of 21 utterances.",
        "Nothing is known to have been planted, so how much of what is wrong was found is not known.",
        "  author = {Lab & <b>Sons</b>},".replace("<b>", "").replace("</b>", ""),
    ):
        assert line in text.replace("<b>", "").replace("</b>", ""), line
    assert "Made by Lab & \\<b\\>Sons\\</b\\>." in text


# ----------------------------------------------------------------------------------------------------------- Croissant


@pytest.mark.filterwarnings(*NOT_OURS)
@pytest.mark.parametrize("folder", ["out", "bare"])
def test_mlcroissant_has_nothing_to_say_and_loads_the_records(home, folder, caplog):
    import mlcroissant

    found = mlcroissant.Dataset(jsonld=str(home / folder / "croissant.json"))
    assert (found.metadata.ctx.issues.errors, found.metadata.ctx.issues.warnings) == (set(), set())
    assert found.metadata.ctx.is_v1_1()
    splits = {row["splits/name"]: row for row in found.records("splits")}
    assert {name: (row["splits/url"], row["splits/num_utterances"]) for name, row in splits.items()} == {
        "test": ("cr:TestSplit", 17),
        "train": ("cr:TrainingSplit", 4),
    }
    rows = list(found.records("utterances"))
    assert sorted(row["utterances/split"] for row in rows) == [b"test"] * 17 + [b"train"] * 4
    assert {row["utterances/transcript"] for row in rows} == {None, *(text.encode() for text in ODD)}
    trials = list(found.records("trials-test"))
    assert sum(row["trials-test/is_target"] for row in trials) == 10
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []
    if folder == "out":
        (row,) = (one for one in rows if one["utterances/utterance_id"] == b"studio/an/1")
        assert row["utterances/audio"] == (home / "studio/an-1.wav").read_bytes()


def test_croissant_has_the_ledger_as_provenance_and_says_what_to_be_careful_of(home):
    told = json.loads((home / "out/croissant.json").read_text(encoding="utf-8"))
    assert [one["prov:label"] for one in told["prov:wasDerivedFrom"]] == ["calls", "odd", "studio"]
    assert [(one["prov:label"], one["description"]) for one in told["prov:wasGeneratedBy"]] == [
        ("clean", "kept: 21; drop utterance (too_short): 1"),
        ("split", "utterances: test 17; train 4"),
    ]
    assert "sex male: 1 person, 12.5 % of those of whom it is told" in told["rai:dataBiases"]
    assert "biometric" in told["rai:personalSensitiveInformation"][0]
    assert (told["datePublished"], told["version"]) == ("2026-03-04", "1.0.0")
    assert told["url"].startswith("ni:///sha-256;")


@pytest.mark.filterwarnings(*NOT_OURS)
def test_a_split_of_several_files_is_one_split(home, tmp_path, monkeypatch):
    import mlcroissant

    monkeypatch.setattr(huggingface, "BYTES_PER_SHARD", 20_000)
    publish_benchmark(Catalog(home / "catalog"), "toy", tmp_path / "out", Asked(has_audio=True))
    assert len(list((tmp_path / "out/data").glob("test-*"))) > 1
    assert faults_of(tmp_path / "out") == []
    rows = mlcroissant.Dataset(jsonld=str(tmp_path / "out/croissant.json")).records("utterances")
    assert sorted(row["utterances/split"] for row in rows) == [b"test"] * 17 + [b"train"] * 4


@pytest.mark.parametrize("name", [*REQUIRED, *(f"rai:{one}" for one in RAI_REQUIRED), "distribution", "recordSet"])
def test_what_croissant_requires_is_missed(home, name):
    told = json.loads((home / "out/croissant.json").read_text(encoding="utf-8"))
    assert lacking(told) == []
    del told[name]
    assert name in lacking(told)


@pytest.mark.parametrize(("kind", "at", "name"), [("distribution", 0, "sha256"), ("recordSet", 1, "field")])
def test_what_croissant_requires_of_files_and_records_is_missed(home, kind, at, name):
    told = json.loads((home / "out/croissant.json").read_text(encoding="utf-8"))
    one = told[kind][at]
    del one[name]
    assert f"{one['@id']}/{name}" in lacking(told)


# ------------------------------------------------------------------------------------------------------------ licences


def test_audio_that_may_not_be_passed_on_is_refused_in_one_line(tmp_path):
    catalog = write_catalog(tmp_path, licences=LICENCES | {"odd": None, "studio": "AI-Hub terms of use"})
    with pytest.raises(ExportError) as refused:
        publish_benchmark(catalog, "toy", tmp_path / "out", Asked(has_audio=True))
    assert str(refused.value) == (
        "audio of odd (no licence is stated: audio is not known to allow passing on); studio (AI-Hub terms of use: "
        "audio may not be passed on); expected to publish without `--audio`, or `--insist` where its owners allow it"
    )
    assert not (tmp_path / "out").exists()
    publish_benchmark(catalog, "toy", tmp_path / "bare", Asked())
    assert "Its publisher\ninsisted" not in (tmp_path / "bare/README.md").read_text(encoding="utf-8")
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked(has_audio=True, insists=True))
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "be passed on (not stated; AI-Hub terms of use). Its publisher\ninsisted" in text
    assert "- `test` has audio that may not, or is not known to, be passed on: AI-Hub terms of use; not stated." in text
    rows = pq.read_table(tmp_path / "out/data/test-00000-of-00001.parquet", columns=["corpus", "licence"]).to_pylist()
    assert {row["licence"] for row in rows if row["corpus"] == "studio"} == {"AI-Hub terms of use"}


@pytest.mark.parametrize(("licence", "told"), [("CC BY 4.0", "cc-by-4.0"), (None, "unknown")])
def test_one_licence_of_all_is_that_of_the_whole(tmp_path, licence, told):
    catalog = write_catalog(tmp_path, licences=dict.fromkeys(LICENCES, licence))
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked())
    said = front(tmp_path / "out")
    assert said["license"] == told
    assert "license_name" not in said
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    for words, is_of_known in (
        ("No split mixes licences", True),
        ("they go with it. All have the same.\n\n|", True),
        ("\n\nThe licence of no row is stated.\n\n|", False),
    ):
        assert (words in card) == (is_of_known == (licence is not None)), words


# ------------------------------------------------------------------------------------------------------------ checking


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_in_any_file(copy, name):
    whole = (copy / name).read_bytes()
    for at in sorted({0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1}):
        for bit in (0, 5):
            (copy / name).write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
            (fault,) = faults_of(copy)
            assert fault.startswith(f"{copy / name}: changed; " if name == "manifest.json" else f"changed: {name}")


def test_bytes_all_over_the_manifest_count(copy):
    path = copy / "manifest.json"
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        with pytest.raises(ExportError, match="changed; expected it as"):
            manifest.read(copy)


def test_what_is_missing_and_what_was_added_are_told(copy, home):
    (copy / "LICENSE.md").unlink()
    (copy / "data" / "more.parquet").write_bytes(b"")
    (copy / "trials" / "test-00000-of-00001.parquet").unlink()
    (copy / "trials" / "test-00000-of-00001.parquet").symlink_to(home / "out/trials/test-00000-of-00001.parquet")
    for name in (".gitattributes", ".cache/huggingface/x", ".git/config"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("")
    assert faults_of(copy) == [
        "missing: LICENSE.md",
        "added: data/more.parquet",
        "changed: trials/test-00000-of-00001.parquet",
    ]


def test_a_card_and_croissant_of_other_files_are_told(copy):
    (copy / "data" / "train-00000-of-00001.parquet").rename(copy / "data" / "train-00000-of-00002.parquet")
    assert sealed_again(copy) == [
        "croissant.json: names data/train-00000-of-00001.parquet, which is not there",
        "croissant.json: does not name data/train-00000-of-00002.parquet",
    ]
    (copy / "data" / "train-00000-of-00002.parquet").rename(copy / "data" / "other-00000-of-00001.parquet")
    assert sealed_again(copy)[:2] == [
        "README.md: configuration 'toy', split 'train': no file is data/train-*",
        "README.md: data/other-00000-of-00001.parquet is in no configuration",
    ]


def test_counts_and_checksums_that_others_wrote_are_told(copy):
    shutil.copy(copy / "data" / "test-00000-of-00001.parquet", copy / "data" / "train-00000-of-00001.parquet")
    assert sealed_again(copy) == [
        "README.md: configuration 'toy', split 'train': 4 rows; the files have 17",
        "croissant.json: has another checksum of data/train-00000-of-00001.parquet",
    ]


@pytest.mark.parametrize("text", ["", "no front matter", "---\na: [\n---\n", "---\nx\n---\n"])
def test_a_card_without_front_matter_is_told(copy, text):
    (copy / "README.md").write_text(text)
    assert sealed_again(copy)[0].startswith("README.md: ")
    (copy / "croissant.json").write_text(text)
    assert any(fault.startswith("croissant.json: ") for fault in sealed_again(copy))


@pytest.mark.parametrize("text", ["configs: [x]", "configs:\n- data_files: x", "dataset_info: 1", "configs: 2"])
def test_front_matter_of_another_layout_is_told(copy, text):
    (copy / "README.md").write_text(f"---\n{text}\n---\n")
    assert sealed_again(copy) == ["README.md: laid out in another way; expected it as `curate publish` writes it"]


@pytest.mark.parametrize("text", ["[]", '"x"', '{"distribution": [1]}', '{"recordSet": [{"field": 1}]}'])
def test_croissant_of_another_layout_is_told(copy, text):
    (copy / "croissant.json").write_text(text)
    assert sealed_again(copy) == ["croissant.json: laid out in another way; expected it as `curate publish` writes it"]


# ----------------------------------------------------------------------------------------------------------- commands


def test_the_commands_publish_and_verify(command, home, tmp_path):
    out = tmp_path / "out"
    code, said, _ = command(
        "publish", home / "catalog", "toy", out, "--audio", "--date", "2027-01-02", "--url", "https://x.y"
    )
    assert code == 0
    checksum = json.loads((out / "manifest.json").read_text())["sha256"]
    assert said == f"{out}: 21 utterances, 136 trials, with audio; checksum of its manifest {checksum}\n"
    told = json.loads((out / "croissant.json").read_text(encoding="utf-8"))
    assert (told["datePublished"], told["url"]) == ("2027-01-02", "https://x.y")
    assert command("verify", out) == (0, f"{out}: as it was published\n", "")
    (out / "LICENSE.md").write_text("")
    assert command("verify", out) == (1, "changed: LICENSE.md\n", "")
    assert command("publish", home / "catalog", "toy", out)[::2] == (
        1,
        f"curate: {out} is there already; expected a folder that is not, or is empty\n",
    )
    for gone in (tmp_path / "gone", tmp_path / "none" / "manifest.json"):
        gone.parent.mkdir(exist_ok=True)
        told = f"curate: {gone} is not there; expected a folder that `curate publish` has written\n"
        assert command("verify", gone if gone.name == "gone" else gone.parent) == (2, "", told)


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0\n", "01.0.0"])
def test_a_version_that_is_not_semantic_is_an_error(home, tmp_path, version):
    with pytest.raises(ExportError, match=r"expected MAJOR.MINOR.PATCH, such as 1.0.0$"):
        publish_benchmark(Catalog(home / "catalog"), "toy", tmp_path / "out", Asked(version=version))


def test_a_pipeline_file_says_who_made_it_and_why(command, home, tmp_path):
    card = '[card]\ntitle = "A <title>: \\"x\\""\ndescription = "Why."\nmakers = ["Lan", "An"]\n'
    rest = f'name = "toy"\ncatalog = "c"\n[[corpora]]\nname = "studio"\nreader = "folder"\nroot = "{home / "studio"}"\n'
    (tmp_path / "p.toml").write_text(rest + card)
    assert command("publish", home / "catalog", "toy", tmp_path / "out", "--pipeline", tmp_path / "p.toml")[0] == 0
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert '# A \\<title\\>: "x"\n\nWhy.\n\nMade by Lan, An. Benchmark `toy`' in text
    told = json.loads((tmp_path / "out/croissant.json").read_text(encoding="utf-8"))
    assert ([one["name"] for one in told["creator"]], told["description"]) == (["Lan", "An"], "Why.")


def test_a_catalog_without_a_note_of_its_runs_needs_a_date(home, tmp_path):
    shutil.copytree(home / "catalog", tmp_path / "catalog")
    catalog = Catalog(tmp_path / "catalog")
    catalog.keep_only(RUNS, set())
    with pytest.raises(ExportError, match="no note of when it was made; expected `--date`"):
        publish_benchmark(catalog, "toy", tmp_path / "out", Asked())
    publish_benchmark(catalog, "toy", tmp_path / "out", Asked(published=date(2026, 1, 1)))
    assert "By which rules it was drawn is not known" in (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []
