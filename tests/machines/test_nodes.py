"""What is said of nodes that differ, and of addresses that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from rayred.errors import ConfigError
from rayred.machines import answering
from rayred.machines.answering import check_node_of
from rayred.machines.connect import Cluster
from rayred.machines.nodes import Node, look_at_nodes, problems_of
from rayred.machines.probe import own_source, probe


@pytest.fixture(scope="module")
def node() -> Node:
    """A node that is as this machine is."""
    return Node("10.0.0.7", **{**probe(None, None), "gpus": (), "clock": 0.0})


def problems(node: Node, storage: str | None = None) -> str:
    return "; ".join(problems_of([node], storage)[node.address])


def test_a_node_like_this_machine_has_no_problem(node):
    assert problems(node) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rayred": "0.0.9"}, "has another rayred (0.0.9 instead of"),
        ({"source": "0123456789ab"}, "with other source): install the same on every node"),
        ({"rayred": "", "source": ""}, "rayred is not installed for the Python that Ray runs"),
        ({"clock": -3600.0}, "its clock is -3600 s from this machine's: set them by NTP"),
        ({"storage": "OSError: no"}, "storage /x OSError: no; name a folder that all nodes share"),
        ({"failure": "does not answer: gone"}, "does not answer: gone"),
    ],
)
def test_what_makes_a_study_fail_is_said_with_the_remedy(node, change, said):
    assert said in problems(replace(node, **change), "/x")


def test_other_packages_are_named_with_both_versions(node):
    other = replace(node, packages={**node.packages, "torch": "2.0.0", "numpy": ""})
    ours = node.packages
    assert problems(other) == (
        f"has torch 2.0.0 instead of {ours['torch']}: install the same; has numpy missing instead"
        f" of {ours['numpy']}: install the same"
    )


def test_secrets_of_a_url_are_not_said(node):
    bad = replace(node, storage="cannot be reached")
    assert "s3://runs/x cannot" in problems(bad, "s3://who:what@runs/x?region=y")
    assert "what" not in problems(bad, "s3://who:what@runs/x?region=y")


def test_the_nodes_of_a_cluster_are_looked_at_from_within(cluster, tmp_path):  # noqa: ARG001
    (found,) = look_at_nodes(str(tmp_path))
    assert found.failure == ""
    assert (found.source, found.storage, found.clock) == (own_source(), "", 0.0)
    assert found.describe().startswith(f"rayred {found.rayred} ({own_source()}), Python 3.")
    assert list(tmp_path.iterdir()) == []
    (blocked := tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        look_at_nodes(str(blocked))


@pytest.fixture
def no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".ray" / "auth_token"


def test_a_token_that_is_missing_or_empty_is_said_before_ray_ends_the_process(no_token):
    with pytest.raises(ConfigError, match=rf"the token file {no_token} cannot be read \(No such"):
        check_node_of("auto")
    no_token.parent.mkdir()
    no_token.write_text("\n")
    with pytest.raises(ConfigError, match=rf"the token file {no_token} is empty"):
        check_node_of("auto")


def test_ray_client_and_what_is_no_address_are_refused():
    with pytest.raises(ConfigError, match="not through Ray Client: use --address auto"):
        check_node_of("ray://127.0.0.1:10001")
    with pytest.raises(ConfigError, match="--address nonsense: no Ray cluster answers there"):
        check_node_of("nonsense")


def test_a_caller_on_no_node_is_told_how_to_reach_one(cluster, monkeypatch):  # noqa: ARG001
    """As on another machine, that has none of the addresses of the cluster's nodes."""
    monkeypatch.setattr(answering.psutil, "net_if_addrs", dict)
    address = ray.get_runtime_context().gcs_address
    with pytest.raises(ConfigError, match=r"is no node of the cluster there .*ray job submit"):
        check_node_of(address)


def test_this_machine_is_a_node_of_the_cluster_that_it_has_started(cluster: Cluster):
    assert cluster.own
    check_node_of(ray.get_runtime_context().gcs_address)
