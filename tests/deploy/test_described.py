"""What docs/cluster.md says of the files: their keys, and the words to be replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.deploy.files import LAUNCHERS, MANIFESTS, ROOT, read

PAGE = (ROOT / "docs" / "cluster.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))
NO_PLACEHOLDERS = {"CPU", "GPU", "DELETE", "NAT", "ONE_TO_ONE_NAT", "SPOT", "TERMINATE"}


def keys_of_launcher(config: dict) -> Iterator[str]:
    """The keys at the top, of the cloud, of containers and of machines."""
    yield from config
    for part in ("provider", "auth", "docker"):
        yield from config.get(part, {})
    for node_type in config.get("available_node_types", {}).values():
        yield from node_type
        yield from node_type["node_config"]


def keys_of_manifest(manifest: dict) -> Iterator[str]:
    """KubeRay's keys of a job, a cluster and its groups, and those of their pods."""
    cluster = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    yield from manifest["spec"]
    yield from cluster
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield from group
        yield from group["template"]["spec"]


def placeholders(file: str) -> set[str]:
    """Words in capitals in a file's values that are neither the cloud's nor variables."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in (ROOT / file).read_text().splitlines()]
    without_variables = re.sub(r"RAY_\w+|\$\w+|\w+=", "", "\n".join(lines))
    return set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", without_variables)) - NO_PLACEHOLDERS


@pytest.mark.parametrize("file", LAUNCHERS)
def test_every_key_of_a_launcher_is_explained(file):
    assert set(keys_of_launcher(read(file))) <= NAMED


@pytest.mark.parametrize("file", MANIFESTS)
def test_every_key_of_a_manifest_is_explained(file):
    assert set(keys_of_manifest(read(file))) <= NAMED


@pytest.mark.parametrize("file", [*LAUNCHERS, *MANIFESTS])
def test_every_word_to_be_replaced_is_explained(file):
    assert file in NAMED
    assert placeholders(file) <= NAMED


def test_the_words_to_be_replaced_are_found():
    assert placeholders("deploy/gcp.yaml") == {"PROJECT"}
    assert placeholders("deploy/kuberay/rayjob.yaml") == {"BUCKET", "REGISTRY"}
