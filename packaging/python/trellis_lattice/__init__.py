"""Trellis for Python tests: starts the program that this wheel contains, and talks to it.

The pytest fixtures are in trellis_lattice.pytest_plugin. This module needs nothing but Python; boto3 is imported when a
client is asked for.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import sysconfig
import time
import urllib.parse
import urllib.request

__all__ = ["Http", "Response", "Trellis", "program", "session", "start"]

START_LIMIT = 60  # seconds, for machines that are very busy


def program():
    """Returns the path of the program that was installed with this wheel."""
    name = "trellis.exe" if sys.platform == "win32" else "trellis"
    for scheme in (None, "posix_user", "nt_user"):
        if scheme is None or scheme in sysconfig.get_scheme_names():
            folder = sysconfig.get_path("scripts") if scheme is None else sysconfig.get_path("scripts", scheme)
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    raise FileNotFoundError(f"{name} is not in the scripts folder of this Python; is the wheel installed in it?")


def session():
    """Returns a boto3 session, which keeps what it has read for the next client."""
    import boto3

    return boto3.session.Session()


def start(folder, *arguments):
    """Starts `trellis dev` on free ports, and returns the process once it has been told to write FOLDER/ready.json."""
    log = open(os.path.join(folder, "log"), "wb")
    with log:
        return subprocess.Popen(
            [
                program(), "dev", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--dns-addr", "127.0.0.1:0",
                "--port-map", "80=0,443=0,0=0", "--ready-file", os.path.join(folder, "ready.json"), *arguments,
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )


class Trellis:
    """A running node. Its addresses are URLs: api and admin; ca_file is what clients of HTTPS trust."""

    def __init__(self, addresses, session=None):
        self.pid = addresses["pid"]
        self.api, self.admin = addresses["api"], addresses["admin"]
        self.data, self.dns, self.ca_file = addresses["data"], addresses.get("dns"), addresses["caFile"]
        self._session = session

    @classmethod
    def wait(cls, folder, alive=lambda: True, session=None):
        """Waits for a node that was started in a folder, by whatever process."""
        ready, deadline = os.path.join(folder, "ready.json"), time.monotonic() + START_LIMIT
        while not os.path.exists(ready):
            if not alive() or time.monotonic() > deadline:
                with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
                    raise RuntimeError("trellis dev did not start:\n" + log.read())
            time.sleep(0.005)
        with open(ready, encoding="utf-8") as file:
            return cls(json.load(file), session)

    def client(self, account, region="us-west-2", service="vpc-lattice", **options):
        """Returns a boto3 client of an account: in dev the access key id says which one it is."""
        if self._session is None:
            self._session = session()
        return self._session.client(
            service, endpoint_url=self.api, region_name=region, aws_access_key_id=account, aws_secret_access_key="any", **options
        )

    def reset(self, account):
        """Deletes all that an account has, in all Regions."""
        request = urllib.request.Request(f"{self.admin}/reset?account={account}", method="POST")
        with urllib.request.urlopen(request) as response:
            return json.load(response)["deleted"]

    def port(self, listener_port):
        """Returns the address and the port that are bound for the port of listeners."""
        with urllib.request.urlopen(f"{self.admin}/ports") as response:
            ports = json.load(response)
        for port in ports:
            if port["port"] == listener_port and not port.get("problem"):
                host, _, number = port["address"].rpartition(":")
                return host.strip("[]"), int(number)
        raise LookupError(f"no listener has the port {listener_port}; those that have one: {[p['port'] for p in ports]}")


class Response:
    """An answer: status, headers (their names in lower case) and body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)


class Http:
    """A client that finds services by their names and listener ports, whatever the machine's resolver knows."""

    def __init__(self, trellis, timeout=30):
        self._trellis, self._timeout = trellis, timeout
        self._tls = None

    def request(self, method, url, body=None, headers=None):
        parts = urllib.parse.urlsplit(url)
        host, port = self._trellis.port(parts.port or {"http": 80, "https": 443}[parts.scheme])
        if parts.scheme == "https":
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self._trellis.ca_file)
            connection = _Named(parts.hostname, host, port, context=self._tls, timeout=self._timeout)
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        try:
            target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.request(method, target, body, {"Host": parts.netloc, **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, url, **options):
        return self.request("GET", url, **options)

    def post(self, url, body=None, **options):
        return self.request("POST", url, body, **options)


class _Named(http.client.HTTPSConnection):
    """A TLS connection to an address for a name."""

    def __init__(self, name, host, port, **options):
        super().__init__(host, port, **options)
        self._name = name

    def connect(self):
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)
