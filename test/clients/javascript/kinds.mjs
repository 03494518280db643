// The life of every kind of resource through the AWS SDK for JavaScript, as ../kinds.json declares it, with the SDK's
// own commands, paginators and exception classes. The Python programs do the same.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { SDK } from "./sdk.mjs";

const { about, ...kinds } = JSON.parse(readFileSync(new URL("../kinds.json", import.meta.url)));
const pageSize = 2;
const nobody = "999999999999";
const sdk = new SDK(process.env.TRELLIS_API);

// expand puts the number and what is needed in the places that $n, $x and $x.arn mark.
function expand(value, n, scope) {
  if (Array.isArray(value)) return value.map((v) => expand(v, n, scope));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, expand(v, n, scope)]));
  }
  if (typeof value !== "string") return value;
  const text = value.replace(/\$(\w+)(\.arn)?/g, (_, name, arn) => (name === "n" ? n : scope[name][arn ? "arn" : "id"]));
  return text.startsWith("#") ? Number(text.slice(1)) : text;
}

// includes checks that what is wanted is there. Lists must be equal in length, structures may have more.
function includes(seen, wanted, at) {
  if (Array.isArray(wanted)) {
    assert.equal(seen?.length, wanted.length, `${at}: ${JSON.stringify(seen)}`);
    wanted.forEach((v, i) => includes(seen[i], v, `${at}[${i}]`));
  } else if (wanted !== null && typeof wanted === "object") {
    assert.equal(typeof seen, "object", `${at}: ${JSON.stringify(seen)}`);
    for (const [k, v] of Object.entries(wanted)) includes(seen[k], v, `${at}.${k}`);
  } else {
    assert.equal(seen, wanted, at);
  }
}

// creation returns the operation that creates the nth resource of a kind, and its parameters.
function creation(kind, n, scope) {
  const { operation, parents, create, variants } = kinds[kind];
  return [operation ?? `Create${kind}`, expand({ ...parents, ...create, ...variants?.[n - 1] }, n, scope)];
}

async function live(kind) {
  const declared = kinds[kind];
  const needed = {};
  const deletions = [];
  const created = [];
  const scopes = [];

  const make = async (needs, n, scope) => {
    for (const [name, needed] of Object.entries(needs ?? {})) {
      if (name in scope) continue;
      await make(kinds[needed].needs, 1, scope);
      scope[name] = await sdk.call(...creation(needed, n, scope));
      deletions.push([needed, scope[name].id, { ...scope }]);
    }
  };
  const prerequisites = async (n) => {
    await make(declared.needs, 1, needed);
    const scope = { ...needed };
    await make(declared.needsEach, n, scope);
    return scope;
  };
  const keyOf = (kind, identifier, scope) => ({ ...expand(kinds[kind].parents ?? {}, 1, scope), [kinds[kind].identifier]: identifier });
  const key = (identifier, scope) => keyOf(kind, identifier, scope);
  const get = (identifier, scope) => sdk.call(`Get${kind}`, key(identifier, scope));

  const createOne = async (n) => {
    const scope = await prerequisites(n);
    const [operation, parameters] = creation(kind, n, scope);
    const one = await sdk.call(operation, { ...parameters, tags: { number: String(n) } });
    assert.match(one.id, new RegExp(`^${declared.prefix}-[0-9a-f]{17}$`));
    assert.ok(one.arn.endsWith(`/${one.id}`), `the ARN is ${one.arn}`);
    if (declared.get.status) assert.equal(one.status, "CREATE_IN_PROGRESS");
    created.push(one);
    scopes.push(scope);
  };

  await createOne(1);
  const [first] = created;
  const [scope] = scopes;
  const unknown = `${declared.prefix}-0123456789abcdef0`;
  const foreign = first.arn.replace(/:\d{12}:/, `:${nobody}:`);
  await sdk.refused("ResourceNotFoundException", 404, [`Get${kind}`, key(unknown, scope)], { resourceType: declared.type, resourceId: unknown });
  await sdk.refused("AccessDeniedException", 403, [`Get${kind}`, key(foreign, scope)]);
  const [operation, parameters] = creation(kind, 1, scope);
  await sdk.refused("ConflictException", 409, [operation, parameters], { resourceType: declared.type, resourceId: first.id });
  for (const [name, wrong] of Object.entries(declared.invalid)) {
    const error = await sdk.refused("ValidationException", 400, [operation, { ...parameters, [name]: wrong }], { reason: "fieldValidationFailed" });
    assert.deepEqual(error.fieldList.map((field) => field.name), [name]);
  }

  for (let n = 2; n <= declared.count; n++) await createOne(n);
  if (declared.quota) {
    const n = declared.count + 1;
    await sdk.refused("ServiceQuotaExceededException", 402, creation(kind, n, await prerequisites(n)), {
      quotaCode: declared.quota.code, serviceCode: "vpc-lattice", resourceType: null,
    });
  }

  for (const [i, one] of created.entries()) {
    const byId = await get(one.id, scopes[i]);
    assert.deepEqual(await get(one.arn, scopes[i]), byId);
    assert.equal(byId.id, one.id);
    assert.ok(byId.createdAt instanceof Date && byId.createdAt > new Date("2020-01-01"), `createdAt is ${byId.createdAt}`);
    includes(byId, expand(declared.get, i + 1, scopes[i]), kind);
  }

  const filter = expand({ ...declared.parents, ...declared.list }, 1, needed);
  const pages = await sdk.pages(`List${kind}s`, filter, pageSize);
  assert.ok(pages.slice(0, -1).every((items) => items.length === pageSize), `the pages are ${JSON.stringify(pages)}`);
  assert.deepEqual(pages.flat().slice(declared.before ?? 0).map(({ arn }) => arn), created.map(({ arn }) => arn));

  await sdk.call("TagResource", { resourceArn: first.arn, tags: { number: "one", empty: "" } });
  assert.deepEqual((await sdk.call("ListTagsForResource", { resourceArn: first.arn })).tags, { number: "one", empty: "" });
  await sdk.call("UntagResource", { resourceArn: first.arn, tagKeys: ["number", "never-was"] });
  assert.deepEqual((await sdk.call("ListTagsForResource", { resourceArn: first.arn })).tags, { empty: "" });

  if (declared.update) {
    await sdk.call(`Update${kind}`, { ...key(first.id, scope), ...expand(declared.update, 1, scope) });
    includes(await get(first.id, scope), expand(declared.updated, 1, scope), kind);
  }

  for (const [i, one] of created.entries()) {
    const answer = await sdk.call(`Delete${kind}`, key(i % 2 ? one.arn : one.id, scopes[i]));
    if (answer.status) assert.equal(answer.status, "DELETE_IN_PROGRESS");
    await sdk.refused("ResourceNotFoundException", 404, [`Get${kind}`, key(one.id, scopes[i])], { resourceId: one.id });
  }
  for (const [kind, identifier, scope] of deletions.reverse()) await sdk.call(`Delete${kind}`, keyOf(kind, identifier, scope));
}

for (const kind of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(kinds)) {
  console.log(`- ${kind}`);
  await live(kind);
}
