"""Keys of results: digests of everything that decides a result, and of nothing else.

A result is found again by its key, so that nothing is made twice and nothing is mixed up. Each
function has a version, raised whenever the code makes another result of the same inputs.

>>> numerics = Numerics(device="cpu", workers=1, threads=2, pack=1)
>>> given = dict(dataset="d1", model="resnet8", subset="s1", seed=0, numerics=numerics)
>>> training(train={"lr": 0.1}, **given) == training(train={"lr": 0.1}, **given)
True
>>> training(train={"lr": 0.1}, **given) == training(train={"lr": 0.2}, **given)
False
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Values = Mapping[str, Any]
"""Settings by dotted key: None, booleans, numbers, text, and lists and mappings of them."""


@dataclass(frozen=True)
class Numerics:
    """Where and how a training computes, as far as its rounding depends on it."""

    device: Literal["cpu", "cuda"]
    workers: int
    threads: int
    """CPU threads of each worker."""
    pack: int | Literal["auto"]
    """Trainings in a process as one batched network, at most; auto: as many as fit."""


def training(
    *, dataset: str, model: str, train: Values, subset: str, seed: int, numerics: Numerics
) -> str:
    """Return the key of one training: of a reference, a trial or a candidate.

    Parameters
    ----------
    dataset
        Content digest of the data set.
    model
        Name of the network.
    train
        Settings of the training that decide its result, precision resolved.
    subset
        `array` of the rows trained on.
    seed
        Training seed.
    numerics
        Where and how it computes.
    """
    inputs = {"dataset": dataset, "model": model, "train": train, "subset": subset, "seed": seed}
    return digest("training", 4, {**inputs, "numerics": asdict(numerics)})


def followed(*, training: str) -> str:
    """Return the key of a training in which it is noted how each image is learned."""
    return digest("followed", 1, {"training": training})


def weights(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the digest of a trained network's weights by name."""
    return digest("weights", 1, {name: array(values) for name, values in arrays.items()})


def embeddings(
    *, dataset: str, model: str, weights: str, preprocessing: Values | None = None
) -> str:
    """Return the key of the embeddings of all training images by a trained network.

    Parameters
    ----------
    dataset
        Content digest of the data set.
    model
        Name of the network.
    weights
        Digest of its weights.
    preprocessing
        What decoded images go through, where their data set does not decide it.
    """
    inputs: dict[str, Any] = {"dataset": dataset, "model": model, "weights": weights}
    if preprocessing is not None:
        inputs["preprocessing"] = preprocessing
    return digest("embeddings", 4, inputs)


def trees(*, embeddings: str, linkage: Values, fraction: float) -> str:
    """Return the key of the trees of all classes, down to the smallest fraction wanted.

    Parameters
    ----------
    embeddings
        Digest of the embeddings' content, so that none are mixed up with others made again.
    linkage
        Settings of the linkage that decide trees.
    fraction
        The fraction.
    """
    return digest("trees", 3, {"embeddings": embeddings, "linkage": linkage, "fraction": fraction})


def mean_space(*, embeddings: Sequence[str]) -> str:
    """Return the key of the space of the mean distance, by the digests of all embeddings."""
    return digest("mean-space", 1, {"embeddings": list(embeddings)})


def overlap(*, embeddings: Sequence[str], trees: Sequence[str], fractions: Sequence[float]) -> str:
    """Return the key of how alike several references choose.

    Parameters
    ----------
    embeddings, trees
        Digests of the content of the embeddings and trees of each reference.
    fractions
        The fractions at which they are compared.
    """
    inputs = {"embeddings": list(embeddings), "trees": list(trees)}
    return digest("overlap", 1, {**inputs, "fractions": list(fractions)})


def subsets(
    *,
    trees: str,
    embeddings: str,
    scores: Mapping[str, str],
    fractions: Sequence[float],
    selectors: Sequence[str],
    trials: int,
    seed: int,
    given: str | None = None,
) -> str:
    """Return the key of all subsets of a sweep.

    Parameters
    ----------
    trees, embeddings, scores
        Digests of the content of the trees and embeddings, and of each score by name.
    fractions, selectors, trials, seed
        Settings of the sweep.
    given
        `array` of a subset that was chosen before, if there is one.
    """
    inputs: dict[str, Any] = {"trees": trees, "embeddings": embeddings, "scores": dict(scores)}
    if given is not None:
        inputs["given"] = given
    sweep = {"fractions": list(fractions), "selectors": list(selectors), "trials": trials}
    return digest("subsets", 3, {**inputs, **sweep, "seed": seed})


def candidate(*, training: str, linkage: Values, fraction: float, asha: bool) -> str:
    """Return the key of a candidate of a search.

    Parameters
    ----------
    training
        Key of its training on the images that are not held out.
    linkage
        Settings that decide its semantic subset; they count only where `fraction` is below 1.
    fraction
        Share of those images that it is judged by a training on.
    asha
        Whether it may have been stopped early.
    """
    inputs = {"training": training, "fraction": fraction, "asha": asha}
    return digest("candidate", 2, {**inputs, "linkage": linkage if fraction < 1 else None})


