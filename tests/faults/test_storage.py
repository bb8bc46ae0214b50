"""Storage at a URL with options, such as an S3 that is not Amazon's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import ray
from pyarrow import fs

from rayred.data import load_dataset
from rayred.files import joined
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Plan, Runner, run_trials
from rayred.training import Checkpoints
from rayred.training.on_ray import train_with_ray
from tests.training.examples import task


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        ("s3://b/x?endpoint_override=h:1&scheme=http", "s3://b/x/a?endpoint_override=h:1&scheme=http"),
        ("s3://b/x/?region=eu", "s3://b/x/a?region=eu"),
        ("gs://b", "gs://b/a"),
        ("/runs/what?", "/runs/what?/a"),
        ("/", "/a"),
    ],
)  # fmt: skip
def test_options_of_a_url_stay_at_its_end(place, inside):
    assert joined(place, "a") == inside


@pytest.fixture
def bucket() -> Iterator[tuple[str, str]]:
    """A folder of a bucket, and the options of its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    yield (
        "s3://nobody:nothing@checkpoints/rayred",
        f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        "&allow_bucket_creation=true",
    )
    server.stop()


@pytest.mark.usefixtures("cluster")
def test_checkpoints_trainings_and_trials_lie_below_the_folder_of_the_url(bucket):
    place, options = bucket
    one = Scaling()
    layout = Layout(one, one, one, one, 1, 1, 1, f"{place}?{options}").within("study-1")
    assert layout.storage == f"{place}/study-1?{options}"
    files, root = fs.FileSystem.from_uri(f"{place}?{options}")
    assert root == "checkpoints/rayred"
    files.create_dir("checkpoints")

    checkpoints = Checkpoints(layout.storage, "trial-1")
    checkpoints.save({"step": 3, "seconds": 1.0, "summed": 0, "pack": []})
    checkpoints.finish()
    assert Checkpoints(layout.storage, "trial-1").load()["step"] == 3

    data = ray.put(load_dataset("digits")), ray.put(np.arange(200))
    train_with_ray(task(checkpoint_steps=4), *data, one, layout.storage, "reference")

    def train(_: dict[str, Any], report: Any) -> None:
        report({"accuracy": 0.5})

    plan = Plan("trial", 1, {"x": 1}, lambda _: ["full-1.0-0"])
    (ended,) = run_trials(plan, train, Runner("sweep", layout))
    assert ended.reports[-1]["accuracy"] == 0.5

    made = files.get_file_info(fs.FileSelector(f"{root}/study-1", recursive=True))
    paths = {file.path.removeprefix(f"{root}/study-1/") for file in made if file.is_file}
    assert {"trial-1/training.pt", "reference/training.pt"} <= paths
    assert any(path.startswith("sweep/") for path in paths)
