"""The cuML back end: with NumPy and SciPy in place of CuPy and cuML, and on a GPU with those."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from rayred.linkage import linkage_trees, representatives
from rayred.linkage.closest import representatives_on_gpu
from rayred.linkage.cuml_backend import check_cuml, cuml_tree
from rayred.linkage.scipy_backend import scipy_tree


class SingleLinkage:
    """The part of cuml.cluster.AgglomerativeClustering that is used, computed by SciPy."""

    def __init__(self, n_clusters, *, metric, linkage, connectivity, output_type):
        assert (n_clusters, metric, linkage, connectivity) == (1, "cosine", "single", "pairwise")
        assert output_type == "numpy"

    def fit(self, x):
        assert x.dtype == np.float32
        merges = linkage(pdist(x.astype(float), "cosine"), "single")
        self.children_ = merges[:, :2].astype(np.int32)


@pytest.fixture(params=["stand-in", "real"])
def rapids(request, monkeypatch):
    if request.param == "real":
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
        return pytest.importorskip("cuml")
    cupy = ModuleType("cupy")
    cupy.__dict__.update(np.__dict__, asnumpy=np.asarray)
    modules = {"cupy": cupy}
    for name, entries in {
        "cuml": {},
        "cuml.cluster": {"AgglomerativeClustering": SingleLinkage},
        "cupyx": {},
        "cupyx.scipy": {},
        "cupyx.scipy.sparse": {"coo_matrix": scipy.sparse.coo_matrix},
    }.items():
        modules[name] = ModuleType(name)
        modules[name].__dict__.update(entries)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return modules["cuml"]


@pytest.mark.usefixtures("rapids")
@pytest.mark.parametrize(("n", "k"), [(2, 1), (60, 1), (200, 120), (30, 30), (1, 1)])
def test_tree_is_scipys(n, k):
    x = np.random.default_rng(n).normal(size=(n, 12)).astype(np.float32)
    tree, expected = cuml_tree(x, k), scipy_tree(x, k, "single")
    assert tree.n_clusters == k
    np.testing.assert_allclose(tree.heights, expected.heights, rtol=1e-5)
    for cut in {k, (k + n) // 2, n}:
        assert np.array_equal(tree.labels(cut), expected.labels(cut))


@pytest.mark.usefixtures("rapids")
def test_representatives_are_those_of_the_cpu():
    x = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    x[200:] = x[:100]
    labels = scipy_tree(x, 80, "complete").labels(80)
    chosen = representatives_on_gpu(x, labels)
    assert chosen.dtype == np.int64
    assert np.array_equal(chosen, representatives(x, labels))


@pytest.mark.usefixtures("rapids")
def test_linkage_trees_use_it_class_by_class():
    x = np.random.default_rng(1).normal(size=(90, 6)).astype(np.float32)
    groups = [np.arange(0, 50), np.arange(50, 90)]
    trees = list(linkage_trees(x, groups, [20, 10], method="single", backend="cuml"))
    assert [tree.n_clusters for tree in trees] == [20, 10]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_check_fails_without_a_gpu():
    with pytest.raises(RuntimeError, match="torch finds no GPU"):
        check_cuml()
