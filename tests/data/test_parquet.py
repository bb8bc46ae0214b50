import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayred.config import Data
from rayred.data import load_dataset
from rayred.data.decode import ImageFiles
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


@pytest.fixture
def written(tmp_path):
    write_rows(tmp_path / "train-0.parquet", [0, 1, 10, 11], ["even", "odd"])
    write_rows(tmp_path / "train-1.parquet", [2, 3], ["even", "odd"])
    write_rows(tmp_path / "test.parquet", [8, 9], ["even", "odd"])
    return tmp_path


def streamed(pattern: str, test: str, root: Path, **changes: object):
    data = Data(test=f"parquet:{test}", root=str(root), image_size=4, load="stream", **changes)
    return load_dataset(f"parquet:{pattern}", data)


def test_streamed_rows_are_those_in_memory(written, tmp_path):
    root = tmp_path / "root"
    dataset = streamed(f"{written}/train-*", f"{written}/test*", root)
    whole = load(written)
    images = dataset.train.images
    assert isinstance(images, ImageFiles)
    every = np.arange(6)
    assert (images[every] == whole.train.images).all()
    assert (images[np.array([5, 0, 2])] == whole.train.images[[5, 0, 2]]).all()
    assert (dataset.train.part(4, 6).images[np.arange(2)] == whole.train.images[4:]).all()
    taken = dataset.train.take(np.array([3, 1]))
    assert (taken.images[np.arange(2)] == whole.train.images[[3, 1]]).all()
    assert dataset.train.names == whole.train.names
    assert (dataset.train.labels == whole.train.labels).all()
    elsewhere = pickle.loads(pickle.dumps(images))
    assert (elsewhere[every] == whole.train.images).all()
    unpacked = [path for path in (root / "unpacked").iterdir() if path.suffix == ".arrow"]
    assert len(unpacked) == 2
    assert images.source.name(4) == f"{written}/train-1.parquet row 0"


def test_streamed_files_that_change_are_another_data_set(written, tmp_path):
    arguments = f"{written}/train-*", f"{written}/test*", tmp_path / "root"
    before = streamed(*arguments)
    assert streamed(*arguments).digest == before.digest
    write_rows(written / "train-1.parquet", [4, 5, 6], ["even", "odd"])
    after = streamed(*arguments)
    assert after.digest != before.digest
    assert after.train.images[np.array([6])].max() == 6


def test_a_streamed_row_that_cannot_be_decoded_is_named_or_left_out(written, tmp_path):
    image = [{"bytes": encoded(0), "path": "a"}, {"bytes": b"none", "path": "b"}]
    pq.write_table(pa.table({"image": image, "label": [0, 1]}), written / "train-2.parquet")
    arguments = f"{written}/train-*", f"{written}/test*", tmp_path / "root"
    broken = streamed(*arguments).train
    with pytest.raises(DataError, match=r"train-2\.parquet row 1: cannot decode"):
        broken.images[np.array([7])]
    skipping = streamed(*arguments, undecodable="skip").train
    assert len(skipping) == 7
    assert "train-2.parquet row 1" in skipping.skipped[0]


def test_files_in_a_bucket(written, tmp_path, monkeypatch):
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        options = (
            f"endpoint_override=127.0.0.1:{server.get_host_and_port()[1]}&scheme=http"
            "&region=us-east-1&allow_bucket_creation=true"
        )
        bucket, root = fs.FileSystem.from_uri(f"s3://images/digits?{options}")
        bucket.create_dir("images")
        for path in written.glob("*.parquet"):
            table = pq.read_table(path)
            pq.write_table(table, f"{root}/{path.name}", filesystem=bucket)
        train, test = (f"s3://images/digits/{name}?{options}" for name in ("train-*", "test*"))
        dataset = streamed(train, test, tmp_path / "root")
        assert (dataset.train.images[np.arange(6)] == load(written).train.images).all()
        in_memory = load_dataset(f"parquet:{train}", Data(test=f"parquet:{test}"))
        assert (in_memory.train.images == load(written).train.images).all()
        with pytest.raises(DataError, match="no file matches"):
            load_dataset(f"parquet:{train.replace('train', 'none')}", Data(test=f"parquet:{test}"))
        gone = train.replace("images/", "nowhere/")
        with pytest.raises(DataError, match="nowhere"):
            load_dataset(f"parquet:{gone}", Data(test=f"parquet:{test}"))
    finally:
        server.stop()
