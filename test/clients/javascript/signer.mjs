// Signs random requests with the signer of AWS's SDK for JavaScript and sends them: signer.mjs URL COUNT SEED WAY, where WAY
// is SigV4 or SigV4-presigned.
import { createHash, createHmac } from "node:crypto";
import http from "node:http";
import { SignatureV4 } from "@smithy/signature-v4";

const [url, count, seed, way] = process.argv.slice(2);
const { hostname, port } = new URL(url);

// The hash that the signer is given.
class Sha256 {
  constructor(key) {
    this.hash = key ? createHmac("sha256", key) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

// A generator of random numbers with a seed (mulberry32).
let state = Number(seed);
function below(n) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

const alphabet = [..."abcXYZ019 -._~!$&'()*+,;=:@/%?#\"<>[]^`{|}äß水𝄞"];
const text = (longest, without = "") =>
  Array.from({ length: below(longest + 1) }, () => alphabet[below(alphabet.length)]).filter((c) => !without.includes(c)).join("");
// As the SDK encodes what it puts into paths and queries (RFC 3986).
const escape = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

function randomRequest() {
  const query = {};
  for (let n = below(6); n > 0; n--) {
    query[text(6) || "q"] = below(4) === 0 ? [text(4), text(4)] : text(8);
  }
  return {
    method: ["GET", "POST", "PUT", "DELETE", "PATCH"][below(5)],
    protocol: "http:",
    hostname,
    port: Number(port),
    path: "/" + Array.from({ length: below(5) }, () => escape(text(8, "/"))).join("/"),
    query,
    headers: {
      host: `${hostname}:${port}`,
      "x-app": [text(6, "äß水𝄞"), text(6, "äß水𝄞"), "a"].join(" ").trim(),
      "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
    },
  };
}

const agent = new http.Agent({ keepAlive: true });

function send(request) {
  const query = Object.keys(request.query)
    .flatMap((name) => [request.query[name]].flat().map((value) => `${escape(name)}=${escape(value)}`))
    .join("&");
  const path = request.path + (query ? "?" + query : "");
  return new Promise((resolve, reject) => {
    http
      .request({ agent, hostname, port, method: request.method, path, headers: request.headers }, (answer) => {
        let body = "";
        answer.on("data", (piece) => (body += piece)).on("end", () => resolve({ status: answer.statusCode, path, body }));
      })
      .on("error", reject)
      .end();
  });
}

let refused = 0;
for (let n = 0; n < Number(count); n++) {
  const session = below(2) === 0;
  const signer = new SignatureV4({
    service: "vpc-lattice-svcs",
    region: "us-west-2",
    sha256: Sha256,
    credentials: session
      ? { accessKeyId: "ASIDEXAMPLE", secretAccessKey: "secret", sessionToken: "to/ke+n=" }
      : { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" },
  });
  const request = randomRequest();
  const signed = way === "SigV4" ? await signer.sign(request) : await signer.presign(request, { expiresIn: 300 });
  const { status, path, body } = await send(signed);
  if (status !== 200) {
    refused++;
    console.log(`request ${n}: ${signed.method} ${path} ${JSON.stringify(signed.headers)}: ${status} ${body}`);
  }
}
agent.destroy();
process.exitCode = refused ? 1 : 0;
