"""The life of every kind of resource, as kinds.json declares it. The argument says through what: sdk, commandline.

A caller has three methods: call performs an operation and returns its answer; refusal performs one that must be
refused with an exception, and returns what the caller can see of the exception's members; pages lists in pages."""

import json
import re
import sys
from pathlib import Path

from commandline import CommandLine
from network import check, step
from sdk import SDK

KINDS = json.loads(Path(__file__).parent.with_name("kinds.json").read_text())
KINDS.pop("about")
PAGE = 2
NOBODY = "999999999999"


class Life:
    """The life of some resources of one kind."""

    def __init__(self, caller, kind):
        self.caller = caller
        self.kind = kind
        self.declared = KINDS[kind]
        self.needed = {}  # What the resources need, by the names under which kinds.json refers to it.
        self.deletions = []
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
        if "status" in self.declared.get("get", {}):
            check(created["status"] == "CREATE_IN_PROGRESS", f"the status is {created['status']}")
        self.created.append(created)
        self.scopes.append(scope)

    def prerequisites(self, n):
        """Returns what the nth resource needs, and creates what is not there yet."""
        self.make(self.declared.get("needs", {}), 1, self.needed)
        each = dict(self.needed)
        self.make(self.declared.get("needsEach", {}), n, each)
        return each

    def make(self, needs, n, scope):
        for name, kind in needs.items():
            if name in scope:
                continue
            self.make(KINDS[kind].get("needs", {}), 1, scope)
            scope[name] = create(self.caller, kind, n, scope)
            self.deletions.append((kind, scope[name]["id"], dict(scope)))

    def read(self):
        for n, (created, scope) in enumerate(zip(self.created, self.scopes), 1):
            by_id = self.get(created["id"], scope)
            by_arn = self.get(created["arn"], scope)
            check(by_id == by_arn, f"the id shows {by_id}, the ARN {by_arn}")
            check(by_id["id"] == created["id"] and by_id["createdAt"], f"reading {created['id']} shows {by_id}")
            includes(by_id, expand(self.declared["get"], n, scope))

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
        self.refused(
            "ResourceNotFoundException", "Get" + self.kind, self.key(self.unknown(), scope),
            404, {"resourceType": self.declared["type"], "resourceId": self.unknown()},
        )
        self.refused(
            "AccessDeniedException", "Get" + self.kind, self.key(re.sub(r":\d{12}:", f":{NOBODY}:", first["arn"]), scope), 403,
        )
        self.refused(
            "ConflictException", *creation(self.kind, 1, scope), 409,
            {"resourceType": self.declared["type"], "resourceId": first["id"]},
        )
        operation, parameters = creation(self.kind, 1, scope)
        for member, wrong in self.declared["invalid"].items():
            seen = self.refused(
                "ValidationException", operation, {**parameters, member: wrong}, 400, {"reason": "fieldValidationFailed"},
            )
            if "fieldList" in seen:
                check([f["name"] for f in seen["fieldList"]] == [member], f"the fields are {seen['fieldList']}")

    def use_up_the_quota(self):
        if quota := self.declared.get("quota"):
            n = len(self.created) + 1
            check(quota["limit"] == len(self.created), f"{quota['name']} is not used up")
            self.refused(
                "ServiceQuotaExceededException", *creation(self.kind, n, self.prerequisites(n)), 402,
                {"quotaCode": quota["code"], "serviceCode": "vpc-lattice", "resourceType": None},
            )

    def refused(self, exception, operation, parameters, status, members={}):
        """Expects a refusal with members, of which None stands for anything."""
        seen = self.caller.refusal(exception, operation, parameters, status)
        if seen is not None:
            for name, value in members.items():
                check(name in seen and value in (None, seen[name]), f"{operation}: {exception} has {seen}, not {members}")
        return seen or {}

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
            self.refused(
                "ResourceNotFoundException", "Get" + self.kind, self.key(created["id"], scope),
                404, {"resourceId": created["id"]},
            )
        for kind, identifier, scope in reversed(self.deletions):
            key = {**expand(KINDS[kind].get("parents", {}), 1, scope), KINDS[kind]["identifier"]: identifier}
            self.caller.call("Delete" + kind, key)


def create(caller, kind, n, scope, **more):
    operation, parameters = creation(kind, n, scope)
    return caller.call(operation, {**parameters, **more})


def creation(kind, n, scope):
    """Returns the operation that creates the nth resource of a kind, and its parameters."""
    declared = KINDS[kind]
    variant = declared.get("variants", [])[n - 1 : n]
    parameters = {**declared.get("parents", {}), **declared["create"], **(variant[0] if variant else {})}
    return declared.get("operation", "Create" + kind), expand(parameters, n, scope)


def expand(value, n, scope):
    """Puts the number and what is needed in the places that $n, $x and $x.arn mark."""
    if isinstance(value, dict):
        return {k: expand(v, n, scope) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v, n, scope) for v in value]
    if not isinstance(value, str):
        return value
    text = re.sub(
        r"\$(\w+)(\.arn)?",
        lambda m: str(n) if m[1] == "n" else scope[m[1]]["arn" if m[2] else "id"],
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


if __name__ == "__main__":
    caller = {"sdk": SDK, "commandline": CommandLine}[sys.argv[1]]()
    # Further arguments choose kinds, for a look at one of them.
    for kind in sys.argv[2:] or KINDS:
        step(kind)
        Life(caller, kind).run()
