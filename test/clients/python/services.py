"""What a client makes of a server to which AWS_ENDPOINT_URL sends the requests for all services: VPC Lattice, STS and
the Resource Groups Tagging API work, and errors of all others say what to do."""

import boto3
from botocore.exceptions import ClientError
from network import check, step


def client(service, profile=None):
    return boto3.Session(profile_name=profile).client(service, region_name="us-west-2")


def refusal(call, *arguments, **parameters):
    try:
        answer = call(*arguments, **parameters)
    except ClientError as e:
        return e.response
    raise AssertionError(f"it was not refused: {answer}")


step("other services")
for service, call in {
    "ec2": lambda c: c.describe_vpcs(),
    "s3": lambda c: c.list_buckets(),
    "iam": lambda c: c.list_users(),
    "dynamodb": lambda c: c.list_tables(),
    "lambda": lambda c: c.list_functions(),
    "route53": lambda c: c.list_hosted_zones(),
    "cloudwatch": lambda c: c.list_metrics(),
    "elbv2": lambda c: c.describe_load_balancers(),
    "logs": lambda c: c.describe_log_groups(),
    "ram": lambda c: c.list_permissions(),
}.items():
    seen = refusal(call, client(service))
    error = seen["Error"]
    check(error["Code"] == "UnsupportedService", f"{service}: the code is {error['Code']}")
    check("AWS_ENDPOINT_URL_VPC_LATTICE" in error["Message"], f"{service}: the message is {error['Message']}")
    status = seen["ResponseMetadata"]["HTTPStatusCode"]
    check(status == 400, f"{service}: the status is {status}")
# S3 sends the head of an object ahead, and waits.
seen = refusal(client("s3").put_object, Bucket="services", Key="svc", Body=b"x" * 1000)
check(seen["Error"]["Code"] == "UnsupportedService", f"the error is {seen['Error']}")

step("STS")
check(client("sts").get_caller_identity()["Account"] == "111111111111", "the account is another one")

step("resources by their tags")
lattice, tagging = client("vpc-lattice"), client("resourcegroupstaggingapi")
tags = {"team": "blue", "stage": "test"}
service = lattice.create_service(name="tagged", tags=tags)
network = lattice.create_service_network(name="tagged", tags={"team": "red"})
lattice.create_service(name="untagged")
answer = {"fixedResponse": {"statusCode": 404}}
listener = lattice.create_listener(
    serviceIdentifier=service["id"], name="http", protocol="HTTP", defaultAction=answer, tags={"team": "blue"}
)
match = {"httpMatch": {"pathMatch": {"match": {"exact": "/"}}}}
rule = lattice.create_rule(
    serviceIdentifier=service["id"], listenerIdentifier=listener["id"], name="root", priority=1, match=match, action=answer,
    tags={"stage": "test"},
)
logs = lattice.create_access_log_subscription(
    resourceIdentifier=network["id"], destinationArn="arn:aws:s3:::access-logs", tags={"team": "blue"}
)
association = lattice.create_service_network_vpc_association(
    serviceNetworkIdentifier=network["id"], vpcIdentifier="vpc-0123456789abcdef0", tags={"team": "blue"}
)


def arns(**parameters):
    pages = tagging.get_paginator("get_resources").paginate(**parameters)
    return [r["ResourceARN"] for page in pages for r in page["ResourceTagMappingList"]]


everything = [r["arn"] for r in (service, network, listener, rule, logs, association)]
blue = [{"Key": "team", "Values": ["blue"]}]
for parameters, want in (
    ({}, everything),
    ({"ResourcesPerPage": 1}, everything),
    ({"ResourcesPerPage": 4, "TagsPerPage": 100}, everything),
    ({"ResourceTypeFilters": ["vpc-lattice"]}, everything),
    ({"ResourceTypeFilters": ["ec2", "s3:bucket"]}, []),
    ({"ResourceTypeFilters": ["vpc-lattice:service"]}, [service["arn"]]),
    ({"ResourceTypeFilters": ["vpc-lattice:rule", "vpc-lattice:service/listener"]}, [listener["arn"], rule["arn"]]),
    ({"TagFilters": blue}, [service["arn"], listener["arn"], logs["arn"], association["arn"]]),
    ({"TagFilters": [*blue, {"Key": "stage"}]}, [service["arn"]]),
    ({"TagFilters": [{"Key": "team", "Values": ["green"]}]}, []),
    ({"ResourceARNList": [rule["arn"], network["arn"], rule["arn"], network["arn"][:-1] + "x"]}, [rule["arn"], network["arn"]]),
):
    seen = arns(**parameters)
    check(seen == want, f"{parameters}: {seen}, not {want}")
seen = tagging.get_resources(ResourceARNList=[service["arn"]])["ResourceTagMappingList"]
want = [{"ResourceARN": service["arn"], "Tags": [{"Key": k, "Value": tags[k]} for k in sorted(tags)]}]
check(seen == want, f"the resource is {seen}")
seen = tagging.get_tag_keys()["TagKeys"]
check(seen == ["stage", "team"], f"the keys are {seen}")
seen = tagging.get_tag_values(Key="team")["TagValues"]
check(seen == ["blue", "red"], f"the values are {seen}")

step("a resource whose tags change")
lattice.untag_resource(resourceArn=network["arn"], tagKeys=["team"])
check(network["arn"] not in arns(), "it is listed without tags")
lattice.tag_resource(resourceArn=network["arn"], tags={"team": "green"})
seen = arns(TagFilters=[{"Key": "team", "Values": ["green"]}])
check(seen == [network["arn"]], f"{seen} are listed")

step("what is wrong")
for parameters in (
    {"ResourcesPerPage": 101},
    {"TagsPerPage": 150},
    {"PaginationToken": "guess"},
    {"ResourceARNList": [service["arn"]], "ResourcesPerPage": 1},
    {"IncludeComplianceDetails": True, "ExcludeCompliantResources": True},
):
    seen = refusal(tagging.get_resources, **parameters)["Error"]["Code"]
    check(seen == "InvalidParameterException", f"{parameters}: {seen}")
seen = refusal(tagging.tag_resources, ResourceARNList=[service["arn"]], Tags={"a": "b"})["Error"]["Code"]
check(seen == "UnknownOperationException", f"TagResources: {seen}")
seen = refusal(client("resourcegroupstaggingapi", "narrow").get_resources)["Error"]
check(seen["Code"] == "AccessDeniedException" and "tag:GetResources on resource: *" in seen["Message"], f"denied: {seen}")
check("ResourceTagMappingList" in client("resourcegroupstaggingapi", "tags").get_resources(), "who may was refused")
seen = refusal(client("resourcegroupstaggingapi", "tags").get_tag_keys)["Error"]["Code"]
check(seen == "AccessDeniedException", f"GetTagKeys: {seen}")
