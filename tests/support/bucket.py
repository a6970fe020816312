"""Where the small world keeps its things on S3."""

from support.world import BUCKET
from tunegate.contract.request import Auth
from tunegate.contract.secret import Secret
from tunegate.contract.training import StoragePolicy
from tunegate.sdk.testing.s3_server import S3Server
from tunegate.storage.s3 import S3Store

BASE = f"s3://{BUCKET}/models/base/"
DATA = f"s3://{BUCKET}/data/colours.jsonl"


def open_bucket(s3: S3Server) -> S3Store:
    policy = StoragePolicy(
        s3_endpoint_url=s3.endpoint_url, s3_path_style=True, allow_private_addresses=True
    )
    auth = Auth(
        aws_access_key_id=Secret(s3.access_key), aws_secret_access_key=Secret(s3.secret_key)
    )
    return S3Store(policy, auth)
