"""The request of a training job (CreateTrainingJob, 2017-07-24). Pure; no secret is in it."""

import math
import re
import shlex
from typing import Any

from tunegate.contract.training import PROCESSES
from tunegate.launchers.sagemaker.options import SageMakerOptions
from tunegate.launchers.sagemaker.settings import InstanceType, SageMakerSettings
from tunegate.sdk.launcher import LaunchRefused, Run
from tunegate.sdk.run_files import WORK, command_of

CHANNEL = "tunegate"
FILES_FOLDER = f"/opt/ml/input/data/{CHANNEL}"
"""Where SageMaker puts the objects of the channel."""
WORK_FOLDER = "/tmp/tunegate"  # noqa: S108  on the instance's own disk, and every user may write there
CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
SCRIPT = "command.sh"
"""The command of a run whose arguments or variables are longer than the API takes them."""
ARGUMENT_MAX, ARGUMENTS_MAX = 256, 100
VALUE_MAX, VARIABLES_MAX = 512, 100
REQUEST, STOP, REMOVE = "json", "stop", "remove"
"""Marks that a run has on S3; `folders` says what each means."""
NAME_MAX = 63
LONGEST_S = 28 * 86_400
MARGIN_S = 300.0
"""The gateway's own deadline comes first; downloads and uploads of SageMaker count too."""
SECONDS_PER_MINUTE = 60
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def job_name(settings: SageMakerSettings, run_name: str) -> str:
    """The training job of a run. Raises LaunchRefused for a name that can't be one."""
    name = settings.name_prefix + run_name
    if len(name) > NAME_MAX or not _NAME.fullmatch(name):
        raise LaunchRefused(
            f"the run's name makes none of at most {NAME_MAX} letters, digits and -"
        )
    return name


def folder_of(settings: SageMakerSettings, run_name: str) -> str:
    """The run's own place below the operator's prefix; an address that ends in `/`."""
    return f"{runs_of(settings)}{run_name}/"


def runs_of(settings: SageMakerSettings) -> str:
    """Where the folders of all runs lie."""
    return f"{settings.s3_prefix.rstrip('/')}/runs/"


def requests_of(settings: SageMakerSettings) -> str:
    """Where the requests of all runs lie."""
    return f"{settings.s3_prefix.rstrip('/')}/requests/"


def request_of(
    run: Run, options: SageMakerOptions, instance: InstanceType, settings: SageMakerSettings
) -> dict[str, Any]:
    """The whole request. Raises LaunchRefused for what SageMaker can't be given."""
    folder = folder_of(settings, run.name)
    runtime_s = min(LONGEST_S, math.ceil(run.remaining_s + run.grace_s + MARGIN_S))
    spot = settings.spot if options.spot is None else options.spot
    container = run.container
    image = settings.image if settings.image and not container.image_requested else container.image
    fits = fits_the_api(run)
    request: dict[str, Any] = {
        "TrainingJobName": job_name(settings, run.name),
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": command_of(run, FILES_FOLDER) if fits else _script_command(),
        },
        "RoleArn": settings.role_arn,
        "InputDataConfig": [_channel(f"{folder}files/")],
        "OutputDataConfig": {"S3OutputPath": f"{folder}output/"},
        "CheckpointConfig": {"S3Uri": f"{folder}checkpoints/", "LocalPath": CHECKPOINT_FOLDER},
        "ResourceConfig": {
            "InstanceType": instance.type,
            "InstanceCount": container.resources.nodes,
            "VolumeSizeInGB": options.volume_gb or instance.volume_gb or settings.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": runtime_s},
        "EnableManagedSpotTraining": spot,
        "EnableNetworkIsolation": settings.network_isolation,
        "EnableInterContainerTrafficEncryption": settings.encrypt_traffic,
        "Environment": variables_of(run) if fits else {},
        "Tags": [
            {"Key": key, "Value": value}
            for key, value in sorted({**settings.tags, **_own_tags(run, settings)}.items())
        ],
    }
    if spot:
        wait_s = settings.spot_wait_minutes * SECONDS_PER_MINUTE
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = min(LONGEST_S, runtime_s + wait_s)
    elif settings.keep_alive_minutes:
        keep_s = settings.keep_alive_minutes * SECONDS_PER_MINUTE
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = keep_s
    if settings.volume_kms_key_id:
        request["ResourceConfig"]["VolumeKmsKeyId"] = settings.volume_kms_key_id
    if settings.output_kms_key_id:
        request["OutputDataConfig"]["KmsKeyId"] = settings.output_kms_key_id
    if settings.subnets:
        request["VpcConfig"] = {
            "SecurityGroupIds": settings.security_group_ids,
            "Subnets": settings.subnets,
        }
    return request


def variables_of(run: Run) -> dict[str, str]:
    """The run's variables. The trainer finds its fellow nodes by SageMaker's own file of hosts."""
    processes = str(max(1, run.container.resources.gpus))
    return {**run.container.env, PROCESSES: processes, WORK: WORK_FOLDER}


def fits_the_api(run: Run) -> bool:
    """Whether arguments and variables are as short and as few as the API wants them."""
    command, variables = command_of(run, FILES_FOLDER), variables_of(run)
    return (
        len(command) <= ARGUMENTS_MAX
        and all(0 < len(part) <= ARGUMENT_MAX for part in command)
        and len(variables) <= VARIABLES_MAX
        and all(len(value) <= VALUE_MAX for value in variables.values())
        and all(_VARIABLE.fullmatch(name) for name in variables)
    )


def script_of(run: Run) -> bytes:
    """What stands in for command and variables that do not fit. Raises LaunchRefused for a variable that no shell takes."""
    lines = ["#!/bin/sh"]
    for name, value in sorted(variables_of(run).items()):
        if not _VARIABLE.fullmatch(name):
            raise LaunchRefused("a variable of the container has a name that no shell takes")
        lines.append(f"export {name}={shlex.quote(value)}")
    lines.append(f"exec {shlex.join(command_of(run, FILES_FOLDER))}")
    return ("\n".join(lines) + "\n").encode()


def _script_command() -> list[str]:
    return ["/bin/sh", f"{FILES_FOLDER}/{SCRIPT}"]


def _channel(uri: str) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    return {"ChannelName": CHANNEL, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _own_tags(run: Run, settings: SageMakerSettings) -> dict[str, str]:
    return {
        "tunegate:run": run.name,
        "tunegate:job": run.job_id,
        "tunegate:gateway": settings.name_prefix,
    }
