import msgspec

from tunegate.contract.request import TrainRequest
from tunegate.contract.secret import decode_hook
from tunegate.sdk.redact import redacted_request

CANARY = "canary-4711"


def decode(body: dict[str, object]) -> TrainRequest:
    return msgspec.convert(body, TrainRequest, dec_hook=decode_hook)


def planted() -> TrainRequest:
    return decode(
        {
            "job_id": "job-1",
            "base_model": {
                "provider": "custom",
                "model_name": f"https://me:{CANARY}@host/model",
                "auth_token": CANARY,
                "huggingface_token": CANARY,
                "weights_url": f"https://host/w.tar?sig={CANARY}",
            },
            "customization": {"method": "lora", "rank": 8},
            "datasets": [
                {
                    "source": f"https://host/d.jsonl?sig={CANARY}",
                    "format": "auto",
                    "auth": {
                        "external_id": CANARY,
                        "aws_access_key_id": CANARY,
                        "aws_secret_access_key": CANARY,
                        "aws_session_token": CANARY,
                        "token": CANARY,
                        "username": CANARY,
                        "password": CANARY,
                        "aws_region": "eu-west-1",
                    },
                }
            ],
            "artifacts": {
                "output_uri": "s3://bucket/out",
                "status_stream_url": f"wss://host/{CANARY}",
                "auth": {"token": CANARY},
            },
            "callbacks": {"webhook_url": f"https://host/{CANARY}?{CANARY}", "auth_header": CANARY},
            "extra_parameters": {
                "API_Token": CANARY,
                "nested": [{"some_password": {"deep": CANARY}}],
                "link": f"https://host/x?sig={CANARY}",
                "queue": "a100",
            },
        }
    )


def test_no_secret_survives_and_nothing_else_is_lost() -> None:
    redacted = redacted_request(planted())
    assert CANARY.encode() not in redacted
    body = msgspec.json.decode(redacted)
    assert body["datasets"][0]["source"] == "https://host/d.jsonl"
    assert body["datasets"][0]["auth"]["aws_region"] == "eu-west-1"
    assert body["datasets"][0]["auth"]["token"] == "***"
    assert body["callbacks"]["webhook_url"] == "https://host/***"
    assert body["extra_parameters"]["queue"] == "a100"
    assert body["customization"] == {"method": "lora", "rank": 8}


def test_the_result_is_canonical_and_a_request_again() -> None:
    redacted = redacted_request(planted())
    again = msgspec.json.decode(redacted, type=TrainRequest, dec_hook=decode_hook)
    assert redacted_request(again) == redacted
