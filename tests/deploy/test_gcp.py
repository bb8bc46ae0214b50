"""deploy/gcp.yaml by Google's own description of its API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache
import pytest
from jsonschema import Draft202012Validator

from tests.deploy.files import read

CONFIG = read("deploy/gcp.yaml")
NODES = {name: kind["node_config"] for name, kind in CONFIG["available_node_types"].items()}


def strict(description: Any) -> Any:
    """A part of Google's description as JSON schema that takes no other keys."""
    if isinstance(description, list):
        return [strict(part) for part in description]
    if not isinstance(description, dict):
        return description
    schema = {key: strict(value) for key, value in description.items()}
    if isinstance(schema.get("$ref"), str):
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    if schema.get("format") == "int64":
        return {"type": ["string", "integer"]}
    if "properties" in schema and schema.get("type") == "object":
        schema["additionalProperties"] = False
    return schema


@pytest.fixture(scope="module")
def instance():
    """The schema of the machine that Ray asks Google Cloud for."""
    folder = Path(googleapiclient.discovery_cache.__file__).parent / "documents"
    described = json.loads((folder / "compute.v1.json").read_text())["schemas"]
    used = {name: strict(schema) for name, schema in described.items()}
    return Draft202012Validator({"$ref": "#/$defs/Instance", "$defs": used})


@pytest.mark.parametrize("name", NODES)
def test_google_knows_every_key(name, instance):
    assert [error.message for error in instance.iter_errors(NODES[name])] == []


def test_a_key_that_google_does_not_know_is_found(instance):
    wrong = {**NODES["gpu_worker"], "scheduling": [{"preemptible": True}]}
    assert not instance.is_valid(wrong)


def test_only_the_worker_is_a_spot_machine_and_it_leaves_nothing_behind():
    scheduling = NODES["gpu_worker"]["scheduling"]
    assert scheduling["provisioningModel"] == "SPOT"
    assert scheduling["instanceTerminationAction"] == "DELETE"
    assert "scheduling" not in NODES["head"]
    assert all(disk["autoDelete"] for node in NODES.values() for disk in node["disks"])


def test_the_worker_has_the_account_that_ray_makes_for_the_head():
    from ray.autoscaler._private.gcp import config as gcp

    (account,) = NODES["gpu_worker"]["serviceAccounts"]
    project = CONFIG["provider"]["project_id"]
    assert account["email"] == gcp.SERVICE_ACCOUNT_EMAIL_TEMPLATE.format(
        account_id=gcp.DEFAULT_SERVICE_ACCOUNT_ID, project_id=project
    )
    assert "roles/storage.objectAdmin" in gcp.DEFAULT_SERVICE_ACCOUNT_ROLES


def test_all_are_in_one_zone_and_in_a_network_of_their_own():
    region, zone = (CONFIG["provider"][key] for key in ("region", "availability_zone"))
    for node in NODES.values():
        (network,) = node["networkInterfaces"]
        (disk,) = node["disks"]
        assert network["subnetwork"] == f"regions/{region}/subnetworks/rayred"
        assert disk["initializeParams"]["diskType"] == f"zones/{zone}/diskTypes/pd-balanced"
