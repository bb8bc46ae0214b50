"""Run folders in a bucket: whole whatever is lost, one writer, and errors in one sentence."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from rayred.buckets import check_url, open_url, shown_url
from rayred.errors import ConfigError, FolderClosedError, PlaceError, RunFolderError
from rayred.store import (
    CHECKPOINTS,
    MANIFEST,
    Store,
    bucket,
    claim,
    existing_folder,
    find_unneeded,
    json_stage,
    open_store,
    path_stage,
    remove_unneeded,
    working_folder,
)
from tests.buckets import bucket_server

CONFIG = path_stage("config", "config.yaml", Path.write_text, Path.read_text)
TEXT = path_stage("text", "text.txt", Path.write_text, Path.read_text)
HIDDEN = json_stage("hidden", "hidden.json", shown=False)


@pytest.fixture(scope="module")
def options() -> Iterator[str]:
    with bucket_server() as options:
        yield options


@pytest.fixture
def url(options: str, machine: Path) -> str:  # noqa: ARG001
    return f"s3://who:what@runs/{uuid.uuid4().hex}?{options}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the machine that this process is on."""
    another_machine(tmp_path / "first", monkeypatch)
    return tmp_path


def another_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


def objects(url: str) -> dict[str, str]:
    """The contents of all objects of a run folder, by name."""
    files, root = open_url(url)
    found = files.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    contents = {}
    for one in found:
        if one.is_file:
            with files.open_input_stream(one.path) as stream:
                contents[one.path.removeprefix(f"{root}/")] = stream.read().decode()
    return contents


def put(url: str, name: str, content: str) -> None:
    files, root = open_url(url)
    with files.open_output_stream(f"{root}/{name}") as stream:
        stream.write(content.encode())


def study(url: str, config: str, text: str) -> None:
    """Run a study of three stages to its end."""
    with open_store(working_folder(url), make=True) as store:
        store.begin(config)
        store.keep(CONFIG, config, lambda: config)
        store.run(TEXT, text, lambda: text)
        store.run(HIDDEN, text, lambda: {"text": text})
        store.finish()


def never() -> str:
    raise AssertionError("it is made already")


def test_another_machine_goes_on_from_what_is_in_the_bucket(url, machine, monkeypatch):
    study(url, "a", "one")
    another_machine(machine / "second", monkeypatch)
    with open_store(working_folder(url)) as store:
        store.begin("a")
        assert store.run(TEXT, "one", never).value == "one"
        assert store.run(HIDDEN, "one", never).value == {"text": "one"}
        assert (store / "text.txt").read_text() == "one"
        assert store.run(TEXT, "two", lambda: "two").value == "two"
    another_machine(machine / "third", monkeypatch)
    store = Store(existing_folder(url))
    assert store.current(TEXT).value == "two"
    assert store.get(TEXT, "one").value == "one"


def test_the_top_of_the_bucket_shows_the_current_study(url):
    study(url, "a", "one")
    study(url, "b", "two")
    shown = {name: text for name, text in objects(url).items() if "/" not in name}
    assert shown.keys() == {MANIFEST, "config.yaml", "text.txt"}
    assert (shown["config.yaml"], shown["text.txt"]) == ("b", "two")
    study(url, "a", "one")
    assert objects(url)["text.txt"] == "one"
    assert {"made/text-one/text.txt", "made/text-two/text.txt"} <= objects(url).keys()


def test_an_entry_without_its_record_was_not_put_whole_and_is_made_again(url, machine, monkeypatch):
    study(url, "a", "one")
    files, root = open_url(url)
    files.delete_file(f"{root}/made/text-one/record.json")
    put(url, "made/text-one/text.txt", "cut")
    another_machine(machine / "second", monkeypatch)
    with open_store(working_folder(url)) as store:
        store.begin("a")
        assert store.run(TEXT, "one", lambda: "one again").value == "one again"
    assert objects(url)["made/text-one/text.txt"] == "one again"


