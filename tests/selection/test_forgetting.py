import numpy as np

from rayred.selection import Candidates
from rayred.selection.forgetting import select_forgetting


def candidates(events):
    labels = np.arange(len(events)) % 2
    return Candidates(labels, np.ones((len(events), 1)), scores={"forgetting": np.array(events)})


def test_the_most_forgotten_are_kept_and_first_those_never_learned():
    some = candidates([3.0, 0.0, np.inf, 9.0, 1.0, 2.0, 0.0, np.inf])
    rng = np.random.default_rng(0)
    assert select_forgetting(some, 0.5, rng).tolist() == [0, 2, 3, 7]


def test_of_images_forgotten_equally_often_some_are_drawn_at_random():
    events = [0.0] * 20 + [1.0] * 10
    kept = np.zeros(30)
    for seed in range(1000):
        kept[select_forgetting(candidates(events), 0.65, np.random.default_rng(seed))] += 1
    assert (kept[20:] == 1000).all()
    # 20 of 30 are kept (10 of each class of 15), so half of the unforgettable ones. Six standard
    # deviations of a binomial share.
    assert np.abs(kept[:20] / 1000 - 0.5).max() < 6 * np.sqrt(0.25 / 1000)
