"""Parquet files as they are found: columns, labels of every type, class names, and their images."""

import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayred.data import EncodedImages
from rayred.errors import DataError
from tests.data.examples import encoded, pixels, structs, values, write_parquet

LOADS = pytest.mark.parametrize("how", ["memory", "stream"])


@LOADS
def test_rows_of_all_files_in_order_of_name(tmp_path, load, how):
    write_parquet(tmp_path / "train-1.parquet", structs(2, 3), [0, 1], ["even", "odd"])
    write_parquet(tmp_path / "train-0.parquet", structs(0, 1), [0, 1], ["even", "odd"])
    write_parquet(tmp_path / "test.parquet", structs(8, 9), [0, 1], ["even", "odd"])
    test = f"parquet:{tmp_path}/test*"
    dataset = load.dataset(f"parquet:{tmp_path}/train-*.parquet", test=test, load=how)
    assert values(dataset.train) == [0, 1, 2, 3]
    assert values(dataset.test) == [8, 9]
    assert dataset.train.names[2] == "2.png"
    assert dataset.train.rows.tolist() == [0, 1, 2, 3]
    assert dataset.classes == ("even", "odd")


@LOADS
def test_class_names_are_matched_by_name_in_all_files_and_splits(tmp_path, load, how):
    write_parquet(tmp_path / "a-0.parquet", structs(1, 2), [0, 1], ["cat", "dog"])
    write_parquet(tmp_path / "a-1.parquet", structs(3, 4, 5), [0, 1, 2], ["dog", "eel", "cat"])
    write_parquet(tmp_path / "b.parquet", structs(6, 7, 8), [0, 1, 2], ["eel", "dog", "cat"])
    test = f"parquet:{tmp_path}/b.parquet"
    dataset = load.dataset(f"parquet:{tmp_path}/a-*.parquet", test=test, load=how)
    for split in dataset.splits().values():
        named = [dataset.classes[label] for label in split.labels]
        wanted = {1: "cat", 2: "dog", 3: "dog", 4: "eel", 5: "cat", 6: "eel", 7: "dog", 8: "cat"}
        assert named == [wanted[value] for value in values(split)]


def test_files_with_and_without_class_names_do_not_go_together(tmp_path, load):
    write_parquet(tmp_path / "a-0.parquet", structs(1, 2), [0, 1])
    write_parquet(tmp_path / "a-1.parquet", structs(3, 4), [0, 1], ["cat", "dog"])
    with pytest.raises(DataError, match=r"a-0\.parquet: has labels without class names, .*a-1"):
        load.train(f"parquet:{tmp_path}/a-*.parquet")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pa.array([5, 2, 5]), ("2", "5")),
        (pa.array([10**8, 0, 10**8]), ("0", "100000000")),
        (pa.array([2**63, 0, 2**63], pa.uint64()), ("0", "9223372036854775808")),
        (pa.array([1, 0, 1], pa.int8()), ("0", "1")),
        (pa.array(["dog", "cat", "dog"]), ("cat", "dog")),
        (pa.array(["dog", "cat", "dog"], pa.large_string()), ("cat", "dog")),
        (pa.array(["dog", "cat", "dog"]).dictionary_encode(), ("cat", "dog")),
        (pa.array([7, 3, 7]).dictionary_encode(), ("3", "7")),
        (pa.array([True, False, True]), ("false", "true")),
    ],
)
def test_labels_of_every_type(tmp_path, load, labels, classes):
    write_parquet(tmp_path / "a.parquet", structs(1, 2, 3), labels)
    train = load.train(f"parquet:{tmp_path}/a.parquet")
    assert train.classes == classes
    assert train.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("labels", [pa.array([0.0, 1.0]), pa.array([[0], [1]])])
def test_labels_of_no_use(tmp_path, load, labels):
    write_parquet(tmp_path / "a.parquet", structs(1, 2), labels)
    with pytest.raises(DataError, match="has no column of labels; expected integers, text"):
        load.train(f"parquet:{tmp_path}/a.parquet")


