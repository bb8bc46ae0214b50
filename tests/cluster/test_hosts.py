"""Studies on several hosts, which are powered off, cut off and added while they run.

The tests tell one story in order: each goes on where the one before it ended.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import fs

from tests.buckets import bucket_server
from tests.cluster import one_class
from tests.cluster.hosts import BIN, Hosts, address, missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
STEPS = 400
EXPERIMENT = {
    "name": "hosts",
    "dataset": "digits",
    "train": {"steps": STEPS, "checkpoint_steps": 40},
    "sweep": {"fractions": [1.0, 0.5], "selectors": ["semantic", "random"], "trials": 3},
    "resources": {"threads": 1, "reference_threads": 1},
}
TRIALS = 9
WAIT_SECONDS = 300


@dataclass
class Lab:
    """The hosts, a bucket that they reach, and what has been measured."""

    hosts: Hosts
    bucket: str
    """Options of the bucket's URL."""
    folder: Path
    """A folder of this machine that hosts see too."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What was measured: seconds, where no other unit is named."""

    def url(self, name: str) -> str:
        return f"s3://who:what@runs/{name}?{self.bucket}"

    def submit(self, head: int, name: str) -> None:
        """Start a study as a job."""
        self.hosts.run(
            head,
            f"ray job submit --no-wait --submission-id {name} --address http://127.0.0.1:8265 --"
            f" {BIN}/rayred run {self.folder}/hosts.yaml --address auto --out '{self.url(name)}'",
        )

    def log(self, head: int, name: str) -> str:
        """Return what the job of a study has printed."""
        path = f"/tmp/ray/session_latest/logs/job-driver-{name}.log"
        return self.hosts.run(head, f"cat {path}", check=False)

    def status(self, head: int, name: str) -> str:
        command = f"ray job status --address http://127.0.0.1:8265 {name} 2>&1"
        return self.hosts.run(head, command, check=False)

    def alive(self, head: int) -> str:
        """Return the addresses of the nodes that Ray counts on; its autoscaler counts lost ones."""
        listing = "[node['NodeManagerAddress'] for node in ray.nodes() if node['Alive']]"
        return self.hosts.run(
            head, f'python -c "import ray; ray.init(log_to_driver=False); print({listing})"'
        )

    def stored(self, name: str) -> str:
        """Return the names of all that the bucket has of a study, a line each."""
        files, root = fs.FileSystem.from_uri(self.url(name))
        found = files.get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=True))
        return "".join(f"{one.path}\n" for one in found)

    def wait_for(self, head: int, name: str, sign: Callable[[str], bool]) -> str:
        """Wait until a sign is in the log of a job, and return the log."""
        return until(lambda: self.log(head, name), sign)

    def join(self, host: int, head: int, options: str = "", environment: str = "") -> None:
        """Start Ray on a host, as a node of the cluster of another."""
        self.hosts.run(
            host,
            f"mkdir -p ~/.ray; cp {self.folder}/auth_token ~/.ray; {environment} ray start"
            f" --address={address(head)}:6379 {options}",
        )


def until(look: Callable[[], str], sign: Callable[[str], bool]) -> str:
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        seen = look()
        if sign(seen):
            return seen
        time.sleep(0.5)
    raise AssertionError(f"not seen within {WAIT_SECONDS} s in:\n{seen}")


def trials_done(count: int) -> Callable[[str], bool]:
    return lambda log: f"sweep: {count}/{TRIALS} " in log


def has_ended(log: str) -> bool:
    return "MLflow  " in log


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if reason := missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="rr-", dir="/var/tmp"))
        folder = Path(short)
        folder.chmod(0o755)
        hosts = Hosts(folder / "lab")
        hosts.down()  # what a run that was killed has left
        stack.callback(hosts.down)
        hosts.up(7)
        options = stack.enter_context(bucket_server("10.77.0.1"))
        lab = Lab(hosts, options, folder)
        (folder / "auth_token").write_text(os.urandom(32).hex())
        (folder / "auth_token").chmod(0o600)
        (folder / "hosts.yaml").write_text(yaml.safe_dump(EXPERIMENT))
        yield lab
        report = ROOT / "build" / "cluster.json"
        report.parent.mkdir(exist_ok=True)
        report.write_text(json.dumps(lab.seconds, indent=1) + "\n")


@pytest.fixture(scope="module")
def expected(lab: Lab) -> dict[str, Any]:
    """What one host finds."""
    started = time.monotonic()
    subprocess.run(
        [BIN / "rayred", "run", lab.folder / "hosts.yaml", "--out", lab.folder / "one-host"],
        check=True,
        capture_output=True,
        timeout=800,
    )
    lab.seconds["one host"] = time.monotonic() - started
    return found_in(lab.folder / "one-host")


