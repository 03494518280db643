"""What the fixtures promise, a hundred times: each test has an account in which there is nothing but its own."""

import http.server
import os
import threading

import pytest


@pytest.fixture(scope="session")
def backend():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"{self.path} of {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("number", range(100))
def test_an_account_of_its_own(number, lattice, http, trellis, trellis_account, backend):
    with open(os.environ["TRELLIS_SEEN"], "a", encoding="ascii") as seen:
        seen.write(f"{trellis_account} {trellis.pid}\n")
    assert lattice.list_services()["items"] == []
    service = lattice.create_service(name="shop")
    if number % 10:
        assert [s["id"] for s in lattice.list_services()["items"]] == [service["id"]]
        return
    network = lattice.create_service_network(name="home")
    group = lattice.create_target_group(
        name="backend", type="IP", config={"protocol": "HTTP", "port": backend, "vpcIdentifier": "vpc-0123456789abcdef0"}
    )
    lattice.register_targets(targetGroupIdentifier=group["id"], targets=[{"id": "127.0.0.1"}])
    lattice.create_service_network_service_association(serviceNetworkIdentifier=network["id"], serviceIdentifier=service["id"])
    action = {"forward": {"targetGroups": [{"targetGroupIdentifier": group["id"]}]}}
    plain = 80 if number % 20 else 8081
    for name, protocol, port in ("http", "HTTP", plain), ("https", "HTTPS", 443):
        lattice.create_listener(serviceIdentifier=service["id"], name=name, protocol=protocol, port=port, defaultAction=action)
    host = service["dnsEntry"]["domainName"]
    for url in f"http://{host}:{plain}/a?b", f"https://{host}/a?b":
        answer = http.get(url)
        assert answer.status == 200 and answer.text.startswith("/a?b of "), answer.text
