"""The main job: boto3 builds an application network, requests reach its healthy targets, and all is removed again."""

from network import VPC, Backend, Visitor, check, health_check, new_client, step, wait_until

client = new_client()


def main():
    backends = {name: Backend(name) for name in ("blue-1", "blue-2", "green-1", "green-2")}
    try:
        for backend in backends.values():
            backend.start()
        run(backends)
    finally:
        for backend in backends.values():
            if backend.process:
                backend.kill()


def run(backends):
    step("a service network, a service, and their association")
    network = client.create_service_network(name="shop-network")
    service = client.create_service(name="shop")
    await_active("the service", client.get_service, serviceIdentifier=service["id"])
    association = client.create_service_network_service_association(
        serviceNetworkIdentifier=network["id"], serviceIdentifier=service["arn"]
    )
    await_active(
        "the association",
        client.get_service_network_service_association,
        serviceNetworkServiceAssociationIdentifier=association["id"],
    )

    step("two target groups with two targets each")
    blue = create_target_group("blue", backends["blue-1"], backends["blue-2"])
    green = create_target_group("green", backends["green-1"], backends["green-2"])
    for target in targets_of(blue):
        check(
            (target["status"], target.get("reasonCode")) == ("UNUSED", "TargetGroupNotInUse"),
            f"a target of a group that nothing uses is {target}",
        )

    step("a listener on port 80 that forwards 75 : 25, a rule by path prefix, a rule by header")
    listener = client.create_listener(
        serviceIdentifier=service["id"],
        name="http",
        protocol="HTTP",
        port=80,
        defaultAction=forward((blue, 75), (green, 25)),
    )
    of_listener = {"serviceIdentifier": service["id"], "listenerIdentifier": listener["id"]}
    by_path = client.create_rule(
        **of_listener,
        name="by-path",
        priority=10,
        match={"httpMatch": {"pathMatch": {"match": {"prefix": "/green"}}}},
        action=forward((green, 100)),
    )
    by_header = client.create_rule(
        **of_listener,
        name="by-header",
        priority=20,
        match={"httpMatch": {"headerMatches": [{"name": "x-colour", "match": {"exact": "blue"}}]}},
        action=forward((blue, 100)),
    )
    for group in (blue, green):
        wait_until("all targets to be HEALTHY", lambda: statuses(group) == ["HEALTHY", "HEALTHY"])

    domain = client.get_service(serviceIdentifier=service["id"])["dnsEntry"]["domainName"]
    visitor = Visitor(domain)
    requests_follow_the_rules(visitor)
    a_dead_target_gets_no_requests_until_it_is_back(visitor, blue, backends["blue-1"])
    a_deregistered_target_drains(visitor, blue, backends["blue-1"])

    step("a change of weights holds for the next request")
    client.update_listener(**of_listener, defaultAction=forward((blue, 0), (green, 100)))
    seen = visitor.backends_of(20)
    check(set(seen) == {"green-1", "green-2"}, f"with weights 0 and 100, requests went to {seen}")

    step("all is deleted again, in an order that leaves nothing referred to")
    refused("delete_target_group", client.exceptions.ConflictException, targetGroupIdentifier=green)
    client.delete_rule(**of_listener, ruleIdentifier=by_path["id"])
    client.delete_rule(**of_listener, ruleIdentifier=by_header["arn"])
    client.delete_listener(**of_listener)
    client.delete_service_network_service_association(
        serviceNetworkServiceAssociationIdentifier=association["arn"]
    )
    await_gone(
        "the association",
        client.get_service_network_service_association,
        serviceNetworkServiceAssociationIdentifier=association["id"],
    )
    client.delete_service(serviceIdentifier=service["id"])
    await_gone("the service", client.get_service, serviceIdentifier=service["id"])
    for group in (blue, green):
        client.deregister_targets(
            targetGroupIdentifier=group,
            targets=[{"id": t["id"], "port": t["port"]} for t in targets_of(group) if t["status"] != "DRAINING"],
        )
        wait_until("no target to be listed", lambda: not targets_of(group))
        client.delete_target_group(targetGroupIdentifier=group)
        await_gone("the target group", client.get_target_group, targetGroupIdentifier=group)
    client.delete_service_network(serviceNetworkIdentifier=network["id"])
    await_gone("the service network", client.get_service_network, serviceNetworkIdentifier=network["id"])
    for operation in ("list_services", "list_service_networks", "list_target_groups"):
        check(getattr(client, operation)()["items"] == [], f"{operation} still finds something")


