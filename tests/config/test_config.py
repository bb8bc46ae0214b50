import re
from pathlib import Path

import pytest
import yaml

from rayred.config import Experiment
from rayred.config.file import dump_experiment, load_experiment, parse_experiment
from rayred.errors import ConfigError

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def parse(**settings: object) -> Experiment:
    return parse_experiment({"dataset": "digits", **settings}, "study.yaml")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid_and_named_after_their_file(path):
    assert load_experiment(path).name == path.stem


def test_written_out_experiment_reads_as_the_same(tmp_path):
    experiment = parse(name="1e5", train={"recipe": "paper", "steps": 50}, sweep={"trials": 7})
    (tmp_path / "config.yaml").write_text(dump_experiment(experiment))
    assert load_experiment(tmp_path / "config.yaml") == experiment


@pytest.mark.parametrize("text", ["5e-4", "5E-4", "+.5e-3", "5.e-04", "0.0005", "5.0e-4"])
def test_numbers_may_be_written_with_exponents(tmp_path, text):
    path = tmp_path / "study.yaml"
    rates = f"train: {{lr: {text}}}\nsweep: {{train.lr: [1e-3, {text}]}}\n"
    path.write_text(f"dataset: digits\n{rates}")
    experiment = load_experiment(path, [f"train.weight_decay={text}"])
    assert experiment.train.lr == experiment.train.weight_decay == 5e-4
    assert experiment.sweep.space == {"train.lr": [1e-3, 5e-4]}
    path.write_text(dump_experiment(experiment))
    assert load_experiment(path) == experiment


def test_only_the_data_set_has_no_default():
    assert parse().name == "digits"
    with pytest.raises(ConfigError, match=r"study.yaml: dataset: missing"):
        parse_experiment({}, "study.yaml")


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("folder:/data/my pets/", "my-pets"), ("cifar10", "cifar10")],
)
def test_a_study_is_named_after_its_data_set(dataset, name):
    assert parse_experiment({"dataset": dataset}, "x").name == name


def test_recipe_fills_in_what_is_not_given():
    assert parse(train={"recipe": "paper", "steps": 2000}).train.warmup_steps == 50
    assert parse(train={"recipe": "paper", "steps": 2000.0}).train.warmup_steps == 50
    assert parse(train={"recipe": "paper", "nesterov": True}).train.nesterov
    assert not parse(train={"recipe": "paper"}).train.nesterov


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_protocol_is_the_papers(name):
    experiment = load_experiment(EXPERIMENTS[0].parent / f"{name}.yaml")
    train = experiment.train
    assert (experiment.dataset, experiment.model) == (name, "resnet32")
    assert (train.steps, train.batch_size, train.lr, train.warmup_steps) == (1e5, 128, 0.1, 2500)
    assert (train.momentum, train.nesterov, train.weight_decay) == (0.9, False, 1e-4)
    assert train.augment.model_dump() == {"crop": "pad", "pad": 4, "flip": True}
    assert (experiment.sweep.trials, experiment.linkage.method) == (10, "complete")


