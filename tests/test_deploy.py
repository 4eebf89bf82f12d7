"""The examples of deployment are what they are said to be: they parse, and what they name is there."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
PSEUDO = {"AWS::StackName", "AWS::Region", "AWS::Partition"}


class Template(yaml.SafeLoader):  # type: ignore[misc]
    """CloudFormation's YAML: short forms of functions are tags, and there are no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        assert not self.check_event(yaml.AliasEvent), "CloudFormation knows no aliases"
        return super().compose_node(parent, index)


Template.add_multi_constructor("!", lambda loader, name, node: {name: loader.construct_scalar(node)})


def everything(value: Any) -> Iterator[Any]:
    """A value and all that is in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything(inner)


def named(function: dict[str, str]) -> set[str]:
    """What a function of a template refers to."""
    if "Sub" in function:
        return set(re.findall(r"\$\{([^}]+)\}", function["Sub"]))
    return {function.get("Ref") or function.get("GetAtt", "").split(".")[0]}


def test_the_template_for_fargate() -> None:
    """Each reference leads to a parameter or a resource, and containers mount volumes that their tasks have."""
    template = yaml.load((DEPLOY / "fargate.yaml").read_text(), Template)
    known = {*template["Parameters"], *template["Resources"], *PSEUDO}
    functions = [one for one in everything(template) if isinstance(one, dict) and {"Ref", "GetAtt", "Sub"} & set(one)]
    assert len(functions) > 40
    assert not {name for one in functions for name in named(one)} - known
    for resource in template["Resources"].values():
        after = resource.get("DependsOn", [])
        assert set(after) <= set(template["Resources"])
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            volumes = {volume["Name"] for volume in resource["Properties"]["Volumes"]}
            for container in resource["Properties"]["ContainerDefinitions"]:
                assert {mount["SourceVolume"] for mount in container["MountPoints"]} == volumes
                assert all(isinstance(word, str | dict) for word in container["Command"])


@pytest.mark.parametrize("kind", ["DaskCluster", "Job", "NetworkPolicy", "PersistentVolumeClaim"])
def test_the_manifests_for_kubernetes(kind: str) -> None:
    """Each document is one of those kinds, by itself; pods mount the claim, run as nobody special and find the scheduler."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    of_kind = {one["kind"]: one for one in documents}
    assert len(of_kind) == len(documents)
    pods = [one for one in everything(of_kind[kind]) if isinstance(one, dict) and "containers" in one]
    assert len(pods) == {"DaskCluster": 2, "Job": 1}.get(kind, 0)
    claim = of_kind["PersistentVolumeClaim"]["metadata"]["name"]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        claims = {one["name"]: one["persistentVolumeClaim"]["claimName"] for one in pod.get("volumes", [])}
        assert set(claims.values()) <= {claim}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} == set(claims)
    address = f"tcp://{of_kind['DaskCluster']['metadata']['name']}-scheduler:8786"
    assert address in of_kind["Job"]["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_image_has_what_the_manifests_start() -> None:
    """It installs the extra, and runs as the user that owns the files."""
    lines = (DEPLOY / "Dockerfile").read_text()
    assert "[cluster]" in lines
    assert "--uid 10001" in lines
    for file in ("kubernetes.yaml", "fargate.yaml"):
        assert "10001" in (DEPLOY / file).read_text()


def test_options_that_the_examples_give() -> None:
    """What is started is a command of today, with options that it has."""
    from auditor.options import Options

    for file in ("kubernetes.yaml", "fargate.yaml"):
        text = (DEPLOY / file).read_text()
        for option in re.findall(r"^\s*- --(topology|scheduler|out|jobs)$", text, re.MULTILINE):
            assert hasattr(Options(), option)
        assert "--scheduler" in text
