"""A Ray cluster that is there already, with token authentication."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.conftest import kill_all, rayred


@pytest.fixture
def address(tmp_path: Path):
    ray = Path(sys.executable).parent / "ray"
    (tmp_path / "token").write_text("a-token-of-this-test-and-no-other")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    # Ray's sockets lie in its temporary folder, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:
        head = subprocess.Popen(
            [
                ray, "start", "--head", "--port=0", "--num-cpus=2", "--block",
                "--include-dashboard=false", f"--temp-dir={short}",
            ],
            env=os.environ | token,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # Ray chooses a port that is free, and says here which.
        chosen = Path(short) / "ray_current_cluster"
        until = time.monotonic() + 60
        while not chosen.exists():
            assert head.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        port = chosen.read_text().rsplit(":", 1)[1]
        yield f"127.0.0.1:{port}", token
        kill_all(head.pid)
        head.wait()


CONNECTS = """
import os, sys
from rayred.machines import connect as connects
before = dict(os.environ)
with connects.connect(sys.argv[1]) as cluster:
    assert not cluster.own
    assert all(os.environ[name] == value for name, value in connects._RAY_SETTINGS.items())
assert not [name for name in connects._RAY_SETTINGS if os.environ.get(name) != before.get(name)]
"""


@pytest.mark.slow
def test_a_cluster_with_token_authentication_is_reached_by_its_address(address):
    where, token = address
    done = rayred("doctor", "--address", where, **token)
    assert done.returncode == 0, done.stdout
    assert "1 node(s), 2 CPUs" in done.stdout
    # The environment of the process that connects is put back.
    command = [sys.executable, "-c", CONNECTS, where]
    subprocess.run(command, env=os.environ | token, timeout=120, check=True)
