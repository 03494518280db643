// The life of a target group through the AWS SDK for JavaScript, and errors as the SDK's own classes.

import assert from "node:assert/strict";
import {
  ConflictException,
  CreateTargetGroupCommand,
  DeleteTargetGroupCommand,
  GetTargetGroupCommand,
  ListTagsForResourceCommand,
  paginateListTargetGroups,
  ResourceNotFoundException,
  TagResourceCommand,
  UpdateTargetGroupCommand,
  ValidationException,
  VPCLatticeClient,
} from "@aws-sdk/client-vpc-lattice";

const client = new VPCLatticeClient({
  endpoint: process.env.TRELLIS_API,
  region: "us-west-2",
  credentials: { accessKeyId: "any", secretAccessKey: "any" },
  maxAttempts: 1,
});

const config = { port: 80, protocol: "HTTP", vpcIdentifier: "vpc-0123456789abcdef0" };
const create = (name, more) => client.send(new CreateTargetGroupCommand({ name, type: "IP", config, ...more }));

// rejection returns the error of a request that must fail.
async function rejection(request) {
  try {
    await request;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "the request was not refused" });
}

const { arn, id } = await create("from-javascript", { tags: { team: "shop" } });
const got = await client.send(new GetTargetGroupCommand({ targetGroupIdentifier: arn }));
assert.equal(got.status, "ACTIVE");
assert.equal(got.config.healthCheck.path, "/");
assert.ok(got.createdAt instanceof Date && got.createdAt > new Date("2020-01-01"), `createdAt is ${got.createdAt}`);

const updated = await client.send(
  new UpdateTargetGroupCommand({ targetGroupIdentifier: id, healthCheck: { path: "/health" } }),
);
assert.equal(updated.config.healthCheck.path, "/health");

await client.send(new TagResourceCommand({ resourceArn: arn, tags: { stage: "test" } }));
const { tags } = await client.send(new ListTagsForResourceCommand({ resourceArn: arn }));
assert.deepEqual(tags, { team: "shop", stage: "test" });

for (const n of [1, 2, 3, 4]) await create(`paged-${n}`);
const pages = [];
for await (const page of paginateListTargetGroups({ client, pageSize: 2 }, {})) {
  pages.push(page.items.map((group) => group.name));
}
assert.deepEqual(pages, [["from-javascript", "paged-1"], ["paged-2", "paged-3"], ["paged-4"]]);

const invalid = await rejection(create("Not_A_Name"));
assert.ok(invalid instanceof ValidationException, `${invalid}`);
assert.deepEqual(invalid.fieldList.map((field) => field.name), ["name"]);

const conflict = await rejection(create("from-javascript"));
assert.ok(conflict instanceof ConflictException, `${conflict}`);
assert.equal(conflict.resourceType, "TARGET_GROUP");

await client.send(new DeleteTargetGroupCommand({ targetGroupIdentifier: arn }));
const gone = await rejection(client.send(new GetTargetGroupCommand({ targetGroupIdentifier: id })));
assert.ok(gone instanceof ResourceNotFoundException, `${gone}`);
assert.equal(gone.resourceId, id);
