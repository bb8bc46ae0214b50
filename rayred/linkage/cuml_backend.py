"""Single-linkage trees by RAPIDS cuML on a GPU.

cuML and CuPy can be imported on a machine without a GPU, where only their use fails; so
`check_cuml` uses them.

Legend: N rows, n rows clustered, D dimensions, M merges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.linkage.rows import as_unit_rows
from rayred.linkage.tree import Tree, check_n_clusters


def check_cuml() -> None:
    """Check that cuML works in this process.

    Raises
    ------
    RuntimeError
        There is no GPU, or cuML or CuPy cannot be used; the message says what to install.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no GPU, and cuML needs one")
    try:
        import cuml  # noqa: F401 - only to see whether it can be imported
        import cupy

        cupy.arange(2).sum().item()
    except Exception as error:
        raise RuntimeError(
            f"cuML does not work here ({type(error).__name__}: {error}); {rapids_install()}"
        ) from error


def rapids_install() -> str:
    """Return the command that installs RAPIDS for the CUDA version that torch was built for."""
    import torch

    extra = "rapids-cu12" if str(torch.version.cuda).startswith("12") else "rapids"
    return f"pip install 'rayred[{extra}]' (for CUDA {torch.version.cuda}, as torch's is)"


def cuml_tree(
    x: NDArray[np.generic], n_clusters: int, rows: NDArray[np.int64] | None = None
) -> Tree:
    """Return the single-linkage tree of rows under cosine distance, computed on the GPU.

    Parameters
    ----------
    x
        (N, D) real numbers.
    n_clusters
        The smallest number of clusters that the tree will be cut into, 1 to n.
    rows
        (n,) the rows to cluster; all of them by default.

    Raises
    ------
    ValueError
        `x` is not a matrix of finite real numbers, one of the rows is all zero, or `n_clusters` is
        not 1 to n.
    """
    import cupy
    from cuml.cluster import AgglomerativeClustering

    unit_ND = as_unit_rows(x, rows)
    n_rows = len(unit_ND)
    check_n_clusters(n_clusters, 1, n_rows)
    if n_clusters == n_rows:
        return Tree(n_rows, np.empty((0, 2), np.int64), np.empty(0))
    model = AgglomerativeClustering(
        n_clusters=1,
        metric="cosine",
        linkage="single",
        connectivity="pairwise",
        output_type="numpy",
    )
    model.fit(cupy.asarray(unit_ND, dtype=cupy.float32))
    children = np.asarray(model.children_).astype(np.int64)[: n_rows - n_clusters]
    heights = _merge_heights(cupy.asarray(unit_ND), children)
    # cuML orders merges by float32 distances. Where the float64 heights of two merges disagree with
    # that order, the merges keep it and the lower height is raised to the one before.
    return Tree(n_rows, np.sort(children, axis=1), np.maximum.accumulate(heights))


def _merge_heights(unit_ND: Any, children: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the height of each merge, (M,), which cuML does not give.

    It is the smallest distance between a row of one cluster and a row of the other. Over all merges
    that measures every pair of rows at most once.
    """
    import cupy

    n_rows = len(unit_ND)
    members: dict[int, Any] = {}
    heights = cupy.empty(len(children), dtype=cupy.float64)
    for merge, (a, b) in enumerate(children.tolist()):
        one, other = (
            members.pop(node) if node >= n_rows else cupy.asarray([node]) for node in (a, b)
        )
        closest = (unit_ND[one] @ unit_ND[other].T).argmax()
        i, j = one[closest // len(other)], other[closest % len(other)]
        heights[merge] = cupy.square(unit_ND[i] - unit_ND[j]).sum() / 2
        members[n_rows + merge] = cupy.concatenate([one, other])
    result: NDArray[np.float64] = cupy.asnumpy(heights)
    return result