def test_imagenet_protocol_is_the_papers():
    experiment = load_experiment(EXPERIMENTS[0].parent / "imagenet.yaml")
    train = experiment.train
    assert (experiment.dataset, experiment.model) == ("imagenet", "resnet101")
    assert (train.steps, train.batch_size, train.lr, train.warmup_steps) == (
        120_000,
        1024,
        0.4,
        5000,
    )
    assert (train.momentum, train.nesterov, train.weight_decay) == (0.9, True, 1e-4)
    assert (train.augment.crop, train.augment.flip) == ("resized", True)
    assert (experiment.sweep.trials, experiment.linkage.method) == (5, "complete")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modle": "resnet8"}, "modle: unknown key; did you mean 'model'?"),
        ({"train": {"step": 5}}, "train.step: unknown key; did you mean 'steps'?"),
        ({"train": {"steps": "many"}}, "train.steps: 'many'"),
        ({"train": {"steps": 0}}, "train.steps: 0"),
        ({"train": {"steps": "600"}}, "train.steps: '600'"),
        ({"train": {"steps": True}}, "train.steps: True: expected a number"),
        ({"train": {"lr": float("nan")}}, "train.lr: nan"),
        ({"train": 3}, "train: 3"),
        ({"dataset": "cifar11"}, "dataset: 'cifar11': unknown data set; did you mean 'cifar10'?"),
        ({"dataset": 7}, "dataset: 7"),
        ({"model": "resnet9"}, "model: 'resnet9': not known; did you mean 'resnet"),
        ({"sweep": {"fractions": [1.0, 0.0]}}, "sweep.fractions[1]: 0.0: expected a fraction in"),
        ({"sweep": {"fractions": [1.2]}}, "sweep.fractions[0]: 1.2: expected a fraction in (0, 1]"),
        ({"sweep": {"fractions": []}}, "sweep.fractions: []"),
        ({"sweep": {"fractions": [0.5, 0.5]}}, "the same value is listed twice"),
        (
            {"sweep": {"fractionz": [0.5]}},
            "sweep.fractionz: unknown key; did you mean 'fractions'?",
        ),
        ({"sweep": {"train.lrr": [0.5]}}, "sweep.train.lrr: unknown key; did you mean 'train.lr'?"),
        ({"sweep": {"seed": [1, 2]}}, "sweep.seed: a search goes by accuracy on held-out"),
        ({"sweep": {"data": {"image_size": [8, 9]}}}, "--set data.image_size=VALUE --out DIR"),
        (
            {"sweep": {"linkage.method": ["single"], "fractions": [1.0]}},
            "sweep.linkage.method: is searched for by trainings on the smallest semantic subset",
        ),
        ({"sweep": {"train.lr": [0.1, -1]}}, "sweep.train.lr: -1: Input should be greater than 0"),
        (
            {"sweep": {"train.lr": 0.1}},
            "train.lr: 0.1: expected a list of values or a search space",
        ),
        ({"sweep": {"train.lr": {"loguniform": [0, 1]}}}, "two ascending numbers above 0"),
        ({"sweep": {"train.lr": {"quniform": [0, 1]}}}, "each a multiple of the step"),
        ({"sweep": {"train.lr": {"quniform": [0.05, 1, 0.1]}}}, "each a multiple of the step"),
        ({"sweep": {"train.steps": {"quniform": [100, 200, 0.5]}}}, "should be a valid integer"),
        ({"sweep": {"train.steps": {"randint": [1.5, 9.5]}}}, "two ascending whole numbers"),
        ({"sweep": {"train.lr": {"loguniform": ["a", "b"]}}}, "two ascending numbers above 0"),
        (
            {"sweep": {"train.lr": [0.1, 0.1]}},
            "sweep.train.lr: [0.1, 0.1]: the same value is listed",
        ),
        ({"sweep": {"trails": 3}}, "sweep.trails: unknown key; did you mean 'trials'?"),
        ({"sweep": {"train.checkpoint_steps": [1]}}, "decide results; run a study for each value"),
        (
            {"sweep": {"linkage.method": ["single"], "selectors": ["random"]}},
            "needs semantic in sweep.selectors",
        ),
        (
            {
                "sweep": {"train.batch_size": {"randint": [2, 65]}},
                "resources": {"workers": 3},
            },
            "train.batch_size 2 is less than resources.workers 3",
        ),
        (
            {
                "sweep": {
                    "train.lr": {"qloguniform": [0.1, 1, 0.1]},
                    "search": {"method": "optuna"},
                }
            },
            "has no qloguniform",
        ),
        ({"sweep": {"train.steps": {"uniform": [1, 9]}}}, "should be a valid integer"),
        ({"sweep": {"model": ["resnet9"]}}, "sweep.model: 'resnet9'"),
        (
            {"sweep": {"train.lr": {"uniform": [0.1, 1]}, "search": {"method": "grid"}}},
            "search.method grid: train.lr is no list",
        ),
        (
            {"sweep": {"search": {"asha": True}}, "resources": {"workers": 2}},
            "sweep.search.asha needs resources.workers: 1",
        ),
        (
            {"sweep": {"selectors": ["semantik"]}},
            "sweep.selectors[0]: 'semantik': not known; did you mean 'semantic'?"
            " Allowed: semantic, random",
        ),
        (
            {"train": {"batch_size": 4}, "resources": {"workers": 5}},
            "train.batch_size 4 is less than resources.workers 5: every worker needs an image",
        ),
        ({"train": {"steps": 5, "warmup_steps": 9}}, "warmup_steps is 9"),
        ({"dataset": "parquet:x*.parquet"}, "a parquet: data set needs its test split"),
        ({"data": {"test": "x"}}, "data.test is for folder:, parquet: and hf: data sets"),
        ({"data": {"background": "wite"}}, "data.background: 'wite': expected a colour"),
        ({"data": {"memory_gb": 0}}, "expected 'auto' or a number above 0"),
        ({"resources": {"concurrent_trials": 0}}, "expected 'auto' or a whole number"),
        ({"resources": {"workers": 2, "min_workers": 3}}, "is 3, but there are only 2 workers"),
        ({"name": "a/b"}, "name: 'a/b'"),
        ({"seed": -1}, "seed: -1"),
    ],
)
def test_bad_settings_are_named_with_what_is_allowed(settings, message):
    with pytest.raises(ConfigError) as raised:
        parse(**settings)
    assert str(raised.value).startswith("study.yaml: ")
    assert message in str(raised.value)


