"""The life of every kind of resource, as kinds.json declares it. The argument says through what: sdk, commandline.

A caller has four methods: call performs an operation and returns its response; refusal performs one that must be
refused with an exception, and returns what the caller can see of the exception's members; pages lists in pages;
operations names all that there are, of which it keeps those called."""

import importlib
import json
import os
import re
import sys
from pathlib import Path

from network import VPC, check, step

DECLARED = json.loads(Path(__file__).parent.with_name("kinds.json").read_text())
KINDS = DECLARED["kinds"]
POLICIES = DECLARED["policies"]
CLIENT = sys.argv[1]
PAGE = 2
NOBODY = "999999999999"

# These need an inventory, and are performed by themselves.
OF_ENDPOINTS = {
    "DeleteResourceEndpointAssociation",
    "ListResourceEndpointAssociations",
    "ListServiceNetworkVpcEndpointAssociations",
}


class Life:
    """The life of some resources of one kind."""

    def __init__(self, caller, kind):
        self.caller = caller
        self.kind = kind
        self.declared = KINDS[kind]
        self.needed = {}  # What the resources need, by the names under which kinds.json refers to it.
        self.needs = Needs(caller)
        self.created = []
        self.scopes = []

    def run(self):
        self.create(1)
        self.meet_refusals()
        for n in range(2, self.declared["count"] + 1):
            self.create(n)
        self.use_up_the_quota()
        self.read()
        self.list()
        self.tag()
        if "update" in self.declared:
            self.update()
        self.delete()

    def create(self, n):
        scope = self.prerequisites(n)
        created = create(self.caller, self.kind, n, scope, tags={"number": str(n)})
        check(re.fullmatch(self.declared["prefix"] + "-[0-9a-f]{17}", created["id"]), f"the id is {created['id']}")
        check(created["arn"].endswith("/" + created["id"]), f"the ARN is {created['arn']}")
        if self.declared["get"].get("status") == "ACTIVE":
            want = self.declared.get("createdAs", "CREATE_IN_PROGRESS")
            check(created["status"] == want, f"the status is {created['status']}")
        self.created.append(created)
        self.scopes.append(scope)

    def prerequisites(self, n):
        """Returns what the nth resource needs, and creates what is not there yet."""
        self.needs.make(self.declared.get("needs", {}), 1, self.needed)
        each = dict(self.needed)
        self.needs.make(self.declared.get("needsEach", {}), n, each)
        return each

    def read(self):
        for n, (created, scope) in enumerate(zip(self.created, self.scopes), 1):
            by_id = self.get(created["id"], scope)
            by_arn = self.get(created["arn"], scope)
            check(by_id == by_arn, f"the id shows {by_id}, the ARN {by_arn}")
            check(by_id["id"] == created["id"] and by_id["createdAt"], f"reading {created['id']} shows {by_id}")
            includes(by_id, expand({**self.declared["get"], **variant(self.kind, n, "get")}, n, scope))

    def get(self, identifier, scope):
        return self.caller.call("Get" + self.kind, self.key(identifier, scope))

    def key(self, identifier, scope):
        return {**self.parents(scope), self.declared["identifier"]: identifier}

    def parents(self, scope):
        return expand(self.declared.get("parents", {}), 1, scope)

    def list(self):
        parameters = {**self.parents(self.needed), **expand(self.declared.get("list", {}), 1, self.needed)}
        pages = self.caller.pages("List" + plural(self.kind), parameters, PAGE)
        before = self.declared.get("before", 0)
        total = before + len(self.created)
        sizes = [PAGE] * (total // PAGE) + [total % PAGE] * (total % PAGE > 0)
        check([len(page) for page in pages] == sizes, f"the pages have {[len(page) for page in pages]} items, not {sizes}")
        items = [item for page in pages for item in page][before:]
        shown = [(item["id"], item["arn"]) for item in items]
        check(shown == [(c["id"], c["arn"]) for c in self.created], f"the list in order of creation shows {shown}")

    def tag(self):
        arn = self.created[0]["arn"]
        self.caller.call("TagResource", {"resourceArn": arn, "tags": {"number": "one", "empty": ""}})
        self.expect_tags({"number": "one", "empty": ""})
        self.caller.call("UntagResource", {"resourceArn": arn, "tagKeys": ["number", "never-was"]})
        self.expect_tags({"empty": ""})

    def expect_tags(self, tags):
        shown = self.caller.call("ListTagsForResource", {"resourceArn": self.created[0]["arn"]})["tags"]
        check(shown == tags, f"the tags are {shown}, not {tags}")

    def meet_refusals(self):
        first, scope = self.created[0], self.scopes[0]
        refused(
                self.caller,
            "ResourceNotFoundException", "Get" + self.kind, self.key(self.unknown(), scope),
            404, {"resourceType": self.declared["type"], "resourceId": self.unknown()},
        )
        refused(
                self.caller,
            "AccessDeniedException", "Get" + self.kind, self.key(re.sub(r":\d{12}:", f":{NOBODY}:", first["arn"]), scope), 403,
        )
        refused(
                self.caller,
            "ConflictException", *creation(self.kind, 1, scope), 409,
            {"resourceType": self.declared["type"], "resourceId": first["id"]},
        )
        operation, parameters = creation(self.kind, 1, scope)
        for member, wrong in self.declared["invalid"].items():
            seen = refused(
                self.caller,
                "ValidationException", operation, {**parameters, member: wrong}, 400, {"reason": "fieldValidationFailed"},
            )
            if "fieldList" in seen:
                check([f["name"] for f in seen["fieldList"]] == [member], f"the fields are {seen['fieldList']}")

    def use_up_the_quota(self):
        if quota := self.declared.get("quota"):
            n = len(self.created) + 1
            check(quota["limit"] == len(self.created), f"{quota['name']} is not used up")
            refused(
                self.caller,
                "ServiceQuotaExceededException", *creation(self.kind, n, self.prerequisites(n)), 402,
                {"quotaCode": quota["code"], "serviceCode": "vpc-lattice", "resourceType": None},
            )

    def unknown(self):
        return self.declared["prefix"] + "-0123456789abcdef0"

    def update(self):
        key = self.key(self.created[0]["id"], self.scopes[0])
        self.caller.call("Update" + self.kind, {**key, **expand(self.declared["update"], 1, self.scopes[0])})
        includes(self.get(self.created[0]["id"], self.scopes[0]), expand(self.declared["updated"], 1, self.scopes[0]))

    def delete(self):
        for i, (created, scope) in enumerate(zip(self.created, self.scopes)):
            answer = self.caller.call("Delete" + self.kind, self.key(created["arn" if i % 2 else "id"], scope))
            if answer.get("status"):
                check(answer["status"] == "DELETE_IN_PROGRESS", f"the status is {answer['status']}")
            refused(
                self.caller,
                "ResourceNotFoundException", "Get" + self.kind, self.key(created["id"], scope),
                404, {"resourceId": created["id"]},
            )
        self.needs.delete()


def refused(caller, exception, operation, parameters, status, members={}):
    """Expects a refusal with members, of which None stands for anything."""
    seen = caller.refusal(exception, operation, parameters, status)
    if seen is not None:
        for name, value in members.items():
            check(name in seen and value in (None, seen[name]), f"{operation}: {exception} has {seen}, not {members}")
    return seen or {}


def create(caller, kind, n, scope, **more):
    operation, parameters = creation(kind, n, scope)
    return caller.call(operation, {**parameters, **more})


def creation(kind, n, scope):
    """Returns the operation that creates the nth resource of a kind, and its parameters."""
    declared = KINDS[kind]
    parameters = {**declared.get("parents", {}), **declared["create"], **variant(kind, n, "create")}
    return declared.get("operation", "Create" + kind), expand(parameters, n, scope)


def variant(kind, n, of):
    """Returns what the nth resource of a kind has that others have not."""
    variants = KINDS[kind].get("variants", [])
    return variants[n - 1][of] if n <= len(variants) else {}


def expand(value, n, scope):
    """Puts the number, the client and what is needed in the places that $n, $client, $x and $x.arn mark."""
    if isinstance(value, dict):
        return {k: expand(v, n, scope) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, n, scope) for v in value]
    if not isinstance(value, str):
        return value
    text = re.sub(
        r"\$(\w+)(\.arn)?",
        lambda m: {"n": str(n), "client": CLIENT}.get(m[1]) or scope[m[1]]["arn" if m[2] else "id"],
        value,
    )
    return int(text[1:]) if text.startswith("#") else text


