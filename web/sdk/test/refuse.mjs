// Opens the tasks of a play that have a relay with @shoal/sdk, which must refuse them and
// answer the others of the bundle.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { open } from "../dist/index.js";

const { bundle, owner, from } = JSON.parse(readFileSync(0, "utf8"));
const of = (metrics) => open({
  bundle: Uint8Array.from(Buffer.from(bundle, "base64")), owner, metrics, mode: "on", noSender: true, now: () => from,
  fetch: () => assert.fail("the network was used"),
});
for (const metric of process.argv.slice(2)) {
  const c = await of([metric, "shop.spent"]);
  assert.match(c.error, /needs @shoal\/sdk\/private/);
  assert.equal((await c.add("shop.spent", 1)).status, "turned_off");
}
const c = await of(["shop.spent"]);
assert.equal(c.error, "");
assert.equal((await c.add("shop.spent", 1)).status, "queued");
await c.close();