@LOADS
@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["cat", None, "None", "cat"], None),
        ([0, None, 1, 0], None),
        ([0, -1, 1, 0], ["cat", "dog"]),
        (pa.array(["cat", None, "dog", "cat"]).dictionary_encode(), None),
    ],
)
def test_rows_without_a_label_are_refused_or_left_out(tmp_path, load, labels, names, how):
    write_parquet(tmp_path / "a.parquet", structs(1, 2, 3, 4), labels, names)
    name = f"parquet:{tmp_path}/a.parquet"
    with pytest.raises(DataError, match=r"1 train images have no label \(first: 2\.png, row 1\)"):
        load.train(name, load=how)
    train = load.train(name, load=how, undecodable="skip")
    assert values(train) == [1, 3, 4]
    assert train.rows.tolist() == [0, 2, 3]
    assert len(train.classes) == 2
    assert train.labels[0] == train.labels[2] != train.labels[1]


def test_a_class_that_has_no_image_is_left_out_and_said(tmp_path, load):
    write_parquet(tmp_path / "a.parquet", structs(1, 2), [0, 2], ["cat", "dog", "eel"])
    train = load.train(f"parquet:{tmp_path}/a.parquet")
    assert train.classes == ("cat", "eel")
    assert train.labels.tolist() == [0, 1]
    assert train.notices == ("class 'dog' has no train images: it is left out",)


def test_a_label_beyond_the_class_names(tmp_path, load):
    write_parquet(tmp_path / "a.parquet", structs(1, 2), [0, 1], ["only one"])
    with pytest.raises(DataError, match="labels run from 0 to 1, but there are 1 class names"):
        load.train(f"parquet:{tmp_path}/a.parquet")


@LOADS
@pytest.mark.parametrize(
    "images",
    [
        structs(1, 2),
        [{"bytes": encoded(1)}, {"bytes": encoded(2)}],
        [encoded(1), encoded(2)],
        pa.array(structs(1, 2), pa.struct({"bytes": pa.large_binary(), "path": pa.large_string()})),
    ],
)
def test_images_of_every_layout(tmp_path, load, images, how):
    write_parquet(tmp_path / "a.parquet", images, [0, 1])
    assert values(load.train(f"parquet:{tmp_path}/a.parquet", load=how)) == [1, 2]


@LOADS
def test_a_path_is_read_where_there_are_no_bytes(tmp_path, load, how):
    Image.new("RGB", (8, 8), (7, 7, 7)).save(tmp_path / "7.png")
    images = [{"bytes": None, "path": str(tmp_path / "7.png")}, *structs(3)]
    write_parquet(tmp_path / "a.parquet", images, [0, 1])
    write_parquet(tmp_path / "b.parquet", images[:1], [0])
    assert values(load.train(f"parquet:{tmp_path}/a.parquet", load=how)) == [7, 3]
    assert values(load.train(f"parquet:{tmp_path}/b.parquet", load=how)) == [7]


@LOADS
def test_files_that_rows_name_are_looked_at_every_time(tmp_path, load, how):
    """The table stays as it is when such a file comes, or changes."""
    file = tmp_path / "7.png"
    images = [{"bytes": None, "path": str(file)}, *structs(3)]
    write_parquet(tmp_path / "a.parquet", images, [0, 1])
    name, digests = f"parquet:{tmp_path}/a.parquet", set()
    with pytest.raises(DataError, match="No such file"):
        load.train(name, load=how)
    for level in (7, 8):
        file.write_bytes(encoded(level))
        train = load.train(name, load=how)
        assert values(train) == [level, 3]
        digests.add(train.digest)
    assert len(digests) == 2


