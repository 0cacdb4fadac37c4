import assert from "node:assert/strict";
import { test } from "node:test";
import { World, base64, crowdMetrics, fromBase64, metrics, problem, suite, sumMetrics, tasks } from "./world.mjs";
import { from64 } from "./suite.mjs";

// What pages load: private.client.test.mjs runs all of this with the other entry point.
const entry = process.env.SHOAL_ENTRY ?? "index";
const { open } = await import(`../dist/${entry}.js`);
const day = 864e5;
const find = (want) => sumMetrics.find((m) => want(tasks.get(m).aggregation));
const hidden = sumMetrics.filter((m) => tasks.get(m).aggregation.hidden);
const sum = find((a) => a.kind === 2 && a.max === 1000n);
const list = (w) => w.uploads.map((u) => u.body);

test("off records nothing, asks nothing, and never throws", async () => {
  const w = new World();
  const c = await open(w.options({ mode: undefined, memory: true }));
  assert.equal(c.error, "");
  assert.equal((await c.count(sum)).status, "turned_off");
  assert.equal((await c.record(crowdMetrics[0], suite.crowd[0].record)).status, "turned_off");
  assert.deepEqual(await c.pending(), []);
  assert.equal(await c.drop(), 0);
  assert.equal((await c.sendDue()).sent, 0);
  await c.close();
  assert.equal((await c.count(sum)).status, "closed");
  assert.equal(w.requests.length, 0);
});