def test_every_bad_setting_is_reported_at_once():
    with pytest.raises(ConfigError) as raised:
        parse(modle="x", train={"steps": -1})
    assert str(raised.value).count("study.yaml: ") == 2


def test_set_replaces_single_settings(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("dataset: digits\ntrain: {steps: 100}\n")
    experiment = load_experiment(path, ["train.lr=0.5", "sweep.fractions=[1.0, 0.25]"])
    assert (experiment.train.steps, experiment.train.lr) == (100, 0.5)
    assert experiment.sweep.fractions == [1.0, 0.25]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lr", "expected key.path=value"),
        ("dataset.x=1", "'dataset' is a value, not a group"),
        ("train.lr=[", "not valid YAML"),
        ("train.lrr=1", "train.lrr: unknown key; did you mean 'lr'?"),
    ],
)
def test_bad_overrides(tmp_path, override, message):
    path = tmp_path / "study.yaml"
    path.write_text("dataset: digits\n")
    with pytest.raises(ConfigError) as raised:
        load_experiment(path, [override])
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["- a list", "{unclosed", "dataset: !!python/object:os.system x"])
def test_files_that_are_no_experiment(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"study\.yaml"):
        load_experiment(path)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        parse().train.steps = 3
    assert yaml.safe_load(dump_experiment(parse()))["train"]["steps"] == 600


def test_values_that_fit_together_can_be_searched_for_together():
    sweep = {"model": ["fastnet", "fastnet-small"], "train.optimizer": ["muon", "sgd"]}
    parse_experiment({"dataset": "cifar10", "sweep": sweep}, "file.yaml")
    both = {"linkage.method": ["single", "complete"], "linkage.backend": ["cuml", "auto"]}
    experiment = parse_experiment({"dataset": "cifar10", "sweep": both}, "file.yaml")
    used = {(linkage.method, linkage.backend) for linkage in experiment.linkages()}
    assert used == {("single", "cuml"), ("single", "auto"), ("complete", "auto")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"selection": {"average": True}},
            "selection.average: the mean is over several references; set selection.references to 2",
        ),
        ({"selection": {"references": 11}}, "selection.references: "),
        ({"selection": {"references": 0}}, "selection.references: "),
        (
            {"selection": {"references": 2}, "sweep": {"fractions": [1.0]}},
            "selection.references: 2 references are compared by the subsets that each chooses;"
            " sweep.fractions needs one below 1",
        ),
    ],
)
def test_references_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(**settings)


def test_there_is_one_reference_unless_more_are_asked_for():
    assert parse().selection.references == 1
    assert parse(selection={"references": 3, "average": True}).selection.average
