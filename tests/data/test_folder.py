"""Folders: which files are images, of which class and split, and what is left out."""

import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from rayred.errors import DataError
from tests.data.examples import encoded, values, write_images


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            write_images(tmp_path / "pets" / split / name, count)
    return tmp_path / "pets"


def test_classes_are_the_sub_folders_in_order(pets, load):
    dataset = load.dataset(f"folder:{pets}")
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.images.shape == (6, 4, 6, 3)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.train.names[4] == "dog/1.png"
    assert dataset.train.images[4].max() == 10
    assert dataset.notices() == []


def test_images_lie_at_any_depth_below_their_class(tmp_path, load):
    write_images(tmp_path / "pets" / "cat" / "tabby" / "young", 1)
    write_images(tmp_path / "pets" / "dog", 1)
    assert load.train(f"folder:{tmp_path}/pets").names == ["cat/tabby/young/0.png", "dog/0.png"]


def test_grey_images_have_one_channel(tmp_path, load):
    write_images(tmp_path / "pets" / "a", 2, "L")
    write_images(tmp_path / "pets" / "b", 2, "L")
    assert load.train(f"folder:{tmp_path}/pets").image_shape == (4, 6, 1)


def test_a_folder_for_pruning_needs_no_splits(tmp_path, load):
    write_images(tmp_path / "pets" / "a", 2)
    assert len(load.train(f"folder:{tmp_path}/pets")) == 2


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_other_names_of_the_test_split_are_taken_and_said(pets, load, name):
    (pets / "test").rename(pets / name)
    dataset = load.dataset(f"folder:{pets}")
    assert len(dataset.test) == 4
    assert dataset.notices() == [f"the test split is {pets / name}"]


def test_the_test_split_may_be_another_folder(pets, tmp_path, load):
    (pets / "test").rename(tmp_path / "elsewhere")
    dataset = load.dataset(f"folder:{pets}", test=f"folder:{tmp_path}/elsewhere")
    assert len(dataset.test) == 4


def test_a_class_may_be_called_train(tmp_path, load):
    for name in ("bus", "car", "train"):
        write_images(tmp_path / "vehicles" / name, 2)
    vehicles = load.train(f"folder:{tmp_path}/vehicles")
    assert vehicles.classes == ("bus", "car", "train")
    assert len(vehicles) == 6


def test_what_may_be_a_split_or_a_class_is_asked_for(tmp_path, load):
    for name in ("bus", "train/steam", "train/diesel"):
        write_images(tmp_path / "vehicles" / name, 2)
    name = f"folder:{tmp_path}/vehicles"
    with pytest.raises(DataError, match=r"'train' a split or a class\?.*'bus'.*data\.layout"):
        load.train(name)
    assert load.train(name, layout="classes").classes == ("bus", "train")
    assert load.train(name, layout="splits").classes == ("diesel", "steam")


def test_composed_and_decomposed_names_are_one_class(pets, load):
    for split, form in (("train", "NFC"), ("test", "NFD")):
        name = unicodedata.normalize(form, "café")
        (pets / split / "cat").rename(pets / split / name)
    write_images(pets / "train" / unicodedata.normalize("NFD", "café"), 2)
    dataset = load.dataset(f"folder:{pets}")
    assert dataset.classes == (unicodedata.normalize("NFC", "café"), "dog")
    assert dataset.train.class_sizes().tolist() == [5, 3]


def test_what_systems_put_beside_images_is_left_out_and_listed(pets, load):
    cat = pets / "train" / "cat"
    for folder in (pets / "train" / ".ipynb_checkpoints", cat / ".ipynb_checkpoints"):
        write_images(folder, 1)
    write_images(pets / "train" / "__MACOSX", 1)
    (cat / "._0.png").write_bytes(b"\0\5\x16\7")
    (cat / "Thumbs.db").write_bytes(b"\0")
    (cat / "nowhere.png").symlink_to("/nowhere.png")
    (cat / "7.dat").write_bytes(encoded(7))
    (cat / "notes.txt").write_text("no image")
    os.mkfifo(cat / "fifo.png")
    train = load.dataset(f"folder:{pets}").train
    assert train.classes == ("cat", "dog")
    assert len(train) == 6
    assert {one.name: one.reason for one in train.left_out} == {
        ".ipynb_checkpoints": "hidden file or folder",
        "__MACOSX": "hidden file or folder",
        "cat/.ipynb_checkpoints": "hidden file or folder",
        "cat/._0.png": "hidden file or folder",
        "cat/Thumbs.db": "hidden file or folder",
        "cat/nowhere.png": "link that leads nowhere",
        "cat/7.dat": "image whose name has another ending",
        "cat/fifo.png": "no regular file",
    }