def includes(seen, wanted, at=""):
    """Checks that what is wanted is there. Lists must be equal in length, structures may have more."""
    if isinstance(wanted, dict):
        check(isinstance(seen, dict), f"{at} is {seen}, not {wanted}")
        for k, v in wanted.items():
            check(k in seen, f"{at}.{k} is missing in {seen}")
            includes(seen[k], v, f"{at}.{k}")
    elif isinstance(wanted, list):
        check(isinstance(seen, list) and len(seen) == len(wanted), f"{at} is {seen}, not {wanted}")
        for i, v in enumerate(wanted):
            includes(seen[i], v, f"{at}[{i}]")
    else:
        check(seen == wanted, f"{at} is {seen!r}, not {wanted!r}")


def plural(kind):
    return kind + "s"


class Needs:
    """What a resource needs, created when it is asked for, and deleted again."""

    def __init__(self, caller):
        self.caller = caller
        self.deletions = []

    def make(self, needs, n, scope):
        """Adds to a scope what is not in it yet, by the names under which kinds.json refers to it."""
        for name, kind in needs.items():
            if name in scope:
                continue
            self.make(KINDS[kind].get("needs", {}), 1, scope)
            scope[name] = create(self.caller, kind, n, scope)
            self.deletions.append((kind, scope[name]["id"], dict(scope)))

    def delete(self):
        for kind, identifier, scope in reversed(self.deletions):
            key = {**expand(KINDS[kind].get("parents", {}), 1, scope), KINDS[kind]["identifier"]: identifier}
            self.caller.call("Delete" + kind, key)


