"""`curate build`: every protocol from corpora in the real layouts to its tables, its card, its lists and its audit."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from benchmarks.protocol import load_protocol, names
from curate.catalog import Catalog, rows_of
from curate.config import load_pipeline
from curate.errors import PipelineError, VoxcurateError
from curate.query import ask
from curate.schema import IDENTITIES, LEAKS, MODELS, REMOVALS, RESULTS, SOUND_PRINTS, SPLITS, TRIALS, UTTERANCES
from flows.building import PARTS
from flows.cli import app
from flows.reading import require_own_catalog
from tests.flows.protocols_made import BUILT_FROM, IN_BOTH, MADE, decide, publish_identities, write

MINE = """
name = "mine"
version = 1
title = "A design of mine"
paper = "Me: nothing yet"
description = "Half of the people | <b>are</b> the test."
seed = 1

[[sources]]
name = "all"
readers = ["zaloai"]

[[splits]]
name = "test"
sources = ["all"]
num = 6
sex_balanced = true

[[splits]]
name = "train"
sources = ["all"]

[[trials]]
name = "easy"
split = "test"
targets = {}
nontargets = {}
"""
SECOND_LIST = """
[[trials]]
name = "hard"
split = "test"
targets = {}
nontargets = { same = ["sex"] }
"""


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory) -> dict[str, Catalog]:
    """Catalogs from which this file builds, by what is in them."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MADE.items()}


@pytest.fixture
def copy_of(catalogs, tmp_path):
    """A copy of one of them from which nothing is built, to be changed."""

    def copied(name: str) -> Catalog:
        shutil.copytree(catalogs[name].root, tmp_path / name)
        catalog = Catalog(tmp_path / name)
        for table in PARTS:
            catalog.keep_only(table, set())
        shutil.rmtree(catalog.root / "benchmarks", ignore_errors=True)
        return catalog

    return copied


def invoke(*words) -> str:
    told = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.stdout


def build(catalog: Catalog, name: str | Path, *more) -> str:
    return invoke("build", name, "-c", catalog.root, *more)


def lists_for(catalogs, name: str) -> list[str]:
    return ["--list", f"voxceleb1-sitw={catalogs['western'].root.parent / 'overlap.txt'}"] * (name == "sitw")


def written(catalog: Catalog, name: str) -> dict[str, bytes]:
    """All that a build publishes and writes, but for when."""
    files = [catalog.path(table, name) for table in PARTS]
    files += [file for file in (catalog.root / "benchmarks" / name).rglob("*") if file.is_file()]
    return {
        str(file.relative_to(catalog.root)): file.read_bytes() for file in [*files, catalog.root / "catalog.duckdb"]
    }


def card_of(catalog: Catalog, name: str) -> str:
    return (catalog.root / "benchmarks" / name / "README.md").read_text(encoding="utf-8")


