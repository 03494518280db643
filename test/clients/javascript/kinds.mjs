// The life of every kind of resource through the AWS SDK for JavaScript, as ../kinds.json declares it, with the SDK's
// own commands, paginators and exception classes. The Python programs do the same.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { SDK } from "./sdk.mjs";

const { kinds, policies } = JSON.parse(readFileSync(new URL("../kinds.json", import.meta.url)));
const pageSize = 2;
const nobody = "999999999999";
const sdk = new SDK(process.env.TRELLIS_API);

// expand puts the number, the client and what is needed in the places that $n, $client, $x and $x.arn mark.
function expand(value, n, scope) {
  if (Array.isArray(value)) return value.map((v) => expand(v, n, scope));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, expand(v, n, scope)]));
  }
  if (typeof value !== "string") return value;
  const text = value.replace(
    /\$(\w+)(\.arn)?/g,
    (_, name, arn) => ({ n, client: "javascript" })[name] ?? scope[name][arn ? "arn" : "id"],
  );
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
  return [operation ?? `Create${kind}`, expand({ ...parents, ...create, ...variants?.[n - 1]?.create }, n, scope)];
}

// keyOf names a resource.
function keyOf(kind, identifier, scope) {
  return { ...expand(kinds[kind].parents ?? {}, 1, scope), [kinds[kind].identifier]: identifier };
}

// Needs is what a resource needs, created when it is asked for, and deleted again.
class Needs {
  deletions = [];

  async make(needs, n, scope) {
    for (const [name, kind] of Object.entries(needs ?? {})) {
      if (name in scope) continue;
      await this.make(kinds[kind].needs, 1, scope);
      scope[name] = await sdk.call(...creation(kind, n, scope));
      this.deletions.push([kind, scope[name].id, { ...scope }]);
    }
    return scope;
  }

  async delete() {
    for (const [kind, identifier, scope] of this.deletions.reverse()) await sdk.call(`Delete${kind}`, keyOf(kind, identifier, scope));
  }
}

