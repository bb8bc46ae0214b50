"""More, fewer or other than foreseen: splits in a listing, ports."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from rayred.config import Data
from rayred.data import Dataset, load_train_split
from rayred.data.dataset import write_left_out
from tests.conftest import rayred_here
from tests.data.examples import write_images


def test_what_is_left_out_of_the_only_split_is_listed_once(tmp_path: Path):
    write_images(tmp_path / "pets" / "cat", 4, size=(8, 8))
    (tmp_path / "pets" / "cat" / "2.png").write_bytes(b"no image")
    data = Data(undecodable="skip", root=str(tmp_path / "root"))
    images = load_train_split(f"folder:{tmp_path / 'pets'}", data)
    whole = Dataset("pets", images, images)  # as prune has it
    write_left_out(tmp_path / "left-out.csv", whole.splits())
    with (tmp_path / "left-out.csv").open() as file:
        assert [(row["split"], row["row"]) for row in csv.DictReader(file)] == [("train", "2")]
    assert [notice for notice in whole.notices() if "left out" in notice] == [
        "left out of the train split: image that cannot be decoded (1)"
    ]
    assert np.array_equal(images.rows, [0, 1, 3])


@pytest.mark.parametrize("port", ["0", "-1", "65536", "70000", "80.5", "http", "", "٣"])
def test_ports_that_there_are_not_are_refused(tmp_path, port):
    done = rayred_here("ui", tmp_path, f"--port={port}")
    assert done.returncode == 2
    assert f"argument --port: {port}: expected a port from 1 to 65535" in done.stderr
