import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayred.config import Data
from rayred.data import load_dataset
from rayred.errors import DataError


def encoded(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_rows(path: Path, values: list[int], names: list[str] | None = None, **columns: object):
    image = [{"bytes": encoded(value), "path": f"{value}.png"} for value in values]
    table = pa.table({"image": image, "label": [value % 2 for value in values], **columns})
    if names is not None:
        features = {"info": {"features": {"label": {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)


def load(folder: Path):
    return load_dataset(f"parquet:{folder}/train-*.parquet", Data(test=f"parquet:{folder}/test*"))


def test_rows_of_all_files_in_order_of_name(tmp_path):
    write_rows(tmp_path / "train-1.parquet", [2, 3], ["even", "odd"])
    write_rows(tmp_path / "train-0.parquet", [0, 1], ["even", "odd"])
    write_rows(tmp_path / "test.parquet", [8, 9], ["even", "odd"])
    dataset = load(tmp_path)
    assert dataset.train.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert dataset.train.names[2] == "2.png"
    assert dataset.classes == ("even", "odd")


def test_classes_without_names_are_numbered(tmp_path):
    write_rows(tmp_path / "train-0.parquet", [0, 1])
    write_rows(tmp_path / "test.parquet", [8, 9])
    assert load(tmp_path).classes == ("0", "1")


def test_no_file_matches(tmp_path):
    with pytest.raises(DataError, match="no file matches"):
        load(tmp_path)


def test_missing_column_is_named(tmp_path):
    pq.write_table(pa.table({"image": [{"bytes": b""}]}), tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="label"):
        load(tmp_path)


def test_undecodable_row_is_named(tmp_path):
    table = pa.table({"image": [{"bytes": b"none", "path": "broken.png"}], "label": [0]})
    pq.write_table(table, tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match=r"broken\.png"):
        load(tmp_path)


def test_label_beyond_the_class_names(tmp_path):
    write_rows(tmp_path / "train-0.parquet", [0, 1], ["only one"])
    with pytest.raises(DataError, match="labels run from 0 to 1, but there are 1 class names"):
        load(tmp_path)