def row_under(text: str, heading: str, first: str) -> list[str]:
    """The cells of the row that begins so, below a heading of the card."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n##", 1)[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def fault(*words) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(result.exception, VoxcurateError), result.output
    (line,) = str(result.exception).splitlines()
    return line


# ---------------------------------------------------------------------------------------------------- every protocol


def test_every_protocol_is_built_here():
    assert sorted(BUILT_FROM) == names()


@pytest.mark.parametrize("name", sorted(BUILT_FROM))
def test_a_protocol_is_built_with_its_card_and_stands_its_audit(name, catalogs):
    catalog, protocol = catalogs[BUILT_FROM[name]], load_protocol(name)
    told = build(catalog, name, *lists_for(catalogs, name))
    assert told.endswith(f"its card: {catalog.root}/benchmarks/{name}/README.md\n")
    card = card_of(catalog, name)
    splits, trials = catalog.read(SPLITS, name), catalog.read(TRIALS, name)
    counted = (
        "select split, count(*), count(distinct identity_id), sum(duration_s) / 3600 "
        f"from splits join utterances using (utterance_id) where benchmark = '{name}' group by 1"
    )
    _, rows = ask(catalog, counted)
    assert {split for split, *_ in rows} <= {split.name for split in protocol.splits}
    for split, num, people, hours in rows:
        cells = row_under(card, "Splits", split)
        assert (cells[1], cells[3], float(cells[7])) == (str(num), str(people), pytest.approx(hours, abs=0.0051))
    _, rows = ask(
        catalog,
        "select list, count(*) filter (is_target), count(*) filter (not is_target) from trials "
        f"where benchmark = '{name}' group by 1",
    )
    folder = catalog.root / "benchmarks" / name
    assert {file.stem for file in folder.glob("lists/*")} == {one for one, *_ in rows}
    for one, num_targets, num_nontargets in rows:
        assert row_under(card, "Lists of trials", f"[{one}](lists/{one}.txt)")[2:4] == [
            str(num_targets),
            str(num_nontargets),
        ]
        lines = (folder / "lists" / f"{one}.txt").read_text(encoding="utf-8").splitlines()
        assert sorted(line[:2] for line in lines) == ["0 "] * num_nontargets + ["1 "] * num_targets
    assert set(trials["test_id"].to_pylist()) <= set(splits["utterance_id"].to_pylist())
    for text in (protocol.paper, *protocol.differences):
        assert " ".join(text.split()) in card
    assert "Nothing that the protocol does not allow was found on two sides." in card
    against = [word for one in lists_for(catalogs, name)[1:] for word in ("--against", f"train={one.split('=')[1]}")]
    audited = invoke("audit", "leakage", "-c", catalog.root, "--benchmark", name, *against)
    assert "Nothing leaks that should not." in audited


@pytest.mark.parametrize("name", sorted(BUILT_FROM))
def test_a_protocol_built_twice_gives_the_same_bytes_and_is_then_left_alone(name, catalogs, copy_of):
    one, other, lists = copy_of(BUILT_FROM[name]), catalogs[BUILT_FROM[name]], lists_for(catalogs, name)
    build(one, name, *lists)
    build(other, name, *lists)
    before = written(one, name)
    mine, theirs = (
        {file: text for file, text in some.items() if "duckdb" not in file} for some in (before, written(other, name))
    )
    assert mine == theirs
    assert build(one, name, *lists).startswith(f"{name}: nothing to do; its card: ")
    assert written(one, name) == before


# ------------------------------------------------------------------------------------------------- what goes into one


def test_lists_of_publishers_are_what_they_published(catalogs):
    catalog = catalogs["western"]
    build(catalog, "libri-vox")
    published = (catalog.root.parent / "vox" / "veri_test2.txt").read_text(encoding="utf-8").split()
    pairs = {tuple(published[at : at + 3]) for at in range(0, len(published), 3)}
    text = (catalog.root / "benchmarks/libri-vox/lists/vox1-o.txt").read_text(encoding="utf-8")
    found = {tuple(line.split()) for line in text.splitlines()}
    assert {(key, *(side.removesuffix(".wav") for side in sides)) for key, *sides in found} == {
        (key, *(f"vox/{side.removesuffix('.wav')}" for side in sides)) for key, *sides in pairs
    }


def test_a_list_by_other_names_and_a_voice_that_nobody_knew_take_people_out_of_training(catalogs):
    catalog = catalogs["western"]
    build(catalog, "sitw", *lists_for(catalogs, "sitw"))
    people = set(catalog.read(SPLITS, "sitw").filter(pc.field("split") == "train")["identity_id"].to_pylist())
    assert not people & {"vox/id10004", "vox/id10006", *IN_BOTH}
    assert {"vox/id10005", "vox/id00016"} <= people
    removals = catalog.read(REMOVALS, "sitw").filter(pc.field("part") == "train").to_pylist()
    by_list, by_voice = [row for row in removals if row["rule"].startswith("nobody")]
    assert "voxceleb1-sitw" in by_list["rule"]
    assert (by_list["num_removed"], by_voice["num_removed"]) == (4, 2)  # each person has two utterances
    models = (catalog.root / "benchmarks/sitw/models/eval-core-core.txt").read_text(encoding="utf-8").splitlines()
    assert models[0] == "sitw/eval/enroll-core/10000 sitw/eval/audio/e000e.flac"
    assert len(models) == len(catalog.read(MODELS, "sitw").filter(pc.starts_with(pc.field("model_id"), "sitw/eval")))


def test_whom_a_reviewer_keeps_apart_stays_in_training_and_does_not_leak(catalogs, copy_of):
    catalog, (one, other) = copy_of("western"), next(iter(IN_BOTH.items()))
    decide(catalog, "pair", [one], "keep", other)
    build(catalog, "sitw", *lists_for(catalogs, "sitw"))
    people = set(catalog.read(SPLITS, "sitw").filter(pc.field("split") == "train")["identity_id"].to_pylist())
    assert one in people
    assert not catalog.read(LEAKS, "sitw").filter((pc.field("check") == "voice") & (pc.field("num_shared") > 0))


def test_verdicts_are_kept_to_and_a_benchmark_that_they_outdate_is_told(copy_of):
    catalog = copy_of("vietnamese")
    build(catalog, "vietsv")
    assert "no longer what" not in invoke("status", "-c", catalog.root)
    rows = catalog.read(UTTERANCES).filter(pc.field("corpus") == "zalo").sort_by("utterance_id")
    ids, labels = rows["utterance_id"].to_pylist(), rows["speaker_id"].to_pylist()
    moved = next(one for one, label in zip(ids, labels, strict=True) if label != labels[0])
    decide(catalog, "utterance", [moved], "relabel", labels[0])
    person_of = {one: one for one in catalog.read(IDENTITIES)["speaker_id"].to_pylist()}
    publish_identities(catalog, person_of | {"vlsp/spk000f": "vivos/VIVOSDEV01"})
    line = "vietsv: no longer what `curate build` would make of this catalog; run it again"
    assert invoke("status", "-c", catalog.root).splitlines()[-1] == line
    assert "nothing to do" not in build(catalog, "vietsv")
    assert line not in invoke("status", "-c", catalog.root)
    splits = {row["utterance_id"]: row for row in catalog.read(SPLITS, "vietsv").to_pylist()}
    assert splits[moved]["identity_id"] == labels[0]
    assert splits[moved]["split"] == splits[ids[0]]["split"]
    assert not any(one.startswith("vlsp/train/spk000f") and row["split"] == "train" for one, row in splits.items())
    decide(catalog, "utterance", [moved], "drop")
    build(catalog, "vietsv")
    assert set(splits) - set(catalog.read(SPLITS, "vietsv")["utterance_id"].to_pylist()) == {moved}


def test_what_leaks_is_on_the_card_and_fails_the_audit(copy_of):
    catalog = copy_of("vietnamese")
    prints = catalog.read(SOUND_PRINTS)
    samples = prints["samples_sha256"].to_pylist()
    place = {one: at for at, one in enumerate(prints["utterance_id"].to_pylist())}
    samples[place["vlsp/train/spk001m_0000"]] = samples[place["vivos/test/waves/VIVOSDEV01/VIVOSDEV01_R001"]]
    at = prints.column_names.index("samples_sha256")
    catalog.publish(SOUND_PRINTS, prints.set_column(at, "samples_sha256", [samples]), part="ge2e", fingerprint="copied")
    assert "1 thing shared that the protocol does not allow" in build(catalog, "vietsv")
    card = card_of(catalog, "vietsv")
    assert "**1 thing that the protocol does not allow is shared.**" in card
    assert "| the same samples | test | train | 1 | 1 | 1 | **not allowed** |" in card
    told = CliRunner().invoke(app, ["audit", "leakage", "-c", str(catalog.root), "--benchmark", "vietsv"])
    assert told.exit_code == 1
    leaks = catalog.read(LEAKS, "vietsv").filter(pc.field("num_shared") > 0).to_pylist()
    assert [(row["check"], row["is_allowed"]) for row in leaks] == [("samples", False)]


def test_results_stand_beside_the_figures_of_the_paper(copy_of):
    catalog = copy_of("vietnamese")
    build(catalog, "vietsv")
    assert "Nothing was scored here yet" in card_of(catalog, "vietsv")
    row = {"benchmark": "vietsv", "list": "test", "system": "ours", "num_target": 5, "num_nontarget": 7}
    row |= {"metric": "eer", "value": 0.031, "lower": 0.02, "upper": 0.04, "conventions": "ties move together"}
    rows = [row | {"subset": "all"}, row | {"subset": "sex = female", "value": 0.9}]
    catalog.publish(RESULTS, rows_of(RESULTS, rows), part="vietsv--test--ours", fingerprint="scored")
    assert "nothing to do" in build(catalog, "vietsv")
    card = card_of(catalog, "vietsv")
    assert "| test | eer | ours | 3.10 % | 2.00 % to 4.00 % | 5 | 7 | here |" in card
    assert "| test | eer | ResNet-34 pretrained | 14.95 % |  |  |  | the paper, table 3 |" in card
    assert "- eer: ties move together" in card
    assert "90.00 %" not in card
    assert "Nothing was scored here yet" not in card


def test_a_protocol_of_mine_is_built_and_a_list_that_it_has_no_more_is_taken_away(copy_of, tmp_path):
    catalog, file = copy_of("vietnamese"), tmp_path / "mine.toml"
    file.write_text(MINE + SECOND_LIST, encoding="utf-8")
    build(catalog, file)
    lists = catalog.root / "benchmarks" / "mine" / "lists"
    assert {one.name for one in lists.iterdir()} == {"easy.txt", "hard.txt"}
    before = written(catalog, "mine")
    file.write_text(MINE, encoding="utf-8")
    build(catalog, file)
    assert {one.name for one in lists.iterdir()} == {"easy.txt"}
    assert before["benchmarks/mine/lists/easy.txt"] == (lists / "easy.txt").read_bytes()
    _, rows = ask(catalog, "select count(*), count(distinct split) from splits where benchmark = 'mine'")
    assert rows == [(46 * 4, 2)]


def test_the_closing_line_tells_targets_and_nontargets_and_which_list_has_no_target(copy_of, tmp_path):
    catalog, file = copy_of("vietnamese"), tmp_path / "mine.toml"
    without = SECOND_LIST.replace("\ntargets = {}", '\ntargets = { different = ["sex"] }')
    file.write_text(MINE + without, encoding="utf-8")
    told = build(catalog, file)
    is_target = catalog.read(TRIALS, "mine")["is_target"].to_pylist()
    counts = f"{sum(is_target)} targets and {len(is_target) - sum(is_target)} nontargets in 2 lists"
    assert f" in 2 splits, {counts}; hard: 0 targets; 0 things shared" in told
    assert " splits, no list of trials; 0 things shared" in build(copy_of("korean"), "aihub-age")


# ------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("words", [["build"], ["build", "--names"]])
def test_the_protocols_are_listed_with_their_titles(words):
    told = invoke(*words)
    assert all(name in told and load_protocol(name).title in told for name in names())


def test_a_protocol_is_described_without_a_catalog(tmp_path):
    told = invoke("build", "vietsv", "--describe", "-c", tmp_path / "none")
    assert "VietSV: Vietnamese speaker verification" in told
    assert "40" in told
    assert not (tmp_path / "none").exists()


def test_neither_describing_nor_building_loads_torch_or_prefect(copy_of):
    catalog = copy_of("korean")
    script = (
        "import sys\nfrom flows.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as done:\n    assert not done.code\n"
        "print(sorted({'torch', 'prefect', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    for words in (["--describe"], ["-c", catalog.root]):
        command = [sys.executable, "-c", script, "build", "aihub-age", *map(str, words)]
        told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        assert told.stdout.splitlines()[-1] == "[]"


# --------------------------------------------------------------------------------------------------------- bad input


def test_bad_input_is_one_line_that_says_what_was_expected(copy_of, tmp_path):
    catalog = copy_of("western")
    place = ["-c", catalog.root]
    assert fault("build", "vietsv", "-c", tmp_path / "none") == (
        f"{tmp_path / 'none'}: no catalog is there; expected a catalog that `curate run` has filled"
    )
    assert not (tmp_path / "none").exists()
    assert fault("build", "vietsv", *place) == (
        f"{catalog.root}: no corpus for the source 'zaloai' of 'vietsv'; expected one read by zaloai; it has libri "
        "(librispeech), sitw (sitw), vox (voxceleb)"
    )
    assert fault("build", "viet-sv", *place).startswith("'viet-sv': no such protocol; expected one of aihub-age, ")
    assert fault("build", "sitw", *place) == (
        "sitw: the list 'voxceleb1-sitw' is not given; expected `--list voxceleb1-sitw=FILE`, a speaker, session or "
        "file a line (it can be had at https://www.openslr.org/resources/49/voxceleb1_sitw_overlap.txt)"
    )
    assert fault("build", "libri-vox", *place, "--list", "sitw=x.txt") == (
        "--list sitw: the protocol 'libri-vox' asks for no such list; expected none"
    )
    lists = ["--list", f"voxceleb1-sitw={tmp_path / 'overlap.txt'}"]
    assert fault("build", "sitw", *place, *lists).startswith(f"{tmp_path / 'overlap.txt'}: No such file")
    write(tmp_path / "overlap.txt", ["Somebody_Else"])
    told = fault("build", "sitw", *place, *lists)
    assert "'voxceleb1-sitw' matches nothing" in told
    assert "'Somebody_Else'" in told
    for words in (["--list", "overlap.txt"], [*lists, *lists]):
        result = CliRunner().invoke(app, ["build", "sitw", *map(str, [*place, *words])])
        assert result.exit_code == 2
        assert "expected NAME=FILE" in result.output or "given twice" in result.output
    with catalog.locked():
        assert fault("build", "libri-vox", *place).endswith(" is writing it; expected to be the only one")
    assert catalog.parts(SPLITS) == []


def test_the_catalog_beside_is_taken_where_none_is_named(copy_of, monkeypatch):
    catalog = copy_of("korean")
    shutil.move(catalog.root, catalog.root.with_name("catalog"))
    monkeypatch.chdir(catalog.root.parent)
    assert invoke("build", "aihub-age").endswith("its card: catalog/benchmarks/aihub-age/README.md\n")
    assert "aihub-age" in invoke("status")


def test_a_fault_in_a_process_of_its_own_is_one_line_and_exit_code_1(curate, tmp_path):
    told = curate("build", "vietsv", "-c", tmp_path / "none")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.splitlines() == [
        f"curate: {tmp_path / 'none'}: no catalog is there; expected a catalog that `curate run` has filled"
    ]


def test_names_of_a_pipeline_and_of_what_is_built_do_not_meet(copy_of, tmp_path):
    catalog = copy_of("korean")
    (tmp_path / "aihub.toml").write_text(
        f'name = "aihub-age"\ncatalog = "korean"\n[[corpora]]\nname = "a"\nreader = "folder"\nroot = "{tmp_path}"\n'
        "[splits]\nnum_test_speakers = 2\n",
        encoding="utf-8",
    )
    pipeline = load_pipeline(tmp_path / "aihub.toml")
    splits = {"benchmark": "aihub-age", "utterance_id": "u", "identity_id": "i", "split": "test"}
    catalog.publish(SPLITS, rows_of(SPLITS, [splits]), part="aihub-age", fingerprint="by the pipeline")
    assert fault("build", "aihub-age", "-c", catalog.root) == (
        f"{catalog.root}: the benchmark 'aihub-age' is that of its pipeline file; expected another `name` in either"
    )
    catalog.keep_only(SPLITS, set())
    build(catalog, "aihub-age")
    with pytest.raises(PipelineError, match="filled by the pipeline 'made'; expected its file, or another `catalog`"):
        require_own_catalog(pipeline, catalog)
    made = load_pipeline(_same(catalog, tmp_path, name="made"))
    require_own_catalog(made, catalog)
    shutil.rmtree(catalog.root / "runs")
    with pytest.raises(PipelineError, match="`curate build` has made a benchmark 'aihub-age' there; expected another"):
        require_own_catalog(pipeline, catalog)


def _same(catalog: Catalog, folder: Path, *, name: str) -> Path:
    file = folder / f"{name}.toml"
    corpus = '[[corpora]]\nname = "a"\nreader = "folder"\nroot = "."\n'
    file.write_text(f'name = "{name}"\ncatalog = "{catalog.root}"\n{corpus}', encoding="utf-8")
    return file