def found_in(folder: Path) -> dict[str, Any]:
    """Return all numbers that a study has found."""
    columns = ["selector", "fraction", "trial", "seed", "n_train", "test_accuracy", "status"]
    trials = pq.read_table(folder / "results.parquet", columns=columns).to_pylist()
    trials.sort(key=lambda row: (row["selector"], row["fraction"], row["trial"]))
    subsets = {path.name: np.load(path).tolist() for path in sorted(folder.glob("subsets/*.npy"))}
    return {
        "trials": trials,
        "subsets": subsets,
        "embeddings": np.load(folder / "embeddings.npy").tobytes(),
    }


@pytest.fixture(scope="module")
def launched(lab: Lab) -> int:
    """The head of a cluster of hosts 1 and 2, launched by the file that is shipped."""
    text = (ROOT / "deploy" / "own-machines.yaml").read_text()
    for placeholder, value in {
        "ADDRESS_OF_HEAD": address(1),
        "[ADDRESS_OF_WORKER_1, ADDRESS_OF_WORKER_2]": f"[{address(2)}]",
        "NAME_OF_USER": "root",
        "~/.ssh/id_ed25519": str(lab.hosts.lab / "key"),
        "~/.ray/auth_token: ~/.ray/auth_token": f"~/.ray/auth_token: {lab.folder}/auth_token",
        "min_workers: 2": "min_workers: 1",
        "max_workers: 2": "max_workers: 1",
        "ray start --head": "ray start --head --num-cpus=0",
    }.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    config = lab.folder / "own-machines.yaml"
    config.write_text(text)
    for host in (1, 2):
        lab.hosts.run(host, f"ln -s {BIN.parent} ~/rayred-env")  # what the file would install
    started = time.monotonic()
    done = subprocess.run(
        [BIN / "ray", "up", "--yes", config],
        cwd=ROOT,
        env=os.environ | {"RAY_UP_enable_autoscaler_v2": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: lab.hosts.run(1, "ray status", check=False), lambda said: "2.0 CPU" in said)
    lab.seconds["ray up, with the worker"] = time.monotonic() - started
    return 1


def test_doctor_looks_at_every_node(lab, launched):
    said = lab.hosts.run(launched, f"rayred doctor --address auto --storage '{lab.url('tried')}'")
    lines = [line for line in said.splitlines() if " node " in line]
    assert [line.split()[2] for line in lines] == [address(1), address(2)]
    assert all(line.startswith("ok") and "torch" in line for line in lines)


def test_a_folder_that_is_not_shared_is_named_with_the_node(lab, launched):
    said = lab.hosts.run(launched, "rayred doctor --address auto --storage /tmp/x", check=False)
    assert f"FAIL  node      {address(2)} storage /tmp/x does not see what another node" in said


def test_callers_who_may_not_or_cannot_are_refused_in_one_sentence(lab, launched):
    command = f"rayred doctor --address {address(1)}:6379; echo exit code $?"
    said = lab.hosts.run(launched, command, token=False)
    assert "does not accept this caller's token: set RAY_AUTH_MODE=token" in said
    wrong = lab.hosts.run(launched, f"export RAY_AUTH_TOKEN={'0' * 64}; {command}")
    assert "does not accept this caller's token" in wrong
    lab.hosts.run(3, f"mkdir -p ~/.ray; cp {lab.folder}/auth_token ~/.ray")
    outside = lab.hosts.run(3, command)
    assert f"this machine is no node of the cluster there ({address(1)}, {address(2)})" in outside
    missing = lab.hosts.run(3, f"rm ~/.ray/auth_token; {command}")
    assert "RAY_AUTH_MODE is token, and the token file /root/.ray/auth_token cannot be" in missing
    for one in (said, wrong, outside, missing):
        assert one.endswith("exit code 1\n")
        assert "Traceback" not in one
        assert "StackTrace" not in one


def test_a_node_with_another_rayred_is_named_before_a_study_starts(lab, launched):
    other = lab.folder / "other"
    shutil.copytree(ROOT / "rayred", other / "rayred")
    with (other / "rayred" / "__init__.py").open("a") as file:
        file.write("\n# another version\n")
    lab.join(6, launched, "--num-cpus=1", f"PYTHONPATH={other}")
    try:
        command = f"rayred run {lab.folder}/hosts.yaml --address auto --out '{lab.url('other')}'"
        said = lab.hosts.run(launched, f"{command} 2>&1; echo exit code $?")
    finally:
        lab.hosts.run(6, "ray stop --force", check=False)
    assert f"node {address(6)}: has another rayred" in said
    assert said.endswith("exit code 2\n")


def test_a_node_that_joins_is_used_and_one_that_is_lost_costs_its_trials_alone(
    lab, launched, expected
):
    started = time.monotonic()
    lab.submit(launched, "a")
    lab.wait_for(launched, "a", trials_done(1))
    lab.join(3, launched)
    log = lab.wait_for(launched, "a", lambda log: f"node {address(3)} joined" in log)
    before = time.monotonic()
    lab.hosts.kill(2)
    log = lab.wait_for(launched, "a", lambda log: f"node {address(2)} lost" in log)
    lab.seconds["host off in mid-sweep: until it is said"] = time.monotonic() - before
    log = lab.wait_for(launched, "a", has_ended)
    lab.seconds["study with a host that joins and one that is lost"] = time.monotonic() - started
    assert f"node {address(2)} lost; 2 trials start again elsewhere" in log
    until(lambda: lab.status(launched, "a"), lambda said: "succeeded" in said)
    assert found_in(fetched(lab, "a")) == expected
    for word in ("Traceback", "StackTrace", "raylet", "\r"):
        assert word not in log


def test_one_large_class_is_spread_over_hosts_for_the_bytes_that_it_must_move(lab, launched):
    lab.join(7, launched)
    before = [lab.hosts.received(host) for host in (3, 7)]
    said = lab.hosts.run(
        launched, f"PYTHONPATH={ROOT} python -m tests.cluster.one_class 4 {lab.folder}/met"
    )
    moved = [lab.hosts.received(host) - was for host, was in zip((3, 7), before, strict=True)]
    lab.hosts.run(7, "ray stop --force")
    until(lambda: lab.alive(launched), lambda said: address(7) not in said)
    found = json.loads(said.strip().splitlines()[-1])
    assert found == {"digest": one_class.clustered(), "hosts": [address(3), address(7)]}
    # Both factors, float32 with two more columns, once to each host; pairs and Ray's own beside it.
    least = 2 * 4 * one_class.ROWS * (one_class.DIMENSIONS + 2)
    lab.seconds["MB that must move to each host for one class"] = least / 1e6
    lab.seconds["MB moved to each host for one class"] = max(moved) / 1e6
    assert all(least < one < 3 * least for one in moved)


def test_a_reference_whose_host_is_lost_goes_on_from_its_checkpoint(lab, launched):
    lab.submit(launched, "b")
    until(lambda: lab.stored("b"), lambda names: "training.pt\n" in names)  # a checkpoint
    before = time.monotonic()
    lab.hosts.kill(3)
    lab.join(4, launched)
    lab.join(5, launched)
    lab.wait_for(launched, "b", lambda log: "reference: done" in log)
    lab.seconds["host off in mid-reference: until it is trained"] = time.monotonic() - before


def test_a_cable_that_is_cut_for_a_minute_costs_the_trials_behind_it(lab, launched):
    lab.wait_for(launched, "b", trials_done(1))
    lab.hosts.cut(4)
    before = time.monotonic()
    try:
        lab.wait_for(launched, "b", lambda log: f"node {address(4)} lost" in log)
        lab.seconds["cable cut in mid-sweep: until it is said"] = time.monotonic() - before
        time.sleep(max(0.0, before + 60 - time.monotonic()))
    finally:
        lab.hosts.heal(4)


def test_a_study_whose_head_is_lost_goes_on_from_the_bucket(lab, launched, expected):
    lab.hosts.kill(launched)
    before = time.monotonic()
    lab.hosts.run(
        6,
        f"ln -s {BIN.parent} ~/rayred-env; mkdir -p ~/.ray; cp {lab.folder}/auth_token ~/.ray;"
        f" ray start --head --node-ip-address={address(6)} --dashboard-host=127.0.0.1",
    )
    command = f"rayred run {lab.folder}/hosts.yaml --address auto --out '{lab.url('b')}' 2>&1"
    log = lab.hosts.run(6, command)
    lab.seconds["head off: until the study has ended on another cluster"] = (
        time.monotonic() - before
    )
    assert "waits to see whether another rayred is still at work" in log
    assert "reference: already done" in log
    assert f"of {TRIALS} trials are already done" in log
    assert found_in(fetched(lab, "b")) == expected


def fetched(lab: Lab, name: str) -> Path:
    """Return a folder with all that the bucket has of a study."""
    folder = lab.folder / "fetched" / name
    folder.mkdir(parents=True)
    files, root = fs.FileSystem.from_uri(lab.url(name))
    fs.copy_files(root, str(folder), files, fs.LocalFileSystem())
    return folder