def policy(caller, name):
    """A policy is put on a resource, replaced, read by each of the resource's identifiers, and deleted."""
    declared, scope, needs = POLICIES[name], {}, Needs(caller)
    needs.make(declared["needs"], 1, scope)
    account = scope["on"]["arn"].split(":")[4]
    key, same_key, put, other, unknown = (
        expand(declared[member], 1, {**scope, "account": {"id": account}})
        for member in ("key", "sameKey", "put", "other", "unknown")
    )
    caller.call("Put" + name, {**key, **put})
    includes(caller.call("Get" + name, same_key), {**put, **declared["get"]})
    caller.call("Put" + name, {**same_key, **other})
    includes(caller.call("Get" + name, key), other)
    seen = refused(
        caller, "ValidationException", "Put" + name, {**key, **declared["invalid"]}, 400, {"reason": "fieldValidationFailed"}
    )
    check(not seen or seen["fieldList"][0]["name"] == "policy", f"the fields are {seen.get('fieldList')}")
    refused(caller, "ResourceNotFoundException", "Get" + name, unknown, 404, {"resourceType": declared["type"]})
    refused(caller, "AccessDeniedException", "Get" + name, declared["foreign"], 403)
    for _ in range(2):
        caller.call("Delete" + name, key)
    gone = caller.call("Get" + name, key)
    check("policy" not in gone, f"the deleted policy is {gone}")
    needs.delete()


def targets(caller, _):
    """Targets are registered with a target group, listed in pages, found one by one, and deregistered."""
    scope, needs = {}, Needs(caller)
    needs.make({"group": "TargetGroup"}, 1, scope)
    group = {"targetGroupIdentifier": scope["group"]["id"]}
    members = [{"id": "127.0.0.1", "port": port} for port in (1, 2, 3, 4, 5)]
    answer = caller.call("RegisterTargets", {**group, "targets": [*members, {"id": "not-an-address", "port": 1}]})
    check(answer["successful"] == members, f"registered were {answer}")
    check([t["id"] for t in answer["unsuccessful"]] == ["not-an-address"], f"not registered were {answer}")
    pages = caller.pages("ListTargets", group, PAGE)
    check([len(page) for page in pages] == [2, 2, 1], f"the pages are {pages}")
    unused = {"status": "UNUSED", "reasonCode": "TargetGroupNotInUse"}
    shown = [item for page in pages for item in page]
    check(shown == [{**member, **unused} for member in members], f"the targets are {shown}")
    found = caller.call("ListTargets", {**group, "targets": [members[2]]})["items"]
    check(found == [{**members[2], **unused}], f"found were {found}")
    refused(
        caller, "ConflictException", "DeleteTargetGroup", group, 409,
        {"resourceType": "TARGET_GROUP", "resourceId": scope["group"]["id"]},
    )
    answer = caller.call("DeregisterTargets", {**group, "targets": members})
    check(answer == {"successful": members, "unsuccessful": []}, f"deregistered were {answer}")
    check(caller.call("ListTargets", group)["items"] == [], "targets are left")
    needs.delete()


