"""What a run of tests costs before its first answer: one test for each of four workers. START says with what."""

import os

import pytest


@pytest.fixture
def client(request):
    if os.environ["START"] == "fixtures":
        return request.getfixturevalue("lattice")
    import boto3  # As the fixtures do, in the test and not when tests are collected.

    return boto3.client(
        "vpc-lattice", endpoint_url="http://127.0.0.1:1", region_name="us-west-2", aws_access_key_id="any", aws_secret_access_key="any"
    )


@pytest.mark.parametrize("number", range(4))
def test_a_client(number, client):
    if os.environ["START"] == "fixtures":
        assert client.list_services()["items"] == []
