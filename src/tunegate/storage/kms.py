"""`KmsKeys`: AWS KMS as the key service of the sealer, dialled through the egress guard like all of AWS."""

from contextlib import AsyncExitStack
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from tunegate.contract.training import StoragePolicy
from tunegate.egress import EgressError
from tunegate.sdk.key_service import DataKey, KeyServiceUnavailable, Place, WrongKey
from tunegate.storage.aws import service_client
from tunegate.storage.aws_errors import code_of

_NEVER = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
"""The bytes or the place are not those that were wrapped. A disabled or forbidden key may come back."""


class KmsKeys:
    """One KMS key (id, ARN or alias), with this machine's own AWS identity. An async context manager.

    The place is KMS's encryption context: it stands in CloudTrail, and a wrapped key opens for no other.
    """

    def __init__(self, key_id: str, region: str, endpoint_url: str | None = None) -> None:
        self._key_id = key_id
        self._region = region
        self._endpoint_url = endpoint_url
        self._stack = AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        # Private addresses: within a cloud network the service's own name leads to one.
        policy = StoragePolicy(
            allow_ambient_credentials=True,
            allow_private_addresses=True,
            allow_http=(self._endpoint_url or "").startswith("http://"),
            s3_region=self._region,
        )
        client = service_client("kms", policy, self._endpoint_url)
        self._client = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._client = None
        await self._stack.aclose()

    @property
    def key_id(self) -> str:
        return self._key_id

    async def new_key(self, place: Place) -> DataKey:
        answer = await self._call(
            "generate_data_key",
            KeyId=self._key_id,
            KeySpec="AES_256",
            EncryptionContext=dict(place),
        )
        return DataKey(answer["Plaintext"], answer["CiphertextBlob"])

    async def wrap(self, plain: bytes, place: Place) -> bytes:
        answer = await self._call(
            "encrypt", KeyId=self._key_id, Plaintext=plain, EncryptionContext=dict(place)
        )
        return answer["CiphertextBlob"]

    async def unwrap(self, wrapped: bytes, place: Place, key_id: str) -> bytes:
        answer = await self._call(
            "decrypt", KeyId=key_id, CiphertextBlob=wrapped, EncryptionContext=dict(place)
        )
        return answer["Plaintext"]

    async def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        if self._client is None:
            raise KeyServiceUnavailable("it is not connected")
        try:
            return await getattr(self._client, operation)(**request)
        except ClientError as error:
            code = code_of(error)
            if code in _NEVER:
                raise WrongKey from None
            raise KeyServiceUnavailable(code or "it refused") from None
        except EgressError as error:
            raise KeyServiceUnavailable(str(error)) from None
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise KeyServiceUnavailable(type(error).__name__) from None
