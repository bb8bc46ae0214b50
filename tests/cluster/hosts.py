"""Several hosts on this machine, as network namespaces, each with an SSH server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("ip", "sshd", "ssh", "ssh-keygen", "rsync", "unshare")
SCRIPT = Path(__file__).with_name("hosts.sh")
BIN = Path(sys.executable).parent


def missing() -> str:
    """Return why there can be no hosts here; empty if there can."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return "hosts have fixed names: run pytest tests/cluster in one process"
    if os.geteuid() != 0:
        return "hosts need root"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        return f"hosts need {', '.join(lacking)}"
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    return "" if tried.returncode == 0 else "this machine gives no network namespaces"


@dataclass(frozen=True)
class Hosts:
    """Hosts 1 to N, with the addresses 10.77.0.11 and so on; this machine is 10.77.0.1."""

    lab: Path

    def up(self, count: int) -> None:
        self._call("up", str(count))

    def down(self) -> None:
        self._call("down")

    def kill(self, host: int) -> None:
        """Power a host off: all its processes die at once."""
        self._call("kill", str(host))

    def cut(self, host: int) -> None:
        self._call("cut", str(host))

    def heal(self, host: int) -> None:
        self._call("heal", str(host))

    def received(self, host: int) -> int:
        """Return how many bytes have been sent to a host since it was started."""
        return int(Path(f"/sys/class/net/rrv{host}/statistics/tx_bytes").read_text())

    def run(self, host: int, command: str, *, token: bool = True, check: bool = True) -> str:
        """Return what a command prints on a host, whose shell finds rayred and ray."""
        mode = "export RAY_AUTH_MODE=token; " if token else ""
        line = f"{mode}export PATH={BIN}:$PATH; cd; {command}"
        done = self._call("run", str(host), line, check=False)
        if check:
            assert done.returncode == 0, f"host {host}: {command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [SCRIPT, *arguments],
            env=os.environ | {"LAB": str(self.lab), "SEEN": str(SCRIPT.parents[2])},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done


def address(host: int) -> str:
    return f"10.77.0.{10 + host}"
