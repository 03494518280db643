"""A function that reads its events with AWS's own classes and tells what they say."""

import base64
import json

from aws_lambda_powertools.utilities.data_classes import VPCLatticeEvent, VPCLatticeEventV2


def handler(event, context):
    if event.get("version") == "2.0":
        e = VPCLatticeEventV2(event)
        path, query, forwarded_for = e["path"], e.resolved_query_string_parameters, ",".join(e.headers["x-forwarded-for"])
        context_of = {
            "serviceArn": e.request_context.service_arn,
            "targetGroupArn": e.request_context.target_group_arn,
            "serviceNetworkArn": e.request_context.service_network_arn,
            "region": e.request_context.region,
            "vpc": e.request_context.identity.source_vpc_arn,
        }
        assert int(e.request_context.time_epoch) > 0
    else:
        e = VPCLatticeEvent(event)
        path, query, forwarded_for, context_of = e.raw_path, e.query_string_parameters, e.headers["x-forwarded-for"], None
    body = e.body or ""
    data = base64.b64decode(body) if e.is_base64_encoded else body.encode()
    print("served", e.method, path)
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "x-function": context.function_name},
        "body": json.dumps({
            "method": e.method, "path": path, "query": query or {}, "many": e.headers.get("x-many"),
            "forwardedFor": forwarded_for, "body": base64.b64encode(data).decode(),
            "encoded": bool(e.is_base64_encoded), "json": e.json_body if data.startswith(b"{") else None, "context": context_of,
        }),
    }
