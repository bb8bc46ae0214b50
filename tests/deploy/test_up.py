"""What `ray up` does with each file, on a machine that only writes down what it is told."""

from __future__ import annotations

import pytest
from ray.autoscaler._private.commands import get_or_create_head_node
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.node_provider import NodeProvider

from tests.deploy.files import LAUNCHERS, read

ANSWERS = {"Config.Env": '["HOME=/home/ray"]', "printenv HOME": "/home/ray", "command -v": "docker"}


class OneMachine(NodeProvider):
    """A cloud with one machine."""

    def __init__(self, config, name):
        super().__init__(config, name)
        self.tags = {}

    def create_node(self, _config, tags, _count):
        self.tags["head"] = tags

    def non_terminated_nodes(self, _filters):
        return list(self.tags)

    def node_tags(self, node_id):
        return self.tags[node_id]

    def set_node_tags(self, node_id, tags):
        self.tags[node_id].update(tags)

    def is_terminated(self, _node_id):
        return False

    def external_ip(self, _node_id):
        return "192.0.2.1"

    internal_ip = external_ip


class Listener:
    """Takes the place of `subprocess`: keeps the commands, and runs none."""

    def __init__(self):
        self.commands = []

    def check_call(self, command, **_options):
        self.commands.append(" ".join(command))

    def check_output(self, command):
        self.check_call(command)
        answers = [ANSWERS[part] for part in ANSWERS if part in self.commands[-1]]
        return "".join(answers).encode()


@pytest.fixture(params=LAUNCHERS)
def commands(request, tmp_path, monkeypatch):
    """The commands of the launch, in order."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # Ray reads all files of the folder that it copies
    for secret in (".ray/auth_token", "key"):
        (tmp_path / secret).parent.mkdir(exist_ok=True)
        (tmp_path / secret).write_text("secret")
    config = prepare_config(read(request.param))
    config["auth"]["ssh_private_key"] = "~/key"
    listener = Listener()
    get_or_create_head_node(
        config,
        request.param,
        no_restart=False,
        restart_only=False,
        yes=True,
        override_cluster_name=None,
        _provider=OneMachine(config["provider"], config["cluster_name"]),
        _runner=listener,
    )
    return listener.commands


def test_the_token_is_there_and_rayred_installed_before_ray_starts(commands):
    def first(*parts):
        return next(i for i, c in enumerate(commands) if all(part in c for part in parts))

    steps = [
        first("rsync", "/.ray/auth_token"),
        first("chmod 600"),
        first("pip install", "constraints.txt"),
        first("ray start --head"),
    ]
    assert sorted(set(steps)) == sorted(steps)
    assert steps[0] < min(steps[1:3])
    assert steps[3] == len(commands) - 1


def test_a_container_knows_that_there_is_a_token_and_publishes_nothing(commands):
    for run in (command for command in commands if "docker run" in command):
        assert "--env RAY_AUTH_MODE=token" in run
        assert "--publish" not in run
