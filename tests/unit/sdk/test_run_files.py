"""What is laid beside a run, and what its program is told."""

import msgspec

from tunegate.contract.container import ContainerSpec, Protocol, ResourceRequest
from tunegate.contract.secret import Secret
from tunegate.sdk.launcher import Run
from tunegate.sdk.run_files import CONTAINER_FOLDER, container_env, public_files, secret_files


def run(protocol: Protocol = "attempt", **env: str) -> Run:
    container = ContainerSpec(
        image="i", command=["python"], resources=ResourceRequest(), env=env, protocol=protocol
    )
    return Run(
        name="tg-a-1",
        job_id="a",
        attempt=1,
        attempt_id="uid-1",
        container=container,
        gateway_url="https://gw.example:8443/",
        claim_token=Secret("canary"),
    )


def test_a_trainer_is_told_nothing_but_its_own() -> None:
    assert container_env(run(A="1"), CONTAINER_FOLDER) == {"A": "1"}


def test_a_program_that_reports_is_told_where_to() -> None:
    told = container_env(run("kubeflow", A="1", SSL_CERT_FILE="{files}/ca.pem"), CONTAINER_FOLDER)
    assert told == {
        "A": "1",
        "SSL_CERT_FILE": "/tunegate/files/ca.pem",
        "KUBEFLOW_TRAINER_SERVER_URL": (
            "https://gw.example:8443/internal/namespaces/tunegate/trainjobs/uid-1/status"
        ),
        "KUBEFLOW_TRAINER_SERVER_CA_CERT": "/tunegate/files/ca.pem",
        "KUBEFLOW_TRAINER_SERVER_TOKEN": "/tunegate/files/claim-token",
    }
    assert container_env(run("kubeflow"), "/x")["KUBEFLOW_TRAINER_SERVER_CA_CERT"] == ""


def test_the_token_is_in_a_secret_file_alone() -> None:
    one = run("kubeflow")
    assert secret_files(one) == {"claim-token": b"canary"}
    assert b"canary" not in b"".join(public_files(one).values())
    assert "canary" not in str(msgspec.to_builtins(dict(container_env(one, "/x"))))
