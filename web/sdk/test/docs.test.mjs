import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { reference } from "../reference.mjs";
import { metrics, suite, tasks } from "./world.mjs";
import { from64 } from "./suite.mjs";

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8");

test("REFERENCE.md is made of the types", () => {
  assert.equal(read("REFERENCE.md"), reference(), "run node reference.mjs");
});

test("the five lines of the README work", async () => {
  const [, code] = /```js\n([\s\S]*?)```/.exec(read("README.md"));
  assert.equal(code.trim().split("\n").length, 5);
  const kind = (k) => metrics.find((m) => tasks.get(m).aggregation?.kind === k);
  const names = { "shop.checkout": kind(1), "shop.spent": kind(2) };
  let runs = code.replace('"@shoal/sdk"', JSON.stringify(new URL("../dist/index.js", import.meta.url).href)).replace("ed25519:…", suite.owner);
  for (const [name, metric] of Object.entries(names)) runs = runs.replaceAll(name, metric);
  const real = [Date.now, globalThis.fetch];
  Date.now = () => suite.now;
  globalThis.fetch = async (url) => (url === "/tasks.bundle" ? new Response(from64(suite.bundle)) : new Response(null, { status: 404 }));
  try {
    const { default: shoal } = await import(`data:text/javascript,${encodeURIComponent(`${runs}\nexport default shoal;`)}`);
    assert.equal(shoal.error, "");
    const waits = await shoal.pending();
    assert.deepEqual(waits.map((w) => w.metric).sort(), Object.values(names).sort());
    await shoal.close();
  } finally {
    [Date.now, globalThis.fetch] = real;
  }
});
