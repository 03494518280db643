"""What the boto3 programs share: a client of the server under test, backends, and waiting."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config

VPC = "vpc-0123456789abcdef0"


def new_client():
    """A client as any user makes it, except for the endpoint and credentials that nobody has issued."""
    return boto3.client(
        "vpc-lattice",
        endpoint_url=os.environ["TRELLIS_API"],
        region_name="us-west-2",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        # A response of 500 must show, not be tried again.
        config=Config(retries={"total_max_attempts": 1}),
    )


def health_check(**members):
    """A health check as often as the API allows. What makes a target unhealthy is a port on which nobody listens, which
    shows at once; a machine that is busy must not."""
    return {
        "enabled": True,
        "path": "/health",
        "healthCheckIntervalSeconds": 5,
        "healthCheckTimeoutSeconds": 60,
        "healthyThresholdCount": 2,
        "unhealthyThresholdCount": 2,
        **members,
    }


def step(text):
    print(f"- {text}", flush=True)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def wait_until(what, condition, seconds=180):
    """Waits for a condition and returns the first true value. The limit only keeps a broken server from hanging."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


reservations = []


def free_port():
    """A port that nobody else gets, as FreePort in test/trellistest: not one of those that systems give out by
    themselves, and reserved by a UDP socket of the same number until the program ends."""
    while True:
        port = random.randrange(12000, 32000)
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        reservations.append(reservation)
        return port


class Backend:
    """A server in a process of its own, so that it can be killed with all its connections."""

    def __init__(self, name):
        self.name = name
        self.port = free_port()
        self.process = None

    @property
    def target(self):
        return {"id": "127.0.0.1", "port": self.port}

    def start(self):
        program = Path(__file__).with_name("backend.py")
        self.process = subprocess.Popen([sys.executable, program, self.name, str(self.port)])
        wait_until(f"{self.name} to listen", self._listens)

    def _listens(self):
        check(self.process.poll() is None, f"{self.name} has ended")
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Visitor:
    """A client of a service, over one connection that is kept."""

    def __init__(self, host):
        self.host = host
        self.connection = http.client.HTTPConnection(os.environ["TRELLIS_DATA"], timeout=60)

    def get(self, path="/", headers=None):
        """Returns what the backend says that it has seen."""
        self.connection.request("GET", path, headers={"Host": self.host, **(headers or {})})
        response = self.connection.getresponse()
        body = response.read()
        check(response.status == 200, f"GET {path}: {response.status} {body!r}")
        return json.loads(body)

    def backends_of(self, count, path="/", headers=None):
        """Sends requests and returns how many each backend got."""
        seen = {}
        for _ in range(count):
            name = self.get(path, headers)["backend"]
            seen[name] = seen.get(name, 0) + 1
        return seen
