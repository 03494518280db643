"""What the clients make of a server that throttles, or fails: of its exceptions, and of trying again."""

import os

from commandline import CommandLine
from network import check, step
from sdk import SDK


def through(variable):
    """Directs what is made from now on to the server that a variable of the environment names."""
    os.environ["TRELLIS_API"] = os.environ[variable]


os.environ["AWS_MAX_ATTEMPTS"] = "1"
step("the one call that the rate lets through")
through("TRELLIS_THROTTLING")
SDK().call("ListServices", {})
for variable, exception, status in (
    ("TRELLIS_THROTTLING", "ThrottlingException", 429),
    ("TRELLIS_FAILING", "InternalServerException", 500),
):
    through(variable)
    for caller in (SDK(), CommandLine()):
        step(f"{exception} through {type(caller).__name__}")
        seen = caller.refusal(exception, "ListServices", {}, status)
        if seen and status == 429:
            check(int(seen["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) > 0, f"there is no Retry-After in {seen}")

step("who tries again creates once, even when the first answer was lost")
through("TRELLIS_UNSTEADY")
unsteady = SDK(attempts=30)
names = [f"network-{n}" for n in range(5)]
for name in names:
    unsteady.call("CreateServiceNetwork", {"name": name})
seen = [item["name"] for page in unsteady.pages("ListServiceNetworks", {}, 100) for item in page]
check(seen == names, f"the service networks are {seen}, not {names}")
