"""What a client makes of a server that throttles, or fails: of its exceptions, and of trying again. The argument says
through what: sdk, commandline."""

import importlib
import os
import sys

from network import check, step

module = importlib.import_module(sys.argv[1])


def directed_to(variable, attempts):
    """Returns a caller of the server that a variable of the environment names."""
    os.environ["TRELLIS_API"] = os.environ[variable]
    return module.Caller(attempts)


step("one call is what the rate lets through")
throttling = directed_to("TRELLIS_THROTTLING", attempts=1)
throttling.call("ListServices", {})
seen = throttling.refusal("ThrottlingException", "ListServices", {}, 429)
if seen:
    check(int(seen["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) > 0, f"there is no Retry-After in {seen}")

step("a server that fails")
directed_to("TRELLIS_FAILING", attempts=1).refusal("InternalServerException", "ListServices", {}, 500)

step("who tries again creates once, even when the first response was lost")
unsteady = directed_to("TRELLIS_UNSTEADY", attempts=30)
names = [f"network-{n}" for n in range(3)]
for name in names:
    unsteady.call("CreateServiceNetwork", {"name": name})
seen = [item["name"] for page in unsteady.pages("ListServiceNetworks", {}, 100) for item in page]
check(seen == names, f"the service networks are {seen}, not {names}")
