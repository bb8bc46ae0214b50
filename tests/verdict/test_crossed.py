"""The error of means over trials × images against simulations and formulas for special cases."""

import numpy as np
import pytest
from scipy import stats

from rayred.verdict.crossed import Group, of_difference, of_mean, of_pairs


def group(results: np.ndarray) -> Group:
    return Group.of(results.mean(axis=1), results)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.mean(axis=0) * b.mean(axis=0)).mean())


def test_the_residual_is_that_of_a_two_way_analysis_of_variance():
    results = np.random.default_rng(0).random((4, 30)) < 0.7
    rest = results - results.mean(axis=0) - results.mean(axis=1, keepdims=True) + results.mean()
    assert group(results).residual(30) == pytest.approx((rest**2).sum() / (3 * 29))


def test_the_error_of_a_difference_is_that_of_new_trials_on_new_images():
    rng = np.random.default_rng(1)
    n, trials, images = 400, 4, 100_000
    hard = rng.random(images)
    right = {"full": hard < 0.85, "ours": np.roll(hard, 1) * 0.2 + hard * 0.8 < 0.8}
    differences, variances = [], []
    for _ in range(3000):
        drawn = rng.integers(0, images, n)
        a, b = (
            np.where(
                rng.random((trials, n)) < rng.normal(0.1, 0.04, (trials, 1)),
                ~one[drawn],
                one[drawn],
            )
            for one in (right["ours"], right["full"])
        )
        differences.append(a.mean() - b.mean())
        error = of_difference(group(a), group(b), agreement(a, b), n)
        variances.append(error.variance(trials, trials))
    assert np.mean(variances) == pytest.approx(np.var(differences), rel=0.15)


def test_one_trial_a_group_on_paired_images_is_agresti_and_mins_interval():
    a = np.array([[1] * 80 + [0] * 20] * 3, dtype=bool)
    b = np.array([[1] * 75 + [0] * 15 + [1] * 10] * 3, dtype=bool)  # 5 gained, 10 lost
    lost, gained, n = 10.5, 5.5, 102
    expected = (lost + gained - (lost - gained) ** 2 / n) / n**2
    found = of_difference(group(a), group(b), agreement(a, b), 100).variance(3, 3)
    assert found == pytest.approx(expected, rel=0.02)  # n - 1 for n


def test_trials_that_all_agree_leave_the_binomial_error():
    right = np.repeat([[True] * 90 + [False] * 10], 3, axis=0)
    mean = 92 / 104
    assert of_mean(group(right), 100).variance(3) == pytest.approx(mean * (1 - mean) / 103)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_error_is_zero(share):
    results = np.full((3, 50), share == 1.0)
    one = group(results)
    pairs = group(np.zeros((3, 50), dtype=np.int8))
    assert of_mean(one, 50).variance(3) > 0
    assert of_difference(one, one, share, 50).variance(3, 3) > 0
    assert of_pairs(pairs, one, one, 50).variance(3) > 0
    bare = Group.of(results.mean(axis=1))
    assert of_mean(bare, 50).variance(3) > 0
    assert of_difference(bare, bare, np.nan, 50).variance(3, 3) > 0


def test_without_results_per_image_the_error_is_at_least_as_large():
    rng = np.random.default_rng(2)
    hard = rng.random(500)
    for _ in range(20):
        a, b = (rng.normal(hard, 0.1, (4, 500)) < 0.8 for _ in range(2))
        kept = of_difference(group(a), group(b), agreement(a, b), 500).variance(4, 4)
        bare = of_difference(Group.of(a.mean(axis=1)), Group.of(b.mean(axis=1)), np.nan, 500)
        assert bare.variance(4, 4) > kept


def test_degrees_of_freedom_lie_between_welchs_and_those_of_all_trials():
    rng = np.random.default_rng(3)
    for _ in range(20):
        a, b = rng.random((3, 200)) < 0.8, rng.random((6, 200)) < 0.8
        welch = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False).df
        bare = of_difference(*(Group.of(x.mean(axis=1)) for x in (a, b)), np.nan, None)
        assert bare.freedom(3, 6) == pytest.approx(welch)
        error = of_difference(group(a), group(b), agreement(a, b), 200)
        assert 2 <= error.freedom(3, 6) <= 7
