"""A recipe as a user asks for it: by name, by a file, with settings on top; whatever is wrong is one line."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import TrainingError
from models.training.schedules import Constant, Step
from models.training.systems import SYSTEMS, in_toml, module_of, recipe_of, recipes

NAMES = sorted(recipes())


def test_recipes_are_found_by_name_and_none_twice():
    published = [recipe for system in SYSTEMS for recipe in module_of(system).RECIPES]
    assert len(recipes()) == len(published)
    assert all(recipe_of(name) == recipes()[name] for name in NAMES)
    assert all(recipe.system in SYSTEMS for recipe in published)


def test_settings_lie_on_top_of_the_published_one():
    found = recipe_of(
        "mtml-eta-0.3",
        ["epochs=3", "batches.speakers = 16", "batches.crop_s=[1, 2.5]", "settings.eta=0.5", "precision=bfloat16"],
    )
    published = recipes()["mtml-eta-0.3"]
    assert found == dataclasses.replace(
        published,
        epochs=3,
        batches=dataclasses.replace(published.batches, speakers=16, crop_s=(1.0, 2.5)),
        settings=published.settings | {"eta": 0.5},
        precision="bfloat16",
    )


def test_the_last_of_two_settings_counts_and_none_unsets():
    assert recipe_of("mtml-resnet", ["epochs=3", "epochs=4"]).epochs == 4
    assert recipe_of("mtml-resnet", ["clip_norm=3.0", "patience=2"]).clip_norm == 3.0
    assert recipe_of("mtml-resnet", ["clip_norm=3.0", "clip_norm=none"]).clip_norm is None


@pytest.mark.parametrize("order", [1, -1])
def test_a_schedule_of_another_kind_takes_the_rate_alone_from_the_one_before(order):
    told = ["schedule.schedule=constant", "schedule.rate=0.1"][::order]
    assert recipe_of("vietsv-ap-sgd", told).schedule == Constant(rate=0.1)
    told = ["schedule.schedule=step", "schedule.rate=0.1"][::order]
    assert recipe_of("vietsv-ap-sgd", told).schedule == Step(rate=0.1, factor=0.75, num_epochs=50)
    told = ["schedule.schedule=constant", "schedule.schedule=plateau"][::order]
    kept = recipe_of("w2v2-asr-ls", told).schedule
    assert (kept.schedule, kept.rate) == (told[1].partition("=")[2], 3e-5)


def file(folder, text):
    (folder / "mine.toml").write_text(text, encoding="utf-8")
    return str(folder / "mine.toml")


def test_a_file_changes_what_it_says(tmp_path):
    name = file(
        tmp_path,
        'base = "vietsv-ap-sgd"\nname = "mine"\nsource = "lạ"\n[batches]\nspeakers = 20\n'
        '[schedule]\nschedule = "constant"\nrate = 0.01\n[settings.network]\ndimension = 64\n',
    )
    published = recipes()["vietsv-ap-sgd"]
    expected = dataclasses.replace(
        published,
        name="mine",
        source="lạ",
        batches=dataclasses.replace(published.batches, speakers=20),
        schedule=Constant(rate=0.01),
        settings=published.settings | {"network": published.settings["network"] | {"dimension": 64}},
    )
    assert recipe_of(name) == expected
    assert recipe_of(name, ["batches.speakers=7"]).batches.speakers == 7, "settings lie on top of a file"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_described_can_be_copied_into_a_file_and_into_settings(tmp_path, name):
    text = in_toml(name)
    assert recipe_of(file(tmp_path, text)) == recipes()[name]
    settings = [line for line in text.splitlines()[1:] if not line.startswith("#")]
    assert recipe_of(name, settings) == recipes()[name]
    unset = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]
    assert recipe_of(name, unset) == recipes()[name]


@given(
    st.integers(1, 10**6),
    st.none() | st.floats(1e-6, 1e6),
    st.floats(0, 1),
    st.lists(st.sampled_from([0.9, 1.1, 1.25]), unique=True),
)
def test_any_recipe_comes_back_from_its_description(tmp_path_factory, epochs, clip_norm, eta, speeds):
    published = recipes()["mtml-tdnn"]
    mine = dataclasses.replace(
        published,
        epochs=epochs,
        clip_norm=clip_norm,
        settings=published.settings | {"eta": eta},
        augmentation=dataclasses.replace(published.augmentation, speeds=(1.0, *speeds) if speeds else ()),
    )
    settings = [
        f"epochs={epochs}",
        f"clip_norm={'none' if clip_norm is None else clip_norm}",
        f"settings.eta={eta}",
        f"augmentation.speeds={[1.0, *speeds] if speeds else []}",
    ]
    assert recipe_of("mtml-tdnn", settings) == mine
    assert recipe_of(file(tmp_path_factory.mktemp("any"), in_toml("mtml-tdnn", settings))) == mine


WRONG = [
    ("mtml", [], r"^mtml: no recipe; expected one of .*mtml-eta-1.*, or a file of yours \(\.toml\)$"),
    ("mtml-tdnn", ["epochs"], r"^--set epochs: expected KEY=VALUE, such as epochs=10$"),
    ("mtml-tdnn", ["=5"], r"^--set =5: no key ''"),
    ("mtml-tdnn", ["speakers=5"], r"^--set speakers=5: no key 'speakers'; expected one of name, system"),
    ("mtml-tdnn", ["batches.people=5"], r"^--set batches\.people=5: no key 'people'; expected one of speakers, "),
    ("mtml-tdnn", ["batches=5"], r"batches: Input should be an object; it has 5$"),
    ("mtml-tdnn", ["epochs.x=5"], r"epochs: Input should be a valid integer"),
    ("mtml-tdnn", ["epochs=0"], r"^mtml-tdnn: epochs: .* greater than or equal to 1; it has 0$"),
    ("mtml-tdnn", ["epochs=ten"], r"^mtml-tdnn: epochs: .* valid integer; it has 'ten'$"),
    ("mtml-tdnn", ["epochs=1.5"], r"epochs: .* valid integer"),
    ("mtml-tdnn", ["epochs=true"], r"epochs: .* valid integer"),
    ("mtml-tdnn", ["epochs="], r"^--set epochs=: expected a value of TOML"),
    ("mtml-tdnn", ["epochs=[1"], r"^--set epochs=\[1: expected a value of TOML"),
    ("mtml-tdnn", ["clip_norm=inf"], r"clip_norm: .* finite number; it has inf$"),
    ("mtml-tdnn", ["clip_norm=nan"], r"clip_norm: .* finite number; it has nan$"),
    ("mtml-tdnn", ["batches.crop_s=[2.0]"], r"batches\.crop_s\.1: Field required"),
    ("mtml-tdnn", ["batches.crop_s=[0.0, 1.0]"], r"batches\.crop_s\.0: .* greater than 0"),
    ("mtml-tdnn", ["schedule.schedule=cosine"], r"schedule: .*'cosine'.*'constant'"),
    ("mtml-tdnn", ["schedule.schedule=constant"], r"schedule\.constant\.rate: Field required"),
    ("mtml-tdnn", ["schedule.rate=0.1"], r"schedule\.exponential\.rate: Unexpected keyword"),
    ("mtml-tdnn", ["system=transformer"], r"system 'transformer'; expected one of age_adversarial, "),
    ("mtml-tdnn", ["name=../x"], r"name: .* match pattern"),
    ("mtml-tdnn", ["seed=18446744073709551616"], r"seed: Input should be less than "),
    ("mtml-tdnn", ["optimizer.momentum=0.9"], r"momentum 0\.9 with adam, which has its own; expected 0, or sgd"),
    ("mtml-tdnn", ["batches.hard=2"], r"batches: .*passes 40 with hard 2; expected 1"),
    ("mtml-tdnn", ["precision=float16"], r"precision: .*'bfloat16'; it has 'float16'$"),
]


@pytest.mark.parametrize(("name", "settings", "said"), WRONG)
def test_settings_that_are_none_are_told_in_one_line(name, settings, said):
    with pytest.raises(TrainingError, match=said) as told:
        recipe_of(name, settings)
    assert "\n" not in str(told.value)


WRONG_FILES = [
    ("base = ", r"mine\.toml: cannot be read \(Invalid value.*; expected a recipe in TOML$"),
    ("epochs = 3", r"mine\.toml: no `base`; expected the name of a recipe"),
    ("base = 3", r"mine\.toml: no `base`"),
    ('base = "mine.toml"', r"^mine\.toml: no recipe"),
    ('base = "mtml-tdnn"\nspeed = 3', r"mine\.toml: no key 'speed'; expected one of"),
    ('base = "mtml-tdnn"\nepochs = "many"', r"mine\.toml: epochs: .* valid integer; it has 'many'$"),
]


@pytest.mark.parametrize(("text", "said"), WRONG_FILES)
def test_files_that_are_no_recipe_are_told_in_one_line(tmp_path, text, said):
    with pytest.raises(TrainingError, match=said) as told:
        recipe_of(file(tmp_path, text))
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(TrainingError, match=r"mine\.toml: cannot be read \(No such file or directory\)"):
        recipe_of(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_bytes(b"\xff")
    with pytest.raises(TrainingError, match=r"mine\.toml: cannot be read \('utf-8' codec"):
        recipe_of(str(tmp_path / "mine.toml"))


def test_a_folder_of_noise_is_a_path_again(tmp_path):
    settings = [f"augmentation.noise_folder={tmp_path}", "augmentation.noise_probability=0.5"]
    assert recipe_of("mtml-tdnn", settings).augmentation.noise_folder == tmp_path
    again = recipe_of(file(tmp_path, in_toml("mtml-tdnn", settings)))
    assert again == recipe_of("mtml-tdnn", settings)
    assert again.plain()["augmentation"]["noise_folder"] == str(tmp_path), "as JSON can hold it"
