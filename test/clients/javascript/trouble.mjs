// What the SDK makes of a server that throttles, or fails: of its exceptions, and of trying again.

import assert from "node:assert/strict";
import { SDK } from "./sdk.mjs";

const throttling = new SDK(process.env.TRELLIS_THROTTLING);
await throttling.call("ListServices", {}); // The one call that the rate lets through.
await throttling.refused("ThrottlingException", 429, ["ListServices", {}], { retryAfterSeconds: null });
await new SDK(process.env.TRELLIS_FAILING).refused("InternalServerException", 500, ["ListServices", {}]);

// Who tries again creates once, even when the first response was lost.
const unsteady = new SDK(process.env.TRELLIS_UNSTEADY, 30);
const names = [1, 2, 3].map((n) => `network-${n}`);
for (const name of names) await unsteady.call("CreateServiceNetwork", { name });
const pages = await unsteady.pages("ListServiceNetworks", {}, 100);
assert.deepEqual(pages.flat().map(({ name }) => name), names);
