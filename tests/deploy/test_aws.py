"""cluster.yaml on an AWS that moto plays: what Ray itself makes of it there."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws
from ray.autoscaler._private.util import prepare_config

from tests.deploy.files import read

REGION = "us-west-2"


@pytest.fixture(scope="module")
def ec2(tmp_path_factory):
    """AWS with the instances that Ray launches for the head and for one worker."""
    policies = {"iam": {"load_aws_managed_policies": True}}
    with pytest.MonkeyPatch.context() as patch, mock_aws(config=policies):
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # for the SSH key
        from ray.autoscaler._private.aws import config as aws
        from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

        patch.setattr(aws.time, "sleep", lambda _seconds: None)
        ec2 = boto3.client("ec2", region_name=REGION)
        config = read("cluster.yaml")
        for node_type in config["available_node_types"].values():
            assert node_type["node_config"]["ImageId"] == "AMI"
            node_type["node_config"]["ImageId"] = ec2.describe_images()["Images"][0]["ImageId"]
        config = aws.bootstrap_aws(prepare_config(config))
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, node_type in config["available_node_types"].items():
            of_head = config["head_node"] if name == "head" else {}
            tags = {"ray-user-node-type": name}
            provider.create_node({**of_head, **node_type["node_config"]}, tags, 1)
        yield ec2


@pytest.fixture
def instances(ec2):
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    tags = [{tag["Key"]: tag["Value"] for tag in instance["Tags"]} for instance in found]
    return {tag["ray-user-node-type"]: i for tag, i in zip(tags, found, strict=True)}


def test_only_ssh_is_open_to_the_outside(ec2, instances):
    (group,) = ec2.describe_security_groups(GroupNames=["rayred"])["SecurityGroups"]
    outside = [rule for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in outside] == [(22, 22)]
    groups = [i["SecurityGroups"] for i in instances.values()]
    assert [[g["GroupId"] for g in listed] for listed in groups] == [[group["GroupId"]]] * 2


def test_only_the_worker_is_a_spot_instance(instances):
    assert instances["gpu_worker"]["InstanceLifecycle"] == "spot"
    assert "InstanceLifecycle" not in instances["head"]


def test_head_and_worker_have_the_role_that_may_use_the_bucket(instances):
    iam = boto3.client("iam", region_name=REGION)
    profiles = {i["IamInstanceProfile"]["Arn"] for i in instances.values()}
    (profile,) = iam.list_instance_profiles()["InstanceProfiles"]
    assert profiles == {profile["Arn"]}
    (role,) = profile["Roles"]
    attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert "AmazonS3FullAccess" in {policy["PolicyName"] for policy in attached}


def test_all_are_in_one_zone_and_leave_no_volume_behind(instances):
    assert len({i["Placement"]["AvailabilityZone"] for i in instances.values()}) == 1
    (disks,) = zip(*(i["BlockDeviceMappings"] for i in instances.values()), strict=True)
    assert all(disk["Ebs"]["DeleteOnTermination"] for disk in disks)
