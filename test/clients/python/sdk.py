"""Calls the API through boto3, with its own paginators and exception classes."""

import os

import boto3
from botocore import xform_name
from botocore.config import Config
from network import check


class Caller:
    def __init__(self, attempts=1):
        # Credentials come as they do for any user: from the shared file that the environment names, or by themselves.
        self.client = boto3.client(
            "vpc-lattice",
            endpoint_url=os.environ["TRELLIS_API"],
            region_name="us-west-2",
            config=Config(retries={"total_max_attempts": attempts, "mode": "standard"}),
        )

        self.called = set()

    def operations(self):
        return set(self.client.meta.service_model.operation_names)

    def call(self, operation, parameters):
        self.called.add(operation)
        answer = getattr(self.client, xform_name(operation))(**parameters)
        del answer["ResponseMetadata"]
        return answer

    def refusal(self, exception, operation, parameters, status):
        try:
            answer = self.call(operation, parameters)
        except getattr(self.client.exceptions, exception) as e:
            got = e.response["ResponseMetadata"]["HTTPStatusCode"]
            check(got == status, f"{operation}: {exception} comes with the status {got}")
            check(e.response["Error"]["Message"], f"{operation}: {exception} has no message")
            return e.response
        raise AssertionError(f"{operation} was not refused: {answer}")

    def pages(self, operation, parameters, size):
        self.called.add(operation)
        paginator = self.client.get_paginator(xform_name(operation))
        return [page["items"] for page in paginator.paginate(**parameters, PaginationConfig={"PageSize": size})]
