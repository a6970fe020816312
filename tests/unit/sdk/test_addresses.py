import pytest

from tunegate.sdk.addresses import (
    has_credentials,
    job_folder,
    public_address,
    public_origin,
    query_of,
    without_query,
)


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("s3://bucket/results/", "s3://bucket/results/job-1/"),
        ("s3://bucket/results", "s3://bucket/results/job-1/"),
        ("s3://bucket/results/job-1", "s3://bucket/results/job-1/"),
        ("s3://bucket/results/job-1/", "s3://bucket/results/job-1/"),
        ("s3://bucket", "s3://bucket/job-1/"),
        ("s3://job-1", "s3://job-1/job-1/"),
        ("file:///data/out", "file:///data/out/job-1/"),
        ("/data/out", "/data/out/job-1/"),
        ("/data/job-1/", "/data/job-1/"),
        ("s3://bucket/not-job-1", "s3://bucket/not-job-1/job-1/"),
    ],
)
def test_job_folder(uri: str, folder: str) -> None:
    assert job_folder(uri, "job-1") == folder
    assert job_folder(folder, "job-1") == folder


@pytest.mark.parametrize(
    ("uri", "address", "query"),
    [
        ("https://host/a.jsonl?X-Sig=1&b=2#c", "https://host/a.jsonl", "X-Sig=1&b=2"),
        ("https://host/a.jsonl", "https://host/a.jsonl", None),
        ("https://host/a?", "https://host/a", None),
        ("s3://bucket/what?.jsonl", "s3://bucket/what?.jsonl", None),
        ("/data/what?.jsonl", "/data/what?.jsonl", None),
    ],
)
def test_queries_are_of_http_only(uri: str, address: str, query: str | None) -> None:
    assert without_query(uri) == address
    assert query_of(uri) == query


def test_public_forms_hide_credentials() -> None:
    assert public_address("https://me:pw@host/a?sig=1") == "https://***@host/a"
    assert public_address("s3://bucket/me@home/a") == "s3://bucket/me@home/a"
    assert public_origin("https://me:pw@host:8443/T/secret?x=1") == "https://host:8443/***"
    assert public_origin("no address") == "***"
    assert has_credentials("https://me@host/")
    assert not has_credentials("https://host/@me")