def search(*, start: str, space: Values, settings: Values) -> str:
    """Return the key of a whole search.

    Parameters
    ----------
    start
        `candidate` key of the settings that the candidates replace.
    space
        Spaces of the settings searched for.
    settings
        How they are searched for.
    """
    return digest("search", 2, {"start": start, "space": space, "settings": settings})


def study(*, dataset: str, settings: Values, given: str | None = None) -> str:
    """Return the key of a whole study, however many trials it has.

    Parameters
    ----------
    dataset
        Content digest of the data set.
    settings
        All settings that decide results.
    given
        `array` of a subset that was chosen before, if there is one.
    """
    inputs: dict[str, Any] = {"dataset": dataset, "settings": settings}
    if given is not None:
        inputs["given"] = given
    return digest("study", 1, inputs)


def report(*, study: str, name: str, parts: Values) -> str:
    """Return the key of the results, figures and page of a study.

    Parameters
    ----------
    study
        Key of the study.
    name
        Its name.
    parts
        Digests of the contents of what it reports on, by stage.
    """
    return digest("report", 2, {"study": study, "name": name, "parts": parts})


def scores(*, images: str, trees: str) -> str:
    """Return the key of the images' redundancy, by the digests of the images, named, and trees."""
    return digest("scores", 2, {"images": images, "trees": trees})


def exploration(*, space: str, trees: str) -> str:
    """Return the key of what the group browser knows, by the digests of the space and trees."""
    return digest("exploration", 1, {"space": space, "trees": trees})


def cut_trees(*, embeddings: str, labels: str, linkage: Values, cut: Values) -> str:
    """Return the key of the trees of all classes, down to a cut of a smaller data set.

    Parameters
    ----------
    embeddings
        Digest of the embeddings' content.
    labels
        `array` of the images' classes.
    linkage
        Settings of the linkage that decide trees.
    cut
        Values of the cut.
    """
    inputs = {"embeddings": embeddings, "labels": labels, "linkage": linkage, "cut": cut}
    return digest("cut-trees", 2, inputs)


def pruned(*, images: str, embeddings: str, trees: str, kept: str, choice: Values) -> str:
    """Return the key of a smaller data set, by the digests of what it is made of and its choice."""
    inputs = {"images": images, "embeddings": embeddings, "trees": trees, "kept": kept}
    return digest("pruned", 3, {**inputs, "choice": choice})


def nearest(*, x: str, others: str) -> str:
    """Return the key of the nearest other row of each row, by the digests of both embeddings."""
    return digest("nearest", 1, {"x": x, "others": others})


def pruned_page(*, pruned: str, dataset: str) -> str:
    """Return the key of the page of a smaller data set, by the key of that and its data set."""
    return digest("pruned-page", 2, {"pruned": pruned, "dataset": dataset})


def kept_rows(*, pruned: str, source: str) -> str:
    """Return the key of the rows that a smaller data set keeps of a table.

    Parameters
    ----------
    pruned
        Key of the smaller data set.
    source
        Stamp of the table: of its files with their sizes and times, as other columns count too.
    """
    return digest("kept-rows", 1, {"pruned": pruned, "source": source})


def check(*, splits: Mapping[str, str], x: str, limits: Values) -> str:
    """Return the key of a check for images that are there twice.

    Parameters
    ----------
    splits
        Digest of the images of each split, and of their names, by the split's name.
    x
        Digest of the embeddings that are compared; empty where thumbnails are.
    limits
        Up to where two images count as the same.
    """
    return digest("check", 1, {"splits": dict(splits), "x": x, "limits": limits})


def array(values: NDArray[Any]) -> str:
    """Return the digest of an array: of its type, shape and values."""
    whole = np.ascontiguousarray(values)
    found = hashlib.sha256(f"{whole.dtype.str} {whole.shape}\n".encode())
    found.update(whole.reshape(-1).view(np.uint8).data)  # without a copy: it may be a memory map
    return found.hexdigest()


def digest(kind: str, version: int, inputs: Values) -> str:
    """Return a key of 16 hexadecimal digits.

    Raises
    ------
    TypeError
        An input has no canonical form: it is no None, boolean, number, text, list or mapping.
    ValueError
        A number is not finite.
    """
    _check_canonical(inputs)
    text = json.dumps([kind, version, inputs], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_canonical(value: Any) -> None:
    if type(value) is dict:
        for name, inner in value.items():
            if type(name) is not str:
                raise TypeError(f"a key depends on a mapping with the key {name!r}, not text")
            _check_canonical(inner)
    elif type(value) in (list, tuple):
        for inner in value:
            _check_canonical(inner)
    elif type(value) not in (type(None), bool, int, float, str):
        raise TypeError(f"a key depends on {value!r} of type {type(value).__name__}: no such form")