async function live(kind) {
  const declared = kinds[kind];
  const needs = new Needs();
  const needed = {};
  const created = [];
  const scopes = [];
  const prerequisites = async (n) => {
    await needs.make(declared.needs, 1, needed);
    return needs.make(declared.needsEach, n, { ...needed });
  };
  const key = (identifier, scope) => keyOf(kind, identifier, scope);
  const get = (identifier, scope) => sdk.call(`Get${kind}`, key(identifier, scope));

  const createOne = async (n) => {
    const scope = await prerequisites(n);
    const [operation, parameters] = creation(kind, n, scope);
    const one = await sdk.call(operation, { ...parameters, tags: { number: String(n) } });
    assert.match(one.id, new RegExp(`^${declared.prefix}-[0-9a-f]{17}$`));
    assert.ok(one.arn.endsWith(`/${one.id}`), `the ARN is ${one.arn}`);
    if (declared.get.status === "ACTIVE") assert.equal(one.status, declared.createdAs ?? "CREATE_IN_PROGRESS");
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
    includes(byId, expand({ ...declared.get, ...declared.variants?.[i]?.get }, i + 1, scopes[i]), kind);
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
  await needs.delete();
}

// A policy is put on a resource, replaced, read by each of the resource's identifiers, and deleted.
async function policy(name) {
  const declared = policies[name];
  const needs = new Needs();
  const scope = await needs.make(declared.needs, 1, {});
  scope.account = { id: scope.on.arn.split(":")[4] };
  const [key, sameKey, put, other, unknown] = ["key", "sameKey", "put", "other", "unknown"].map((member) => expand(declared[member], 1, scope));
  await sdk.call(`Put${name}`, { ...key, ...put });
  includes(await sdk.call(`Get${name}`, sameKey), { ...put, ...declared.get }, name);
  await sdk.call(`Put${name}`, { ...sameKey, ...other });
  includes(await sdk.call(`Get${name}`, key), other, name);
  const invalid = await sdk.refused("ValidationException", 400, [`Put${name}`, { ...key, ...declared.invalid }]);
  assert.deepEqual(invalid.fieldList.map((field) => field.name), ["policy"]);
  await sdk.refused("ResourceNotFoundException", 404, [`Get${name}`, unknown], { resourceType: declared.type });
  await sdk.refused("AccessDeniedException", 403, [`Get${name}`, declared.foreign]);
  for (const _ of [1, 2]) await sdk.call(`Delete${name}`, key);
  assert.equal((await sdk.call(`Get${name}`, key)).policy, undefined);
  await needs.delete();
}

// Targets are registered with a target group, listed in pages, found one by one, and deregistered.
async function targets() {
  const needs = new Needs();
  const { group } = await needs.make({ group: "TargetGroup" }, 1, {});
  const key = { targetGroupIdentifier: group.id };
  const members = [1, 2, 3, 4, 5].map((port) => ({ id: "127.0.0.1", port }));
  const registered = await sdk.call("RegisterTargets", { ...key, targets: [...members, { id: "not-an-address", port: 1 }] });
  assert.deepEqual(registered.successful, members);
  assert.deepEqual(registered.unsuccessful.map(({ id }) => id), ["not-an-address"]);
  const pages = await sdk.pages("ListTargets", key, pageSize);
  const unused = { status: "UNUSED", reasonCode: "TargetGroupNotInUse" };
  assert.deepEqual(pages.map((items) => items.length), [2, 2, 1]);
  assert.deepEqual(pages.flat(), members.map((member) => ({ ...member, ...unused })));
  const found = await sdk.call("ListTargets", { ...key, targets: [members[2]] });
  assert.deepEqual(found.items, [{ ...members[2], ...unused }]);
  await sdk.refused("ConflictException", 409, ["DeleteTargetGroup", key], { resourceType: "TARGET_GROUP", resourceId: group.id });
  assert.deepEqual(await sdk.call("DeregisterTargets", { ...key, targets: members }), { successful: members, unsuccessful: [] });
  assert.deepEqual((await sdk.call("ListTargets", key)).items, []);
  await needs.delete();
}

// Two rules swap their priorities in one call.
async function ruleUpdates() {
  const needs = new Needs();
  const scope = await needs.make({ group: "TargetGroup", service: "Service", listener: "Listener" }, 1, {});
  const [one, two] = [await sdk.call(...creation("Rule", 1, scope)), await sdk.call(...creation("Rule", 2, scope))];
  const answer = await sdk.call("BatchUpdateRule", {
    serviceIdentifier: scope.service.id,
    listenerIdentifier: scope.listener.arn,
    rules: [
      { ruleIdentifier: one.arn, priority: 12 },
      { ruleIdentifier: two.id, priority: 11 },
      { ruleIdentifier: "rule-0123456789abcdef0", priority: 13 },
    ],
  });
  assert.deepEqual(answer.successful.map(({ id, priority }) => [id, priority]), [[one.id, 12], [two.id, 11]]);
  assert.deepEqual(answer.unsuccessful.map(({ ruleIdentifier }) => ruleIdentifier), ["rule-0123456789abcdef0"]);
  await needs.delete();
}

// VPC endpoints, which the server knows from its inventory, are listed in pages and detached.
async function endpoints() {
  const { TRELLIS_NETWORK: network, TRELLIS_CONFIGURATION: configuration } = process.env;
  const toNetwork = await sdk.pages("ListServiceNetworkVpcEndpointAssociations", { serviceNetworkIdentifier: network }, pageSize);
  assert.deepEqual(toNetwork.map((items) => items.length), [2, 2, 1]);
  for (const item of toNetwork.flat()) includes(item, { serviceNetworkArn: network, state: "ACTIVE" }, "endpoint");
  await sdk.refused("ConflictException", 409, ["DeleteServiceNetwork", { serviceNetworkIdentifier: network }], { resourceType: "SERVICE_NETWORK" });

  const toResource = await sdk.pages("ListResourceEndpointAssociations", { resourceConfigurationIdentifier: configuration }, pageSize);
  assert.deepEqual(toResource.map((items) => items.length), [2, 2, 1]);
  const [first, ...rest] = toResource.flat();
  const key = { resourceEndpointAssociationIdentifier: first.arn };
  includes(await sdk.call("DeleteResourceEndpointAssociation", key), { id: first.id, vpcEndpointId: first.vpcEndpointId }, "detached");
  assert.deepEqual((await sdk.call("ListResourceEndpointAssociations", { resourceConfigurationIdentifier: configuration })).items, rest);
  await sdk.refused("ResourceNotFoundException", 404, ["DeleteResourceEndpointAssociation", key], { resourceType: "RESOURCE_ENDPOINT_ASSOCIATION" });
}

const others = { Target: targets, RuleUpdate: ruleUpdates, Endpoint: endpoints };
const all = [...Object.keys(kinds), ...Object.keys(policies), "Target", "RuleUpdate"];
for (const name of process.argv.length > 2 ? process.argv.slice(2) : all) {
  console.log(`- ${name}`);
  await (name in kinds ? live(name) : name in policies ? policy(name) : others[name]());
}
if (process.argv.length === 2) {
  // What is about endpoints needs an inventory, and is performed by itself.
  assert.deepEqual(SDK.operations().filter((operation) => !sdk.called.has(operation) && !operation.includes("Endpoint")), []);
}
