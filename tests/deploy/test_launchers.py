"""cluster.yaml by Ray's own checks."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

import rayred

FILE = Path(__file__).parents[2] / "cluster.yaml"


@pytest.fixture
def config():
    return yaml.safe_load(FILE.read_text())


def test_rays_schema_accepts_it(config):
    validate_config(prepare_config(config))


def test_workers_are_gpu_spot_instances_and_the_head_is_not(config):
    types = config["available_node_types"]
    worker = types["gpu_worker"]["node_config"]
    assert worker["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["InstanceType"].startswith(("g", "p"))
    assert types[config["head_node_type"]]["node_config"]["InstanceType"].startswith("m")


def test_token_authentication_is_on_wherever_ray_starts(config):
    for role in ("head", "worker"):
        starts = [c for c in config[f"{role}_start_ray_commands"] if "ray start" in c]
        assert starts
        assert all("RAY_AUTH_MODE=token" in command for command in starts)
    assert "/home/ray/.ray/auth_token" in config["file_mounts"]


def test_nothing_but_ssh_is_opened(config):
    assert "IpPermissions" not in config["provider"]["security_group"]
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])


def test_what_is_left_out_lies_at_the_top_alone(config):
    patterns = set(config["rsync_exclude"]) - {"__pycache__"}
    assert all(pattern.startswith("/") for pattern in patterns)


def test_this_version_is_installed_with_rapids(config):
    assert config["file_mounts"]["/home/ray/rayred"] == "."
    assert "./rayred[rapids]" in config["setup_commands"][0]
    pinned = (FILE.parent / "constraints.txt").read_text()
    assert f"ray=={config['docker']['head_image'].split(':')[1].split('-')[0]}" in pinned
    assert rayred.__version__
