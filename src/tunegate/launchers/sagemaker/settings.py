"""`[launchers.sagemaker]` of the operator's configuration."""

from typing import Annotated

from msgspec import Meta

from tunegate.contract.base import Strict

Count = Annotated[int, Meta(ge=0)]


class InstanceType(Strict):
    """One line of the table from resources to instances."""

    type: str
    cpus: Annotated[int, Meta(ge=1)]
    memory_gb: Annotated[int, Meta(ge=1)]
    gpus: Count = 0
    gpu_type: str | None = None
    """The words that jobs may ask for it by: `A100 80GB` fits who wants `a100`."""
    volume_gb: Annotated[int, Meta(ge=1)] | None = None
    """Instead of the setting of that name; instances with disks of their own have only so much."""


class SageMakerSettings(Strict):
    """The AWS identity is the gateway machine's own. docs/launchers/sagemaker.md has the permissions."""

    role_arn: str
    """The role that training jobs take on; it must be able to read s3_prefix and the images."""
    s3_prefix: Annotated[str, Meta(pattern=r"^s3://[^/]+/")]
    """The operator's own place (s3://bucket/prefix/) for what is handed to a run; no user's output."""
    region: str = "us-east-1"
    """Where training jobs run."""
    name_prefix: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*-?$", max_length=30)] = (
        "tunegate-"
    )
    """Before every training job's name; gateways that share an account and region need different ones."""
    image: str | None = None
    """Image of the jobs that name none, in ECR (not set = trainer.image)."""
    instances: list[InstanceType] = []
    """Which instances there are, the ones to prefer first (empty = a list of usual ones)."""
    volume_gb: Annotated[int, Meta(ge=1)] = 100
    """Disk of every instance."""
    spot: bool = False
    """Use spot capacity where a job does not say: cheaper, and it may be taken away, which is a new attempt."""
    spot_wait_minutes: Count = 240
    """How long a job may wait for spot capacity, its running time aside."""
    keep_alive_minutes: Annotated[int, Meta(ge=0, le=360)] = 0
    """Keep instances warm for the next job for so long after the end; it is paid for. Not with spot."""
    subnets: list[str] = []
    """Run in these subnets of a VPC; they need a way to S3 and the model hub."""
    security_group_ids: list[str] = []
    """Security groups in the VPC."""
    network_isolation: bool = False
    """No network for containers at all: only for images that bring everything and write to /opt/ml/model."""
    encrypt_traffic: bool = False
    """Encrypt what the instances of one job say to each other."""
    s3_kms_key_id: str | None = None
    """KMS key for the objects below s3_prefix, which hold the jobs' credentials until they are claimed (not set = the bucket's own)."""
    volume_kms_key_id: str | None = None
    """KMS key for the instances' disks; not for instances that have disks of their own."""
    output_kms_key_id: str | None = None
    """KMS key for what SageMaker itself uploads."""
    tags: dict[str, str] = {}
    """Further tags of every training job."""
    keep_records: bool = False
    """Leave finished training jobs in SageMaker's list; else they are deleted once their log is kept."""
    endpoint_url: str | None = None
    """Where SageMaker's API is, when it is not Amazon's own of the region."""
    logs_endpoint_url: str | None = None
    """The same for CloudWatch Logs."""
    s3_endpoint_url: str | None = None
    """The same for S3."""
    s3_path_style: bool = False
    """Put the bucket into the path, not the host name."""

    def __post_init__(self) -> None:
        """Raises ValueError for a VPC by half."""
        if bool(self.subnets) != bool(self.security_group_ids):
            raise ValueError("subnets and security_group_ids go together")