def test_a_file_that_was_changed_in_the_bucket_is_not_used(url, machine, monkeypatch):
    study(url, "a", "one")
    put(url, "made/text-one/text.txt", "eno")
    another_machine(machine / "second", monkeypatch)
    with open_store(working_folder(url)) as store:
        store.begin("a")
        assert store.run(TEXT, "one", lambda: "one again").value == "one again"


def test_a_file_that_was_changed_in_the_working_copy_is_fetched_again(url):
    study(url, "a", "one")
    file = working_folder(url) / "made" / "text-one" / "text.txt"
    file.chmod(0o644)
    file.write_text("eno")
    with open_store(working_folder(url)) as store:
        store.begin("a")
        assert store.run(TEXT, "one", never).value == "one"
    assert objects(url)["text.txt"] == "one"


def test_what_was_made_and_not_put_before_the_end_is_put_at_the_next_start(url, monkeypatch):
    with open_store(working_folder(url), make=True) as store:
        store.begin("a")
        with monkeypatch.context() as patched:
            patched.setattr(store.bucket, "put_entry", lambda _: None)
            store.put(HIDDEN, "one", {"text": "one"})
    assert "made/hidden-one/record.json" not in objects(url)
    with open_store(working_folder(url)):
        pass
    assert "made/hidden-one/record.json" in objects(url)


def test_a_process_killed_at_any_moment_leaves_what_another_machine_goes_on_from(
    url, machine, monkeypatch
):
    context = multiprocessing.get_context("fork")
    done = False
    for puts in range(40):
        process = context.Process(target=_study_that_dies, args=(url, puts))
        process.start()
        process.join()
        another_machine(machine / f"after-{puts}", monkeypatch)
        if done := process.exitcode == 0:
            break
    assert done
    store = Store(existing_folder(url))
    assert store.current(TEXT).value == "one"
    assert store.manifest.current.finished
    contents = objects(url)
    assert contents["text.txt"] == contents["made/text-one/text.txt"] == "one"


def _study_that_dies(url: str, puts: int) -> None:
    """Run a study; this process dies in place of the put of a number."""
    claim.DEAD_SECONDS = claim.LOOK_SECONDS = 0
    done, put_file = [], bucket.Bucket.put

    def put_or_die(self: bucket.Bucket, file: Path, name: str) -> None:
        if len(done) == puts:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(name)
        put_file(self, file, name)

    bucket.Bucket.put = put_or_die
    study(url, "a", "one")


def test_what_is_in_the_way_stays_and_is_said(url, caplog):
    with open_store(working_folder(url), make=True) as store:
        store.begin("a")
        put(url, "text.txt", "mine")
        store.bucket._sizes = None
        store.run(TEXT, "one", lambda: "one")
    assert objects(url)["text.txt"] == "mine"
    assert f"{shown_url(url)}/text.txt is not rayred's" in caplog.text


def test_a_place_with_something_else_is_refused(url):
    put(url, "images/cat.png", "cat")
    with (
        pytest.raises(RunFolderError, match=r"not empty and no run folder \(it holds 'images/cat"),
        open_store(working_folder(url), make=True),
    ):
        pass
    assert objects(url) == {"images/cat.png": "cat"}


def test_a_run_folder_that_is_not_there_is_named_by_its_url(url):
    with pytest.raises(RunFolderError, match=rf"^{shown_url(url)}: no run folder"):
        existing_folder(url)


def test_files_beside_the_entries_are_put_at_the_end_and_fetched(url, machine, monkeypatch):
    with open_store(working_folder(url), make=True) as store:
        store.place("mlflow.db").write_text("runs")
        store.place("logs").mkdir()
        (store / "logs" / "ray.log").write_text("log")
    assert objects(url)["logs/ray.log"] == "log"
    another_machine(machine / "second", monkeypatch)
    with open_store(working_folder(url)) as store:
        assert (store / "mlflow.db").read_text() == "runs"