def test_other_endings_are_read_where_pillow_can(tmp_path, load):
    write_images(tmp_path / "pets" / "cat", 1, size=(8, 8))
    image = Image.new("RGB", (8, 8))
    image.save(tmp_path / "pets" / "cat" / "1.jfif", "JPEG")
    image.save(tmp_path / "pets" / "cat" / "2.JP2", "JPEG2000")
    image.save(tmp_path / "pets" / "cat" / "3.avif", "AVIF")
    assert len(load.train(f"folder:{tmp_path}/pets")) == 4


def test_links_to_folders_are_followed_but_not_in_circles(pets, tmp_path, load):
    write_images(tmp_path / "elsewhere", 2)
    (pets / "train" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (pets / "train" / "cat" / "again").symlink_to("..")
    train = load.dataset(f"folder:{pets}").train
    assert [name for name in train.names if name.startswith("cat")] == [
        "cat/0.png",
        "cat/1.png",
        "cat/2.png",
        "cat/more/0.png",
        "cat/more/1.png",
    ]
    assert [one.name for one in train.left_out] == ["cat/again"]


def test_a_folder_named_as_an_image_is_a_folder(pets, load):
    write_images(pets / "train" / "cat" / "album.jpg", 1)
    assert "cat/album.jpg/0.png" in load.dataset(f"folder:{pets}").train.names


def test_a_class_folder_without_images_is_left_out_and_said(pets, load):
    (pets / "train" / "eel").mkdir()
    dataset = load.dataset(f"folder:{pets}")
    assert dataset.classes == ("cat", "dog")
    assert dataset.notices() == ["class folder 'eel' has no images: it is left out"]


def test_images_in_no_class_are_listed(pets, load):
    (pets / "train" / "9.png").write_bytes(encoded(9))
    (left_out,) = load.dataset(f"folder:{pets}").train.left_out
    assert (left_out.name, left_out.reason) == ("9.png", "an image that is in no class folder")


def test_classes_that_differ_are_named(pets, load):
    (pets / "test" / "dog").rename(pets / "test" / "wolf")
    with pytest.raises(DataError, match="only in training: 'dog'; only in test: 'wolf'"):
        load.dataset(f"folder:{pets}")


@pytest.mark.parametrize("name", ["nowhere", "train/cat/0.png"])
def test_no_such_folder(pets, load, name):
    with pytest.raises(DataError, match="no such folder"):
        load.dataset(f"folder:{pets / name}")


def test_no_test_split(pets, load):
    (pets / "test").rename(pets / "other")
    with pytest.raises(DataError, match=r"no such folder; expected .*/test/CLASS/IMAGE"):
        load.dataset(f"folder:{pets}", layout="splits")


def test_a_file_name_that_is_not_utf_8_is_refused_at_the_start(pets, load):
    (pets / "train" / "cat" / "0.png").rename(pets / "train" / "cat" / "caf\udce9.png")
    with pytest.raises(DataError, match=r"1 file names are not UTF-8 \(first: .*caf\\xe9\.png"):
        load.dataset(f"folder:{pets}")
    train = load.dataset(f"folder:{pets}", undecodable="skip").train
    assert len(train) == 5
    assert [one.reason for one in train.left_out] == ["file whose name is not UTF-8"]


def test_odd_names_are_read(tmp_path, load):
    names = ("new\nline", "-rf", " lead", "x" * 200, "é", "😀", 'a"b', "tab\t", "[1]")
    folder = tmp_path / "pets" / "B [old]"
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / f"{name}.png").write_bytes(encoded(number))
    train = load.train(f"folder:{tmp_path}/pets")
    assert sorted(values(train)) == list(range(len(names)))
    assert set(train.names) == {f"B [old]/{name}.png" for name in names}
