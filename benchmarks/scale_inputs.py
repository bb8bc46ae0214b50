"""What the formulas of `scale_model` take: constants with their sources, and three data sets.

Legend: N images, n images of one class, D embedding dimensions, P weights of the network.
Times are seconds, sizes bytes, rates a second.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32 = 4
"""Bytes of a number."""


def _here(what: str) -> Any:
    return field(metadata={"source": "measured: here, on a CPU", "what": what})


def _published(value: float, what: str, by: str) -> Any:
    return field(default=value, metadata={"source": f"published: {by}", "what": what})


def _assumed(value: float, what: str) -> Any:
    return field(default=value, metadata={"source": "assumed, not measured", "what": what})


DGX = "NVIDIA, DGX A100 640 GB data sheet"


@dataclass(frozen=True)
class Constants:
    """What the formulas multiply with, each with its source."""

    scan_image: float = _here("s of the head to look at an image once")
    scan_byte: float = _here("s of the head to digest an encoded byte")
    copy_byte: float = _here("s of a node to copy a Parquet byte into its Arrow files")
    open_file: float = _here("s to open the copy of one Parquet file again")
    decode_pixel: float = _here("s of one core to decode a pixel of a JPEG photograph")
    listed_bytes: float = _here("bytes an image of the data set in the object store, streamed")
    listed_second: float = _here("s an image to unpickle and drop that list in a process")
    listed_memory: float = _here("bytes an image that the list takes in a process")
    head_memory: float = _here("bytes an image on the head while it reads the data set")
    task: float = _here("s of a Ray task of the embedding pass beside its list and images")
    actor: float = _here("CPU s until a new process has imported torch")
    gather_byte: float = _here("s of the head to pick embeddings of a class from the memory map")
    check_byte: float = _here("s of the head to check a byte of the embeddings")
    put_byte: float = _here("s to put a byte into the object store")
    fetch_byte: float = _here("s to fetch a byte from another Ray node, over the loopback")
    class_: float = _here("s of one core a class to cluster, whatever its size")
    number: float = _here("s of one core a number of the embeddings to cluster (n D)")
    entry: float = _here("s of one core an entry of the product of all pairs (n² / 2)")
    flop: float = _here("s of one core a float32 operation of that product (n² (D + 2))")
    pair_number: float = _here("s of one core a near pair and dimension to measure (E D)")
    stages: float = _here("stages of a class of CIFAR-10's pixels, keeping 90 %")
    near_wanted: float = _here("rows near a row by the last merge, of the same")
    merge_row: float = _here("s of one core a row and window of merge rounds")
    centre_number: float = _here("s of one core a number and fraction to find what is kept")
    large_memory: float = _here("bytes a number on the head for a class spread over workers")
    tree_image: float = _here("s an image to save, load, cut and score the trees")
    mlflow_run: float = _here("s to log a trial to MLflow")

    train_images: float = _published(
        925.0,
        "training images/s of a GPU, 224 px, ResNet-101's size (ResNeXt101-32x4d, 7,399 on 8)",
        "NVIDIA DeepLearningExamples, DGX A100 80 GB, mixed precision, its own loader",
    )
    float32_flops: float = _published(19.5e12, "float32 operations/s of a GPU", "NVIDIA, A100")
    gpu_bandwidth: float = _published(2.0e12, "bytes/s of a GPU's memory", "NVIDIA, A100 80 GB")
    gpu_memory: float = _published(80e9, "bytes of a GPU", "NVIDIA, A100 80 GB")
    gpus_a_node: float = _published(8, "GPUs a node", DGX)
    cores_a_gpu: float = _published(16, "CPU cores a GPU", DGX)
    node_memory: float = _published(2e12, "bytes of memory a node", DGX)
    node_disk: float = _published(30e12, "bytes of disk a node", DGX)
    store_share: float = _published(0.3, "share of memory for the object store", "Ray's default")
    largest_object: float = _published(
        100 * 2.0**30, "bytes of the largest array fetched", "Ray, release/benchmarks"
    )
    most_actors: float = _published(10_000, "actors of a cluster", "Ray, release/benchmarks")
    float32_share: float = _assumed(0.5, "share of float32_flops that is reached")
    step_floor: float = _assumed(0.03, "s of a training step however few images (launches, sync)")
    entry_bytes: float = _assumed(10, "bytes of GPU memory that an entry of a product moves")
    gpu_number_bytes: float = _assumed(200, "bytes of GPU memory that n D moves, a number")
    gpu_class: float = _assumed(0.01, "s of a GPU a class to cluster, whatever its size")
    pcie: float = _assumed(20e9, "bytes/s from a node's memory to a GPU")
    activation: float = _assumed(0.13e9, "bytes of a GPU a training image (224 px, ResNet-101)")
    process_memory: float = _assumed(5e9, "bytes of a process with torch and CUDA")
    bucket: float = _assumed(1e9, "bytes/s from a bucket to a node")
    disk: float = _assumed(2e9, "bytes/s of the head's disk")
    report: float = _assumed(30.0, "s for the report and its browser, of 60,000 rows at most")
    study: float = _assumed(60.0, "s to start Ray, processes and MLflow")

    @classmethod
    def unmeasured(cls, **known: float) -> Constants:
        """Return constants of which those that are measured and not known are 0."""
        measured = {one.name: 0.0 for one in fields(cls) if one.default is MISSING}
        return cls(**(measured | known))


@dataclass(frozen=True)
class Network:
    """The reference model."""

    name: str
    parameters: int
    """P."""
    buffers: int
    """Running means and variances of its batch norms."""
    forward_flops: float
    """Operations to embed an image, two for a multiplication and an addition."""


@dataclass(frozen=True)
class Workload:
    """A study of a data set."""

    name: str
    sizes: NDArray[np.int64] = field(repr=False)
    """n of every class."""
    dimensions: int
    """D."""
    image_bytes: float
    """Bytes of an encoded image."""
    image_pixels: float
    network: Network
    fractions: tuple[float, ...]
    """Shares of every class that are kept; 1 is the full set."""
    selectors: int = 2
    trials: int = 5
    """Trainings of every fraction and selector; none if there is nothing to train for."""
    steps: int = 0
    batch: int = 1024
    test_images: int = 0
    file_bytes: float = 500e6
    """Bytes of a Parquet file."""

    @property
    def images(self) -> int:
        """N."""
        return int(self.sizes.sum())

    @property
    def encoded(self) -> float:
        """Bytes of all encoded images."""
        return (self.images + self.test_images) * self.image_bytes

    @property
    def embedding_bytes(self) -> int:
        """Bytes of all embeddings."""
        return self.images * self.dimensions * FLOAT32

    @property
    def smaller(self) -> int:
        """Number of fractions below 1."""
        return sum(fraction < 1 for fraction in self.fractions)

    def trainings(self) -> int:
        """Return the number of trials: the full set once a repetition, the others a selector."""
        full = len(self.fractions) - self.smaller
        return self.trials * (full + self.smaller * self.selectors)


def uneven(images: int, classes: int, largest: int) -> NDArray[np.int64]:
    """Return class sizes that fall from the largest by a power, to about a number of images."""
    power = largest * classes / images - 1
    rank = (np.arange(classes) + 0.5) / classes
    return np.maximum(1, largest * (1 - rank) ** power).round().astype(np.int64)


RESNET101 = Network("ResNet-101", 44_549_160, 105_344, 2 * 7.8e9)
PAPER = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
WORKLOADS = (
    Workload(
        "ImageNet-1k",
        np.full(1_000, 1_281),
        2_048,
        110e3,
        500 * 375,
        RESNET101,
        PAPER,
        steps=120_000,
        test_images=50_000,
    ),
    Workload(
        "ImageNet-21k",
        uneven(14_197_122, 21_841, 3_047),
        2_048,
        110e3,
        500 * 375,
        replace(RESNET101, parameters=RESNET101.parameters + 20_841 * 2_049),
        PAPER,
        steps=1_330_000,  # the epochs of the paper's 120,000 steps on ImageNet-1k
        test_images=500_000,
    ),
    Workload(
        "100 M images without labels",
        np.array([100_000_000]),
        2_048,
        100e3,
        500 * 375,
        RESNET101,
        (0.9,),
        trials=0,
    ),
)