test("a sum is gathered over the epoch and sent after it, in one report", async () => {
  const w = new World();
  const c = await open(w.options({ metrics: [sum] }));
  assert.deepEqual(await c.add(sum, 400), { status: "queued", reports: 1, clipped: false });
  assert.equal((await c.add(sum, 700)).clipped, true);
  const [waits, ...others] = await c.pending();
  assert.equal(others.length, 0);
  assert.match(waits.recorded, /^1000 \(1 of 2 values/);
  const end = w.end(sum);
  assert.ok(waits.sendAt.getTime() >= end && waits.stage === "waiting");
  w.now = end - 1;
  assert.equal((await c.sendDue()).sent, 0);
  assert.equal(w.requests.length, 0);
  w.now = waits.sendAt.getTime();
  assert.deepEqual(await c.sendDue().then((p) => [p.sent, p.error]), [1, undefined]);
  for (const { url, init } of w.requests) {
    assert.equal(init.credentials, "omit");
    assert.equal(init.referrerPolicy, "no-referrer");
    assert.equal(init.redirect, "error");
    assert.equal(init.cache, "no-store");
    assert.deepEqual(Object.keys(init.headers ?? {}), init.method ? ["content-type"] : [], url);
  }
  const { sent, sealed } = await c.stats();
  assert.deepEqual([sent, sealed], [1, 0]);
});

test("presence is hidden: every epoch one report of each task, whatever was recorded", async () => {
  const w = new World();
  const some = hidden.slice(0, 3), shown = sumMetrics.find((m) => !hidden.includes(m));
  const c = await open(w.options({ metrics: [...some, shown] }));
  await c.add(some[0], 1);
  const until = w.now + day / 2;
  await w.drain(c, until);
  const counts = new Map();
  for (const { url } of w.uploads) counts.set(url, (counts.get(url) ?? 0) + 1);
  assert.equal(counts.size, some.length, "only tasks with hidden presence report by themselves");
  for (const m of some) {
    const x = tasks.get(m);
    const epochs = Math.floor((until - x.maxDelay * 1000) / 1000 / x.epochSeconds) - Math.floor(suite.now / 1000 / x.epochSeconds);
    const n = counts.get([...counts.keys()].find((u) => u.startsWith(x.hops[0].url)));
    assert.ok(n >= epochs && n <= epochs + 1 + Math.ceil(x.maxDelay / x.epochSeconds), `${m}: ${n} reports in ${epochs} epochs`);
  }
  assert.equal(new Set(list(w)).size, w.uploads.length);
});

test("records are broken up, capped, and sent at random times within the delay", async () => {
  const w = new World();
  for (const [i, metric] of crowdMetrics.entries()) {
    const c = await open(w.options({ metrics: [metric] }));
    const x = tasks.get(metric);
    let queued = 0;
    w.now = suite.now;
    for (let k = 0; k < x.crowd.perEpoch + 3; k++) {
      const o = await c.record(metric, suite.crowd[i].record);
      assert.ok(["queued", "cap_reached", "nothing"].includes(o.status), o.error);
      queued += o.reports;
    }
    assert.ok(queued <= x.crowd.perEpoch);
    for (const p of await c.pending()) {
      assert.ok(p.sendAt >= p.recordedAt && p.sendAt - p.recordedAt <= x.maxDelay * 1000);
      assert.equal(typeof p.recorded, "string");
    }
    const before = w.uploads.length;
    const { sent } = await w.drain(c, suite.now + x.maxDelay * 1000 + 1);
    assert.equal(sent, queued);
    assert.equal(w.uploads.length - before, queued);
    await c.close();
  }
});

test("a report is sealed once, and every retry sends the same bytes", async () => {
  const w = new World();
  const metric = crowdMetrics[0];
  const c = await open(w.options({ metrics: [metric] }));
  await c.record(metric, suite.crowd[0].record);
  let failures = 3;
  w.answer = (_, init) => {
    if (init.method === "POST" && failures-- > 0) throw new TypeError("the network is down");
  };
  w.now = (await c.pending())[0].sendAt.getTime();
  for (let i = 0; i < 8; i++) {
    const pass = await c.sendDue();
    assert.ok(pass.sent || pass.error);
    if (pass.sent) break;
    assert.equal((await c.pending())[0].stage, "sealed");
    assert.ok(pass.next > w.now + 29e3, "backoff");
    w.now = pass.next;
  }
  assert.equal(w.uploads.length, 4);
  assert.equal(new Set(list(w)).size, 1);
});

test("a leader with new keys gets the report once more, under the same ID", async () => {
  const w = new World();
  const metric = sumMetrics.find((m) => tasks.get(m).aggregation.variant === "dap-18");
  // The first moment of the delay, so that there is time for a second attempt.
  const c = await open(w.options({ metrics: [metric], random: (n) => new Uint8Array(n) }));
  await c.add(metric, 1);
  w.answer = (_, init) => init.method && new Response(
    new Uint8Array([...init.body.slice(0, 16), 11]), { headers: { "content-type": "application/ppm-dap;message=upload-errors" } },
  );
  await w.drain(c, w.end(metric) + tasks.get(metric).maxDelay * 1000);
  const bodies = list(w).map((b) => fromBase64(b));
  assert.equal(bodies.length, 2, "once more, and no third time");
  assert.equal(base64(bodies[0].slice(0, 16)), base64(bodies[1].slice(0, 16)));
  assert.notEqual(base64(bodies[0]), base64(bodies[1]));
  assert.equal((await c.stats()).dropped.outdated, 1);
});

test("a refusal ends a report, a page of a proxy does not", async () => {
  for (const [answer, dropped] of [
    [() => problem("urn:shoal:problem:wrong-epoch"), "wrong-epoch"],
    [() => new Response("<html>", { status: 403, headers: { "content-type": "text/html" } }), undefined],
    [() => problem("about:blank"), undefined],
    [() => problem("urn:shoal:problem:busy", 429), undefined],
    [() => problem("urn:shoal:problem:busy", 503), undefined],
    [() => new Response(null, { status: 200 }), undefined],
  ]) {
    const w = new World();
    const metric = crowdMetrics[0];
    const c = await open(w.options({ metrics: [metric] }));
    await c.record(metric, suite.crowd[0].record);
    w.answer = (_, init) => init.method && answer();
    w.now = (await c.pending())[0].sendAt.getTime();
    const pass = await c.sendDue();
    assert.equal(pass.refused, dropped ? 1 : 0);
    assert.equal((await c.pending()).length, dropped ? 0 : 1);
    assert.deepEqual((await c.stats()).dropped, dropped ? { [dropped]: 1 } : {});
  }
});

test("keys that are not signed by the parties, or not there, make reports wait", async () => {
  for (const spoil of [
    (r) => { const b = new Uint8Array(r); b[b.length - 5] ^= 1; return new Response(b, { headers: { "content-type": "application/shoal-keys;v=1" } }); },
    () => new Response(null, { status: 500 }),
    () => { throw new TypeError("offline"); },
    () => new Response(new Uint8Array(2 << 20), { headers: { "content-type": "application/shoal-keys;v=1" } }),
    (r) => new Response(r, { headers: { "content-type": "text/html" } }),
  ]) {
    const w = new World();
    const metric = crowdMetrics[0];
    const c = await open(w.options({ metrics: [metric] }));
    await c.record(metric, suite.crowd[0].record);
    w.answer = (url, init) => (init.method ? undefined : spoil(from64(suite.crowd[0].keys)));
    w.now = (await c.pending())[0].sendAt.getTime();
    const pass = await c.sendDue();
    assert.equal(pass.sent, 0);
    assert.ok(pass.error);
    assert.equal(w.uploads.length, 0);
    assert.equal((await c.pending())[0].stage, "waiting");
  }
});

test("local holds, and what was held is never sent", async () => {
  const w = new World();
  const metric = crowdMetrics[0];
  const c = await open(w.options({ metrics: [metric, sum], mode: "local" }));
  await c.record(metric, suite.crowd[0].record);
  await c.add(sum, 1);
  assert.deepEqual((await c.pending()).map((p) => p.stage), ["held", "held"]);
  assert.equal(await c.setMode("on"), "");
  await w.drain(c, w.now + 2 * day);
  assert.ok(w.uploads.every((u) => u.url.startsWith(tasks.get(sum).hops[0].url)), "held records left the device");
  assert.equal((await c.stats()).dropped.unsent, 2);

  await c.setMode("off");
  assert.equal((await c.pending()).length, 0);
  assert.equal((await c.count(sum)).status, "turned_off");
});

test("drop removes, and what was dropped counts against the caps", async () => {
  const w = new World();
  const metric = crowdMetrics[0];
  const c = await open(w.options({ metrics: [metric] }));
  await c.record(metric, suite.crowd[0].record);
  assert.equal(await c.drop((p) => p.metric === "another"), 0);
  assert.equal(await c.drop((p) => p.metric === metric), 1);
  await w.drain(c, w.now + day / 4);
  assert.equal(w.uploads.length, 0);
});

test("nothing that an app does throws", async () => {
  const w = new World();
  const c = await open(w.options());
  const junk = [undefined, null, NaN, Infinity, -1, 1.5, "x", {}, [], [[]], 2n ** 70n, -5n, Symbol("x"), () => {}, "\ud800", new Date(), { toString() { throw new Error("no"); } }];
  for (const m of [...metrics, undefined, "no such metric"]) {
    for (const v of junk) {
      for (const op of ["add", "observe", "vector", "record"]) {
        const o = await c[op](m, v);
        assert.ok(["invalid", "queued", "unknown_metric", "nothing", "cap_reached", "not_yet"].includes(o.status), `${op} ${String(m)}: ${o.status} ${o.error}`);
      }
      assert.equal((await c.record(m, { f0: v, f1: v })).reports >= 0, true);
    }
  }
  assert.ok((await c.pending()).every((p) => !/NaN|undefined|Infinity/.test(p.recorded)));
  for (const bad of [
    { owner: "x" }, { owner: undefined }, { metrics: [] }, { metrics: undefined }, { metrics: ["no such metric"] }, { bundle: new Uint8Array(3) },
    { bundle: undefined }, { bundle: { then: (_, no) => no(new Error("404")) } }, { mode: "loud" }, { bundle: from64(suite.unfit), metrics: ["gradient"] },
  ]) {
    const broken = await open(w.options(bad));
    assert.ok(broken.error, JSON.stringify(Object.keys(bad)));
    assert.equal(broken.mode, "off");
    assert.equal((await broken.count(sum)).status, "turned_off");
    assert.deepEqual(await broken.pending(), []);
    assert.ok(await broken.setMode("on"));
    await broken.close();
  }
});

test("a task that needs more than this SDK has is refused", async () => {
  const w = new World();
  const elsewhere = entry === "private" ? { quorum: /^$/, credential: /not in this SDK/ } : { quorum: /sdk\/private/, credential: /sdk\/private/ };
  for (const [metric, why] of [...Object.entries(elsewhere), ["gradient", /not in this SDK/], ["bounded", /not in this SDK/]]) {
    const c = await open(w.options({ bundle: from64(suite.unfit), metrics: [metric] }));
    assert.match(c.error, why);
  }
  assert.equal(w.requests.length, 0);
});

test("Global Privacy Control is off, whatever the page asks for", async () => {
  const w = new World();
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { globalPrivacyControl: true }, configurable: true });
  try {
    const c = await open(w.options());
    assert.equal(c.mode, "off");
    assert.match((await c.count(sum)).error, /Global Privacy Control/);
    assert.equal(await c.setMode("on"), "");
    assert.equal(c.mode, "off");
  } finally {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  }
});

test("the background sender sends by itself, and close ends it", async () => {
  const w = new World();
  const metric = crowdMetrics[0];
  const c = await open(w.options({ metrics: [metric], noSender: false }));
  await c.record(metric, suite.crowd[0].record);
  w.now = (await c.pending())[0].sendAt.getTime();
  for (let i = 0; i < 200 && !w.uploads.length; i++) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(w.uploads.length, 1);
  await c.close();
});