def rule_updates(caller, _):
    """Two rules swap their priorities in one call."""
    scope, needs = {}, Needs(caller)
    needs.make({"group": "TargetGroup", "service": "Service", "listener": "Listener"}, 1, scope)
    rules = [create(caller, "Rule", n, scope) for n in (1, 2)]
    key = {"serviceIdentifier": scope["service"]["id"], "listenerIdentifier": scope["listener"]["arn"]}
    swapped = [{"ruleIdentifier": rules[0]["arn"], "priority": 12}, {"ruleIdentifier": rules[1]["id"], "priority": 11}]
    unknown = {"ruleIdentifier": "rule-0123456789abcdef0", "priority": 13}
    answer = caller.call("BatchUpdateRule", {**key, "rules": [*swapped, unknown]})
    priorities = [(rule["id"], rule["priority"]) for rule in answer["successful"]]
    check(priorities == [(rules[0]["id"], 12), (rules[1]["id"], 11)], f"updated were {answer}")
    check([rule["ruleIdentifier"] for rule in answer["unsuccessful"]] == [unknown["ruleIdentifier"]], f"not updated were {answer}")
    needs.delete()


def endpoints(caller, _):
    """VPC endpoints, which the server knows from its inventory, are listed in pages and detached."""
    network = {"serviceNetworkIdentifier": os.environ["TRELLIS_NETWORK"]}
    pages = caller.pages("ListServiceNetworkVpcEndpointAssociations", network, PAGE)
    check([len(page) for page in pages] == [2, 2, 1], f"the pages are {pages}")
    for item in [item for page in pages for item in page]:
        includes(item, {"serviceNetworkArn": os.environ["TRELLIS_NETWORK"], "state": "ACTIVE", "vpcId": VPC})
    refused(caller, "ConflictException", "DeleteServiceNetwork", network, 409, {"resourceType": "SERVICE_NETWORK"})

    configuration = {"resourceConfigurationIdentifier": os.environ["TRELLIS_CONFIGURATION"]}
    pages = caller.pages("ListResourceEndpointAssociations", configuration, PAGE)
    check([len(page) for page in pages] == [2, 2, 1], f"the pages are {pages}")
    items = [item for page in pages for item in page]
    for item in items:
        includes(item, {"resourceConfigurationArn": os.environ["TRELLIS_CONFIGURATION"]})
    first = {"resourceEndpointAssociationIdentifier": items[0]["arn"]}
    answer = caller.call("DeleteResourceEndpointAssociation", first)
    check(answer["id"] == items[0]["id"] and answer["vpcEndpointId"] == items[0]["vpcEndpointId"], f"deleted was {answer}")
    left = caller.call("ListResourceEndpointAssociations", configuration)["items"]
    check(left == items[1:], f"left are {left}")
    refused(
        caller, "ResourceNotFoundException", "DeleteResourceEndpointAssociation", first, 404,
        {"resourceType": "RESOURCE_ENDPOINT_ASSOCIATION"},
    )


if __name__ == "__main__":
    # Only one of the two: the command line has a botocore of its own, which it puts in the place of the SDK's.
    caller = importlib.import_module(sys.argv[1]).Caller()
    # Further arguments choose kinds, for a look at one of them.
    for name in sys.argv[2:] or [*KINDS, *POLICIES, "Target", "RuleUpdate"]:
        step(name)
        if name in KINDS:
            Life(caller, name).run()
        else:
            others = {"Target": targets, "RuleUpdate": rule_updates, "Endpoint": endpoints}
            others.get(name, policy)(caller, name)
    if not sys.argv[2:]:
        left = caller.operations() - caller.called - OF_ENDPOINTS
        check(not left, f"nobody has called {left}")