def requests_follow_the_rules(visitor):
    step("requests follow the rules")
    seen = visitor.backends_of(20, path="/green/apples")
    check(seen == {"green-1": 10, "green-2": 10}, f"by path, turn by turn: requests went to {seen}")
    seen = visitor.backends_of(20, headers={"X-Colour": "blue"})
    check(seen == {"blue-1": 10, "blue-2": 10}, f"by header, turn by turn: requests went to {seen}")
    seen = visitor.backends_of(4, path="/green", headers={"X-Colour": "blue"})
    check(set(seen) == {"green-1", "green-2"}, f"the lower priority comes first: requests went to {seen}")

    got = visitor.get("/some/path?q=1")
    check(got["path"] == "/some/path?q=1", f"the target saw the path {got['path']}")
    headers = got["headers"]
    check(headers["host"] == visitor.host, f"the target saw the host {headers['host']}")
    check(headers["x-forwarded-for"] == "127.0.0.1", f"x-forwarded-for: {headers['x-forwarded-for']}")
    check(headers["x-forwarded-proto"] == "http", f"x-forwarded-proto: {headers['x-forwarded-proto']}")
    check("x-forwarded-port" in headers, "x-forwarded-port is missing")

    step("1,000 requests show the weights within 3 points")
    seen = visitor.backends_of(1000)
    blue = seen["blue-1"] + seen["blue-2"]
    check(720 <= blue <= 780, f"{blue} of 1,000 requests went to blue, whose weight is 75 of 100")
    check(abs(seen["blue-1"] - seen["blue-2"]) <= 1, f"blue's targets did not take turns: {seen}")
    check(abs(seen["green-1"] - seen["green-2"]) <= 1, f"green's targets did not take turns: {seen}")


def a_dead_target_gets_no_requests_until_it_is_back(visitor, blue, backend):
    to_blue = {"headers": {"X-Colour": "blue"}}
    step("a killed backend's target becomes UNHEALTHY and gets no requests")
    backend.kill()
    target = wait_until(
        "the target to be UNHEALTHY",
        lambda: next((t for t in targets_of(blue) if t["port"] == backend.port and t["status"] == "UNHEALTHY"), None),
    )
    check(target["reasonCode"] == "HealthCheckFailed", f"the reason is {target.get('reasonCode')}")
    seen = visitor.backends_of(50, **to_blue)
    check(seen == {"blue-2": 50}, f"requests went to {seen}")

    step("when the backend is back, its target becomes HEALTHY and gets requests")
    backend.start()
    wait_until("the target to be HEALTHY", lambda: statuses(blue) == ["HEALTHY", "HEALTHY"])
    seen = visitor.backends_of(50, **to_blue)
    check(seen == {"blue-1": 25, "blue-2": 25}, f"requests went to {seen}")


def a_deregistered_target_drains(visitor, blue, backend):
    step("a deregistered target is DRAINING and gets no new requests")
    answer = client.deregister_targets(targetGroupIdentifier=blue, targets=[backend.target])
    check(answer["successful"] == [backend.target] and answer["unsuccessful"] == [], f"DeregisterTargets: {answer}")
    check(sorted(statuses(blue)) == ["DRAINING", "HEALTHY"], f"the targets are {targets_of(blue)}")
    seen = visitor.backends_of(50, headers={"X-Colour": "blue"})
    check(seen == {"blue-2": 50}, f"requests went to {seen}")
    wait_until("the target to be gone", lambda: statuses(blue) == ["HEALTHY"])


def create_target_group(name, *backends):
    group = client.create_target_group(
        name=name,
        type="IP",
        config={"port": 80, "protocol": "HTTP", "vpcIdentifier": VPC, "healthCheck": health_check()},
        tags={"colour": name},
    )
    check(group["status"] == "CREATE_IN_PROGRESS", f"the created group's status is {group['status']}")
    await_active("the target group", client.get_target_group, targetGroupIdentifier=group["arn"])
    answer = client.register_targets(targetGroupIdentifier=group["id"], targets=[b.target for b in backends])
    check(answer["unsuccessful"] == [], f"RegisterTargets: {answer}")
    return group["id"]


def forward(*weighted):
    return {"forward": {"targetGroups": [{"targetGroupIdentifier": id, "weight": w} for id, w in weighted]}}


def targets_of(group):
    return client.list_targets(targetGroupIdentifier=group)["items"]


def statuses(group):
    return [t["status"] for t in targets_of(group)]


def await_active(what, get, **key):
    wait_until(f"{what} to be ACTIVE", lambda: get(**key)["status"] == "ACTIVE")


def await_gone(what, get, **key):
    def gone():
        try:
            get(**key)
        except client.exceptions.ResourceNotFoundException:
            return True
        return False

    wait_until(f"{what} to be gone", gone)


def refused(operation, exception, **parameters):
    try:
        getattr(client, operation)(**parameters)
    except exception:
        return
    raise AssertionError(f"{operation} of what is in use was not refused")


main()
