"""Whether a Ray cluster answers at an address, and whether this machine is one of its nodes.

Asked by a process of its own: where a token file is missing, or the caller is on a machine that is
no node, Ray ends the process that connects, with a stack of C++ functions.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from rayred.errors import ConfigError

ASK_SECONDS = 60
"""How long an answer may take; Ray itself gives up after half of that."""

_ASKS = """
import json, sys
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import GcsClient

try:
    address = canonicalize_bootstrap_address(sys.argv[1])
    nodes = GcsClient(address=address).get_all_node_info(timeout=10).values()
    print(json.dumps({"sockets": [
        [one.node_manager_address, one.raylet_socket_name] for one in nodes if one.state == 0
    ]}))
except Exception as error:
    print(json.dumps({"error": type(error).__name__, "reason": str(error)}))
"""
_TOKEN_FILE = "~/.ray/auth_token"


def check_node_of(target: str) -> None:
    """Refuse an address that this process cannot work at, in one sentence.

    Parameters
    ----------
    target
        ``auto`` or ``HOST:PORT``.

    Raises
    ------
    ConfigError
        Nothing answers there, its token is another, or this machine is no node of the cluster.
    """
    if "://" in target:
        raise ConfigError(
            f"--address {target}: rayred runs on a node of the cluster, not through Ray Client: use"
            " --address auto there, or submit it as a job: ray job submit -- rayred run ..."
        )
    if target != "auto":
        _check_listens(target)
    _check_token(target)
    sockets = _ask(target)
    own = {one.address for each in psutil.net_if_addrs().values() for one in each}
    if not any(ip in own and Path(path).exists() for ip, path in sockets):
        nodes = ", ".join(sorted({ip for ip, _ in sockets}))
        raise ConfigError(
            f"--address {target}: this machine is no node of the cluster there ({nodes}): run the"
            " command on one, or submit it as a job: ray job submit --address http://HEAD:8265 --"
            " rayred run ..."
        )


def token_file() -> Path:
    """Return where Ray's token is read from, unless RAY_AUTH_TOKEN holds the token itself."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or _TOKEN_FILE).expanduser()


def _check_listens(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return
    except (OSError, ValueError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster answers there: {error}") from error


def _check_token(target: str) -> None:
    """Raise where a token is wanted by the environment and there is none to be read."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    try:
        reason = "is empty" if not token_file().read_text().strip() else ""
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
    if reason:
        raise ConfigError(
            f"--address {target}: RAY_AUTH_MODE is token, and the token file {token_file()}"
            f" {reason}: copy that of the cluster's head node, for you alone to read (chmod 600)"
        )


def _ask(target: str) -> list[tuple[str, str]]:
    """Return the IP address of every node that is up, and the path of its Ray's socket there."""
    environment = {"RAY_py_gcs_connect_timeout_s": "10", **os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASKS, target],
            env=environment,
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
        )
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        said = {"error": "", "reason": f"no answer within {ASK_SECONDS} seconds"}
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        said = {"error": "", "reason": lines[0]}
    if "error" not in said:
        return [(ip, path) for ip, path in said["sockets"]]
    if said["error"] == "AuthenticationError":
        raise ConfigError(
            f"--address {target}: the Ray cluster there does not accept this caller's token: set"
            f" RAY_AUTH_MODE=token, and copy {_TOKEN_FILE} of the head node to {token_file()}"
        )
    reason = said["reason"].strip().splitlines()[0]
    raise ConfigError(f"--address {target}: no Ray cluster answers there: {reason}")