def test_columns_are_found_by_type_and_name_and_said_where_several_fit(tmp_path, load):
    table = {"img": structs(1, 2), "coarse_label": [0, 0], "fine_label": [0, 1], "id": [8, 9]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    name = f"parquet:{tmp_path}/a.parquet"
    train = load.train(name)
    assert train.classes == ("0", "1")
    coarse = load.train(name, label_column="coarse_label")
    assert coarse.classes == ("0",)
    more = {**table, "mask": structs(3, 4), "label": [5, 6]}
    pq.write_table(pa.table(more), tmp_path / "b.parquet")
    both = load.train(f"parquet:{tmp_path}/b.parquet")
    assert values(both) == [1, 2]
    assert both.classes == ("5", "6")
    assert len(both.notices) == 2
    assert "'img'; 'mask' would fit as well (data.image_column)" in both.notices[0]
    with pytest.raises(DataError, match=r"no column 'x' \(data\.image_column\); it has img"):
        load.train(name, image_column="x")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image": structs(1)}, "has no column of labels"),
        ({"label": [1]}, "has no column of images"),
        ({"image": [[1, 2]], "label": [1]}, "has no column of images; .*found image"),
    ],
)
def test_a_missing_column_is_named(tmp_path, load, table, message):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message):
        load.train(f"parquet:{tmp_path}/a.parquet")


