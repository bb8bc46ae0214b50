"""The plan of a sweep."""

from rayred.config import Sweep
from rayred.sweep.plan import make_packs, plan_trials


def test_plan_has_the_full_set_once_a_repetition_and_pairs_by_seed():
    plan = plan_trials(Sweep(fractions=[0.5, 1.0, 0.9], trials=2), seed=0)
    assert [trial.name for trial in plan[:5]] == [
        "full-1.0-0",
        "semantic-0.9-0",
        "random-0.9-0",
        "semantic-0.5-0",
        "random-0.5-0",
    ]
    assert len(plan) == 10
    assert len({trial.seed for trial in plan[:5]}) == 1
    assert plan[0].seed != plan[5].seed
    assert plan[1].subset == "semantic-0.9"
    assert plan[7].subset == "random-0.9-1"


def test_packs_take_trials_of_one_cell_and_one_of_every_cell_first():
    plan = plan_trials(Sweep(fractions=[1.0, 0.5], selectors=["random"], trials=5), 0)
    packs = make_packs(plan, 2)
    assert [[trial.name for trial in pack] for pack in packs] == [
        ["full-1.0-0", "full-1.0-1"],
        ["random-0.5-0", "random-0.5-1"],
        ["full-1.0-2", "full-1.0-3"],
        ["random-0.5-2", "random-0.5-3"],
        ["full-1.0-4"],
        ["random-0.5-4"],
    ]
    assert make_packs(plan, 1) == [[trial] for trial in plan]
