"""Creates a function in a moto server that answers without Docker, in words that are given."""

import io
import json
import sys
import urllib.request
import zipfile

import boto3

url, answer = sys.argv[1:3]


def post(path, data):
    request = urllib.request.Request(url + path, json.dumps(data).encode(), {"content-type": "application/json"}, method="POST")
    urllib.request.urlopen(request).read()


post("/moto-api/config", {"lambda": {"use_docker": False}})
post("/moto-api/static/lambda-simple/response", {"results": [answer] * 10, "region": "us-west-2"})
client = {"endpoint_url": url, "region_name": "us-west-2", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
role = boto3.client("iam", **client).create_role(RoleName="function", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.writestr("app.py", "def handler(event, context): return {}")
boto3.client("lambda", **client).create_function(
    FunctionName="far", Runtime="python3.12", Role=role, Handler="app.handler", Code={"ZipFile": code.getvalue()})
