"""Signs random requests with botocore and sends them: signer.py URL COUNT SEED WAY, where WAY is one of the keys of WAYS."""

import random
import sys
from urllib.parse import quote

import botocore.auth
import botocore.crt.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

SERVICE, REGION = "vpc-lattice-svcs", "us-west-2"
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
SESSION = Credentials("ASIDEXAMPLE", "secret", "to/ke+n=")

WAYS = {
    "SigV4": lambda keys: botocore.auth.SigV4Auth(keys, SERVICE, REGION),
    "SigV4-presigned": lambda keys: botocore.auth.SigV4QueryAuth(keys, SERVICE, REGION, expires=300),
    "CRT-SigV4": lambda keys: botocore.crt.auth.CrtSigV4Auth(keys, SERVICE, REGION),
    "CRT-SigV4-presigned": lambda keys: botocore.crt.auth.CrtSigV4QueryAuth(keys, SERVICE, REGION, expires=300),
    "CRT-SigV4A": lambda keys: botocore.crt.auth.CrtSigV4AsymAuth(keys, SERVICE, "*"),
    "CRT-SigV4A-presigned": lambda keys: botocore.crt.auth.CrtSigV4AsymQueryAuth(keys, SERVICE, "*", expires=300),
}

ALPHABET = "abcXYZ019 -._~!$&'()*+,;=:@/%?#\"<>[]^`{|}äß水𝄞"


def text(rng, longest, without=""):
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randint(0, longest))).translate({ord(c): None for c in without})


def random_request(rng, url):
    path = "/" + "/".join(quote(text(rng, 8, "/"), safe="-._~") for _ in range(rng.randint(0, 4)))
    query = "&".join(
        quote(text(rng, 6) or "q", safe="-._~") + "=" + quote(text(rng, 8), safe="-._~") for _ in range(rng.randint(0, 5))
    )
    headers = {
        "X-App": " ".join(text(rng, 6, "äß水𝄞") for _ in range(3)).strip() or "app",
        "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD",
    }
    request = AWSRequest(
        method=rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH"]),
        url=url + path + ("?" + query if query else ""),
        headers=headers,
    )
    request.context["payload_signing_enabled"] = False
    return request


def main(url, count, seed, way):
    rng, http, refused = random.Random(int(seed)), URLLib3Session(), 0
    for number in range(int(count)):
        request = random_request(rng, url)
        WAYS[way](rng.choice([CREDENTIALS, SESSION])).add_auth(request)
        prepared = request.prepare()
        answer = http.send(prepared)
        if answer.status_code != 200:
            refused += 1
            print(f"request {number}: {prepared.method} {prepared.url} {dict(prepared.headers)}: {answer.status_code} {answer.text}")
    sys.exit(1 if refused else 0)


main(*sys.argv[1:])
