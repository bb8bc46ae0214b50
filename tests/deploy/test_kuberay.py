"""Manifests of KubeRay: its own keys by a schema of ours, pods by Kubernetes' own schema."""

from __future__ import annotations

import copy
import json
import shlex
from pathlib import Path

import kubernetes_validate
import pytest
from jsonschema import Draft202012Validator

import rayred
from rayred.arguments import parser
from rayred.config.shipped import describe_experiments
from tests.deploy.files import MANIFESTS, pins, read

SCHEMA = json.loads((Path(__file__).parent / "kuberay.schema.json").read_text())


def faults(manifest):
    """What is wrong with a manifest."""
    validator = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{manifest['kind']}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def cluster_of(manifest):
    return manifest["spec"].get("rayClusterSpec", manifest["spec"])


@pytest.fixture(params=MANIFESTS)
def manifest(request):
    return read(request.param)


@pytest.fixture
def cluster(manifest):
    return cluster_of(manifest)


@pytest.fixture
def groups(cluster):
    """The head and the worker group."""
    (worker,) = cluster["workerGroupSpecs"]
    return {"head": cluster["headGroupSpec"], "worker": worker}


@pytest.fixture
def containers(groups):
    pods = {role: group["template"]["spec"] for role, group in groups.items()}
    return {role: container for role in pods for container in pods[role]["containers"]}


def test_there_is_a_cluster_and_a_job():
    assert MANIFESTS == ["deploy/kuberay/raycluster.yaml", "deploy/kuberay/rayjob.yaml"]


def test_kuberay_knows_every_key(manifest):
    assert faults(manifest) == []


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (["spec"], "authOption", {"mode": "token"}),
        (["spec", "authOptions"], "mode", "on"),
        (["spec", "workerGroupSpecs", 0], "minReplica", 0),
        (["spec", "headGroupSpec", "rayStartParams"], "num-cpus", 0),
        (["spec"], "rayVersion", 2.6),
    ],
)
def test_a_fault_in_a_manifest_is_found(where, key, value):
    manifest = copy.deepcopy(read("deploy/kuberay/raycluster.yaml"))
    part = manifest
    for step in where:
        part = part[step]
    part[key] = value
    assert len(faults(manifest)) == 1


def test_kubernetes_knows_every_key_of_the_pods(groups):
    for group in groups.values():
        metadata = {"name": "pod"}
        template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata}
        version = kubernetes_validate.latest_version()
        kubernetes_validate.validate(
            {**template, "template": group["template"]}, version, strict=True
        )


def test_a_fault_in_a_pod_is_found(groups):
    groups["head"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        test_kubernetes_knows_every_key_of_the_pods(groups)


def test_both_have_the_same_cluster():
    first, second = (cluster_of(read(file)) for file in MANIFESTS)
    assert first == second


def test_token_authentication_is_on(cluster):
    assert cluster["authOptions"] == {"mode": "token"}


def test_nothing_is_opened_outside_of_kubernetes(cluster):
    head = cluster["headGroupSpec"]
    assert {"serviceType", "headService", "enableIngress", "ingressOptions"}.isdisjoint(head)


def test_versions_are_those_of_this_repository(cluster, containers):
    assert cluster["rayVersion"] == pins()["ray"]
    images = {container["image"] for container in containers.values()}
    assert images == {f"REGISTRY/rayred:{rayred.__version__}"}


def test_workers_have_gpus_and_start_when_they_are_needed(cluster, groups, containers):
    assert cluster["enableInTreeAutoscaling"]
    assert (groups["worker"]["minReplicas"], groups["worker"]["maxReplicas"]) == (0, 8)
    assert containers["worker"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in containers["head"]["resources"]["limits"]


def test_all_pods_use_the_bucket_by_one_account(groups):
    accounts = {group["template"]["spec"]["serviceAccountName"] for group in groups.values()}
    assert accounts == {"rayred"}


def test_the_job_is_a_command_of_rayred_with_its_run_folder_in_a_bucket():
    spec = read("deploy/kuberay/rayjob.yaml")["spec"]
    program, *words = shlex.split(spec["entrypoint"])
    arguments = parser().parse_args(words)
    assert program == "rayred"
    assert arguments.experiment in describe_experiments()
    assert str(arguments.out).startswith("s3:")
    assert spec["shutdownAfterJobFinishes"]