def test_clean_removes_from_the_bucket_what_the_current_study_has_no_part_in(
    url, machine, monkeypatch
):
    study(url, "a", "one")
    with open_store(working_folder(url)) as store:
        store.place(CHECKPOINTS)
        put(url, f"{CHECKPOINTS}/{store.identity}/step", "12345")
        put(url, f"{CHECKPOINTS}/of-another-folder/step", "1")
    study(url, "b", "two")
    another_machine(machine / "second", monkeypatch)
    with open_store(working_folder(url)) as store:
        found = find_unneeded(store)
        hidden = len(objects(url)["made/hidden-one/hidden.json"])
        assert found.bytes == len("a") + len("one") + hidden + len("12345")
        remove_unneeded(store, found)
        assert find_unneeded(store).paths() == []
    left = {name.partition("/text.txt")[0] for name in objects(url) if "/" in name}
    assert "made/text-two" in left
    assert not [name for name in left if "one" in name or "-a/" in name]
    assert f"{CHECKPOINTS}/of-another-folder/step" in left


def test_one_process_writes_at_a_time(url, machine, monkeypatch):
    monkeypatch.setattr(claim, "RENEW_SECONDS", 1)
    monkeypatch.setattr(claim, "LOOK_SECONDS", 1)
    with open_store(working_folder(url), make=True):
        another_machine(machine / "second", monkeypatch)
        with (
            pytest.raises(FolderClosedError, match="another rayred is at work in this run folder"),
            open_store(working_folder(url)),
        ):
            pass
    with open_store(working_folder(url)):
        pass


def test_the_claim_of_a_process_that_died_is_waited_out(url, monkeypatch, caplog):
    caplog.set_level("INFO", "rayred")
    monkeypatch.setattr(claim, "DEAD_SECONDS", 2)
    monkeypatch.setattr(claim, "LOOK_SECONDS", 1)
    put(url, f"{claim.CLAIMS}/dead.json", '{"host": "gone", "process": 7, "user": "ann"}')
    with open_store(working_folder(url), make=True) as store:
        assert store.bucket.manifest() is not None
    assert "another rayred is still at work: process 7 of ann on gone" in caplog.text
    assert not [name for name in objects(url) if name.startswith(claim.CLAIMS)]


def test_a_process_that_was_taken_for_dead_writes_nothing_more(url, monkeypatch):
    monkeypatch.setattr(claim, "RENEW_SECONDS", 0.1)
    with (
        pytest.raises(FolderClosedError, match="another has taken over"),
        open_store(working_folder(url), make=True) as store,
    ):
        write_on(url, store)


def write_on(url: str, store: Store) -> None:
    """Remove the process's claim, also if it is renewed, and write until that is refused."""
    files, root = open_url(url)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for one in files.get_file_info(fs.FileSelector(f"{root}/{claim.CLAIMS}")):
            files.delete_file(one.path)
        store.place(f"file-{time.monotonic()}")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://who:what@nowhere/x?{options}", "s3://nowhere/x: there is no such bucket"),
        ("s3://who:what@runs/x?endpoint_override=127.0.0.1:1&scheme=http&region=x",
         "s3://runs/x: it cannot be reached"),
        ("s3://runs/x?nonsense=1", "Unexpected query parameter"),
        ("ftp://runs/x", "ftp://runs/x: unknown kind of place; allowed are folders, s3://"),
        ("s3:///x", "names no bucket"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_used_is_refused_in_one_sentence(options, url, problem):
    with pytest.raises(ConfigError) as refused:
        check_url(url.format(options=options), "--out")
    assert problem in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "what" not in str(refused.value)


def test_a_bucket_that_is_not_there_is_no_missing_run_folder(options, machine):  # noqa: ARG001
    with pytest.raises(PlaceError, match="there is no such bucket"):
        existing_folder(f"s3://who:what@nowhere/x?{options}")