def test_no_rows(tmp_path, load):
    empty = pa.array([], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    write_parquet(tmp_path / "b.parquet", empty, pa.array([], pa.int64()))
    with pytest.raises(DataError, match="the train split has no images"):
        load.train(f"parquet:{tmp_path}/b.parquet")
    write_parquet(tmp_path / "a.parquet", structs(1, 2), [0, 1])
    assert values(load.train(f"parquet:{tmp_path}/*.parquet")) == [1, 2]


@pytest.mark.parametrize("place", ["dir[1]/a.parquet", "dir[1]", "**/*.parquet"])
def test_files_are_found_by_path_folder_and_glob(tmp_path, load, place):
    (tmp_path / "dir[1]").mkdir()
    write_parquet(tmp_path / "dir[1]" / "a.parquet", structs(1, 2), [0, 1])
    assert values(load.train(f"parquet:{tmp_path}/{place}")) == [1, 2]


def test_no_file_matches(tmp_path, load):
    with pytest.raises(DataError, match="no file matches"):
        load.train(f"parquet:{tmp_path}/*.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_damaged_file_is_named(tmp_path, load, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        load.train(f"parquet:{tmp_path}/a.parquet")


def test_damaged_files_are_read_or_refused(tmp_path, load, capfd):
    write_parquet(tmp_path / "a.parquet", structs(1, 2, 3, 4), [0, 1, 0, 1], ["cat", "dog"])
    content = (tmp_path / "a.parquet").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(content)
        for place in rng.integers(1, 700, int(rng.integers(1, 6))):
            damaged[-int(place)] = int(rng.integers(0, 256))
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(damaged)
        with suppress(DataError):
            pixels(load.train(f"parquet:{path}", load="stream", undecodable="skip"))
    assert capfd.readouterr().err == ""


@LOADS
def test_a_row_that_cannot_be_decoded_is_named_or_left_out(tmp_path, load, how):
    images = [*structs(1), None, {"bytes": b"none", "path": "broken.png"}, *structs(4)]
    write_parquet(tmp_path / "a.parquet", images, [0, 1, 1, 1])
    name = f"parquet:{tmp_path}/a.parquet"
    with pytest.raises(DataError, match=r"2 of 4 train images cannot be decoded \(first: a\.parqu"):
        load.train(name, load=how)
    train = load.train(name, load=how, undecodable="skip")
    assert values(train) == [1, 4]
    assert train.rows.tolist() == [0, 3]
    assert [(one.row, one.name) for one in train.left_out] == [
        (1, "a.parquet row 1"),
        (2, "broken.png"),
    ]


def test_images_are_read_by_row_in_other_processes_too(tmp_path, load):
    write_parquet(tmp_path / "a-0.parquet", structs(0, 1, 2, 3), [0, 1, 0, 1])
    write_parquet(tmp_path / "a-1.parquet", structs(4, 5), [0, 1])
    train = load.train(f"parquet:{tmp_path}/a-*.parquet", load="stream")
    assert isinstance(train.images, EncodedImages)
    assert train.images[np.array([5, 0, 2])][:, 0, 0, 0].tolist() == [5, 0, 2]
    assert values(train.part(4, 6)) == [4, 5]
    assert values(train.take(np.array([1, 3]))) == [1, 3]
    elsewhere = pickle.loads(pickle.dumps(train))
    assert values(elsewhere) == [0, 1, 2, 3, 4, 5]


def test_of_many_files_those_are_copied_that_hold_the_images(tmp_path, load):
    """A node that embeds a part of the images needs no others on its disk."""
    for number in range(4):
        images = structs(*range(10 * number, 11 * number + 1))
        write_parquet(tmp_path / f"{number}.parquet", images, [number % 2] * len(images))
    train = load.train(f"parquet:{tmp_path}/*.parquet", load="stream")
    assert values(train) == [0, 10, 11, 20, 21, 22, 30, 31, 32, 33]
    part = pickle.loads(pickle.dumps(train.part(1, 3)))
    for copy in copies(load.root):
        shutil.rmtree(copy)
    assert values(part) == [10, 11]
    assert len(copies(load.root)) == 1
    assert part.images[np.array([1, 0, 1])][:, 0, 0, 0].tolist() == [11, 10, 11]
    assert values(part.part(1, 2)) == [11]
    assert len(copies(load.root)) == 1
    assert values(train.take(np.array([5, 0]))) == [22, 0]
    assert len(copies(load.root)) == 3


def copies(root: Path) -> list[Path]:
    return sorted(path.parent for path in (root / "parquet").glob("*/complete.json"))


def test_copies_are_made_once_and_the_oldest_make_room(tmp_path, load):
    for number in range(3):
        write_parquet(tmp_path / f"{number}.parquet", structs(number), [0])
    room = 2.5 * (tmp_path / "0.parquet").stat().st_size / 1e9
    values(load.train(f"parquet:{tmp_path}/0.parquet", load="stream"))
    (first,) = copies(load.root)
    values(load.train(f"parquet:{tmp_path}/0.parquet", load="stream"))
    assert copies(load.root) == [first]
    for number in (1, 2):
        name = f"parquet:{tmp_path}/{number}.parquet"
        assert values(load.train(name, load="stream", cache_gb=room)) == [number]
    assert first not in copies(load.root)
    assert values(load.train(f"parquet:{tmp_path}/0.parquet", load="stream")) == [0]


def test_files_in_a_bucket(tmp_path, load, monkeypatch):
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    for number in (0, 1):
        write_parquet(tmp_path / f"train-{number}.parquet", structs(number, 5), [0, 1])
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
        for path in tmp_path.glob("*.parquet"):
            pq.write_table(pq.read_table(path), f"{root}/{path.name}", filesystem=bucket)
        train = f"parquet:s3://images/digits/train-*?{options}"
        for how in ("memory", "stream"):
            assert values(load.train(train, load=how)) == [0, 5, 1, 5]
        assert not list(load.root.rglob("fetched.parquet"))
        with pytest.raises(DataError, match="no file matches"):
            load.train(train.replace("train", "none"))
        with pytest.raises(DataError, match="nowhere"):
            load.train(train.replace("images/", "nowhere/"))
    finally:
        server.stop()


def test_large_images_are_not_read_together(tmp_path, load):
    """A row group of 40 images of 1 MiB is copied in parts."""
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    content = (tmp_path / "noise.png").read_bytes()
    write_parquet(tmp_path / "a.parquet", [{"bytes": content, "path": None}] * 40, [0] * 40)
    train = load.train(f"parquet:{tmp_path}/a.parquet", load="stream", image_size=8)
    assert pixels(train).shape == (40, 8, 8, 3)
