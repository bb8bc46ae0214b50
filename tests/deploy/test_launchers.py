"""Files of Ray's cluster launcher, by Ray's own checks."""

from __future__ import annotations

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.deploy.files import LAUNCHERS, pins, read

CLOUDS = [file for file in LAUNCHERS if read(file)["provider"]["type"] != "local"]
TOKEN = "RAY_AUTH_MODE=token"


@pytest.fixture(params=LAUNCHERS)
def config(request):
    return read(request.param)


@pytest.fixture(params=CLOUDS)
def cloud(request):
    return read(request.param)


def starts(config):
    """The commands that start Ray on the head and on a worker."""
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


def test_there_is_a_file_for_each_way_to_launch():
    assert {"cluster.yaml", "deploy/gcp.yaml"} <= set(LAUNCHERS)


def test_rays_schema_accepts_it(config):
    validate_config(prepare_config(config))


def test_token_authentication_is_on_wherever_ray_starts(config):
    in_container = f"--env {TOKEN}" in config.get("docker", {}).get("run_options", [])
    assert len(starts(config)) == 2
    assert in_container or all(TOKEN in command for command in starts(config))


def test_the_token_is_on_every_node_and_for_one_user_alone(config):
    (place,) = (p for p in config["file_mounts"] if p.endswith("/.ray/auth_token"))
    assert config["file_mounts"][place] == "~/.ray/auth_token"
    assert any(f"chmod 600 {place}" in command for command in config["setup_commands"])


def test_nothing_but_ssh_is_opened(config):
    assert "IpPermissions" not in config["provider"].get("security_group", {})
    head, _ = starts(config)
    assert "--dashboard-host=127.0.0.1" in head
    docker = config.get("docker", {})
    options = [option for key in docker if key.endswith("run_options") for option in docker[key]]
    assert not any(option.startswith(("-p", "--publish")) for option in options)


def test_this_version_is_installed_with_the_pinned_packages(config):
    (place,) = (place for place, source in config["file_mounts"].items() if source == ".")
    (install,) = (command for command in config["setup_commands"] if "pip install" in command)
    assert f"--constraint {place}/constraints.txt" in install


def test_what_is_left_out_lies_at_the_top_alone(config):
    patterns = set(config["rsync_exclude"]) - {"__pycache__"}
    assert all(pattern.startswith("/") for pattern in patterns)


def test_ray_is_the_pinned_one(cloud):
    assert cloud["docker"]["image"] == f"rayproject/ray:{pins()['ray']}-py311"


def test_workers_have_gpus_and_start_when_they_are_needed(cloud):
    types = cloud["available_node_types"]
    (worker,) = (types[name] for name in types if name != cloud["head_node_type"])
    assert worker["resources"]["GPU"] == 1
    assert (worker["min_workers"], worker["max_workers"]) == (0, cloud["max_workers"])
    assert "GPU" not in types[cloud["head_node_type"]]["resources"]
    assert cloud["docker"]["worker_run_options"] == ["--gpus all"]
    assert "/home/ray/rayred[rapids]" in " ".join(cloud["setup_commands"])
