"""Single linkage by RAPIDS cuML on a GPU; CuPy arrays from the rows to the representatives.

cuML and CuPy import without a GPU and fail on first use only, so `check_cuml` uses them.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.linkage.rows import as_unit_rows, check_n_clusters
from rayred.linkage.tree import Tree


def check_cuml() -> None:
    """See that cuML works in this process.

    Raises
    ------
    RuntimeError
        It does not; the message says what to install.
    """
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no GPU, and cuML needs one")
    try:
        import cuml  # noqa: F401 - to see whether it is there
        import cupy

        cupy.arange(2).sum().item()
    except Exception as error:
        raise RuntimeError(
            f"cuML does not work here ({type(error).__name__}: {error}); {rapids_install()}"
        ) from error


def rapids_install() -> str:
    """Return how to install RAPIDS for the CUDA version that torch was built for."""
    import torch

    extra = "rapids-cu12" if str(torch.version.cuda).startswith("12") else "rapids"
    return f"pip install 'rayred[{extra}]' (for CUDA {torch.version.cuda}, as torch's is)"


def cuml_tree(x: NDArray[np.generic], n_clusters: int) -> Tree:
    """Return the single-linkage tree down to `n_clusters` clusters, computed on the GPU.

    Parameters
    ----------
    x
        (N, D) real numbers.
    n_clusters
        1 to N.

    Raises
    ------
    ValueError
        `x` or `n_clusters` cannot be used.
    """
    import cupy
    from cuml.cluster import AgglomerativeClustering

    unit_ND = as_unit_rows(x)
    n_rows = len(unit_ND)
    check_n_clusters(n_clusters, n_rows)
    if n_clusters == n_rows:
        return Tree(n_rows, np.empty((0, 2), np.int64), np.empty(0, np.float32))
    model = AgglomerativeClustering(
        n_clusters=1,
        metric="cosine",
        linkage="single",
        connectivity="pairwise",
        output_type="numpy",
    )
    model.fit(cupy.asarray(unit_ND, dtype=cupy.float32))
    children = np.asarray(model.children_).astype(np.int64)[: n_rows - n_clusters]
    heights = _heights(cupy.asarray(unit_ND), children)
    # Where float32 swapped merges of nearly one height, they stay as cuML ordered them.
    return Tree(n_rows, np.sort(children, axis=1), np.maximum.accumulate(heights))


def _heights(unit_ND: Any, children: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the distance at which each merge happens, which cuML does not give.

    It is the smallest distance between the rows of the two clusters; over all merges that is one
    product of all rows, cut into blocks.
    """
    import cupy

    n_rows = len(unit_ND)
    members: dict[int, Any] = {}
    heights = cupy.empty(len(children), dtype=cupy.float32)
    for merge, (a, b) in enumerate(children.tolist()):
        one, other = (
            members.pop(node) if node >= n_rows else cupy.asarray([node]) for node in (a, b)
        )
        closest = (unit_ND[one] @ unit_ND[other].T).argmax()
        i, j = one[closest // len(other)], other[closest % len(other)]
        heights[merge] = cupy.square(unit_ND[i] - unit_ND[j]).sum() / 2
        members[n_rows + merge] = cupy.concatenate([one, other])
    result: NDArray[np.float32] = cupy.asnumpy(heights)
    return result
