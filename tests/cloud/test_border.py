"""Hosts of other backends pay nothing for the SDKs; and what doctor prints is what the clients call."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flanpy.cloud import aws, gce
from flanpy.doctor.permissions import GCE_ROLE, IAM_POLICY

DOCS = Path(__file__).parents[2] / "docs" / "howto"


def test_daemon_and_ctl_load_no_sdk_and_nothing_of_the_cloud() -> None:
    code = (
        "import sys, flanpy.daemon.agent, flanpy.daemon.main, flanpy.cli.main, flanpy.cli.leave.cleanup\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'botocore', 'boto3'}"
        " or m.startswith(('google.auth', 'flanpy.cloud'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_backend_without_its_sdk_says_what_to_install() -> None:
    for module, missing, extra in (("aws", "botocore", "flanpy[aws]"), ("gce", "google.auth", "flanpy[gce]")):
        code = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from flanpy.errors import ConfigError\n"
            f"try:\n    import flanpy.cloud.{module}\nexcept ConfigError as error:\n    print(error)"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert extra in said.stdout


def test_policy_names_the_calls_that_are_made_and_no_other() -> None:
    source = Path(aws.__file__).read_text()
    called = set(re.findall(r'"((?:Describe|Create|Replace|Delete|Modify)[A-Za-z]+)"', source))
    allowed = {action for one in json.loads(IAM_POLICY)["Statement"] for action in one["Action"]}
    assert {f"ec2:{name}" for name in called} == allowed


def test_role_names_the_methods_that_are_called() -> None:
    methods = set(re.findall(r'_call\(\s*"([a-zA-Z]+\.[a-z]+)"', Path(gce.__file__).read_text()))
    verbs = {"insert": "create"}  # a permission's word for a method's
    wanted = {
        f"compute.{name.partition('.')[0]}.{verbs.get(v := name.partition('.')[2], v)}" for name in methods
    }
    # what a route's insertion needs of the network and of the instance that it leads to
    wanted |= {"compute.networks.updatePolicy", "compute.instances.use"}
    assert set(re.findall(r"- (compute\S+)", GCE_ROLE)) == wanted


@pytest.mark.parametrize(("page", "text"), [("aws-routes.md", IAM_POLICY), ("gce-routes.md", GCE_ROLE)])
def test_how_to_shows_what_doctor_prints(page: str, text: str) -> None:
    assert text.strip() in (DOCS / page).read_text()
