// Drives Chromium over the site of browser_test.go: the golden suite in a page, the
// shop, many people with outboxes in IndexedDB, several tabs, what lies on the disk.
// It prints one line of JSON with figures.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { vectorFiles } from "./vectors.mjs";

const { site, play, visitors, relay, chromium, screenshots } = JSON.parse(readFileSync(0, "utf8"));
const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"], protocolTimeout: 300_000 });
const figures = {};
const posts = [];

/** A page whose clock is that of the servers, and whose requests are recorded. */
async function page(context, path, prepare = () => {}) {
  const p = await context.newPage();
  p.setDefaultTimeout(120_000);
  p.on("pageerror", (e) => assert.fail(`an error in the page: ${e}`));
  await p.evaluateOnNewDocument((from, loaded) => {
    const real = Date.now.bind(Date);
    globalThis.shift = Number(localStorage.getItem("shift") ?? from - loaded);
    Date.now = () => real() + globalThis.shift;
    globalThis.setClock = (ms) => localStorage.setItem("shift", globalThis.shift = ms - real());
  }, play.from, Date.now());
  await p.evaluateOnNewDocument(prepare);
  const client = await p.createCDPSession();
  await client.send("Network.enable");
  const urls = new Map();
  client.on("Network.requestWillBeSent", ({ requestId, request }) => {
    urls.set(requestId, request);
    if (request.method === "POST") posts.push(request.url);
  });
  client.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => {
    const request = urls.get(requestId);
    if (!request || request.url.startsWith(site)) return;
    for (const name of Object.keys(headers)) {
      assert.ok(!/^(cookie|referer|authorization)$/i.test(name), `${request.method} ${request.url} carries ${name}`);
    }
  });
  await p.goto(site + path, { waitUntil: "networkidle0" });
  return p;
}

async function golden() {
  const p = await page(browser.defaultBrowserContext(), "/sdk/test/blank.html");
  figures.golden = await p.evaluate(async () => {
    const [modules, { make, compare }] = await Promise.all([import("/sdk/test/modules.mjs"), import("/sdk/test/suite.mjs")]);
    const suite = await (await fetch("/sdk/testdata/golden.json")).json();
    const begun = performance.now();
    const results = await make(suite, modules);
    const millis = performance.now() - begun;
    compare(suite, results);
    const reports = 2 * (results.sums.length + results.crowd.reduce((n, c) => n + c.fragments.length, 0));
    return { reports, millisPerReport: millis / reports };
  });
  const read = ([name, path]) => [name, JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8"))];
  figures.primitives = await p.evaluate(async (files) => {
    const [primitives, { vectors }, { makePrimitives, comparePrimitives }] =
      await Promise.all([import("/sdk/build/primitives.js"), import("/sdk/test/vectors.mjs"), import("/sdk/test/primitives.mjs")]);
    await vectors(primitives, files);
    const suite = await (await fetch("/sdk/testdata/primitives.json")).json();
    const begun = performance.now();
    comparePrimitives(suite, await makePrimitives(suite, primitives));
    return { millis: performance.now() - begun };
  }, Object.fromEntries(Object.entries(vectorFiles).map(read)));
  await p.close();
}

/** People in one page, each with an outbox of their own in IndexedDB. */
async function people() {
  const p = await page(browser.defaultBrowserContext(), "/sdk/test/blank.html");
  const record = await p.evaluate(async ({ bundle, owner, people }) => {
    const { open } = await import("/sdk/dist/index.js");
    const bytes = Uint8Array.from(atob(bundle), (c) => c.charCodeAt(0));
    const metrics = ["shop.checkout", "shop.spent", "shop.items", "shop.theme", "shop.milliseconds", "shop.departments", "shop.hours"];
    globalThis.clients = [];
    let slowest = 0;
    for (const [i, person] of people.entries()) {
      const c = await open({ bundle: bytes, owner, metrics, mode: "on", noSender: true, name: `person ${i}` });
      if (c.error || !c.durable) throw new Error(c.error || "the outbox is not durable");
      globalThis.clients.push(c);
      const begun = performance.now();
      const outcomes = await Promise.all(person.map(({ op, metric, value }) => (op === "count" ? c.count(metric) : c[op](metric, value))));
      slowest = Math.max(slowest, performance.now() - begun);
      for (const o of outcomes) if (o.status !== "queued") throw new Error(`${o.status}: ${o.error}`);
      await c.sendDue();
      const waits = await c.pending();
      if (waits.length !== metrics.length) throw new Error(`${waits.length} reports wait, want ${metrics.length}`);
    }
    return { slowest };
  }, play);
  figures.recordMillis = record.slowest;

  // What is on the disk reveals nothing, and its keys cannot be read out.
  const disk = await p.evaluate(async () => {
    const db = await new Promise((resolve) => { indexedDB.open("person 0").onsuccess = (e) => resolve(e.target.result); });
    const get = (r) => new Promise((resolve) => { r.onsuccess = () => resolve(r.result); });
    const s = db.transaction("records").objectStore("records");
    const [names, values] = [await get(s.getAllKeys()), await get(db.transaction("records").objectStore("records").getAll())];
    let text = "";
    for (const v of values) if (v instanceof Uint8Array) text += String.fromCharCode(...v);
    const exported = await crypto.subtle.exportKey("raw", values[names.indexOf("key")]).then(() => true, () => false);
    db.close();
    return { records: names.length, plain: /shop|checkout|ed25519|waiting|tally/.test(text), exported };
  });
  assert.ok(disk.records > 8 && !disk.plain && !disk.exported, JSON.stringify(disk));

  // The page goes away and comes back: everything waits still.
  await p.evaluate(() => globalThis.clients.forEach((c) => c.close()));
  await p.reload();
  return p;
}

async function sendPeople(p) {
  const out = await p.evaluate(async ({ bundle, owner, people, send }) => {
    const { open } = await import("/sdk/dist/index.js");
    const bytes = Uint8Array.from(atob(bundle), (c) => c.charCodeAt(0));
    const metrics = ["shop.checkout", "shop.spent", "shop.items", "shop.theme", "shop.milliseconds", "shop.departments", "shop.hours"];
    let sent = 0;
    const begun = performance.now();
    for (const i of people.keys()) {
      const c = await open({ bundle: bytes, owner, metrics, mode: "on", noSender: true, name: `person ${i}`, now: () => send });
      for (let k = 0; k < 3; k++) {
        const pass = await c.sendDue();
        if (pass.error) throw new Error(pass.error);
        sent += pass.sent;
      }
      await c.close();
    }
    return { sent, millisPerReport: (performance.now() - begun) / sent };
  }, play);
  assert.equal(out.sent, play.people.length * 7);
  figures.people = out;
}

/** Visitors whose tasks have a relay: they connect to it and to nobody else. */
async function relayed() {
  const p = await page(browser.defaultBrowserContext(), "/sdk/test/blank.html");
  const asked = [];
  p.on("request", (r) => asked.push(r.url()));
  figures.relayed = await p.evaluate(async ({ bundle, owner, from, send }, visitors) => {
    const { open } = await import("/sdk/dist/private.js");
    const bytes = Uint8Array.from(atob(bundle), (c) => c.charCodeAt(0));
    const metrics = [...new Set(visitors.flat().map((x) => x.metric))];
    let sent = 0, millis = 0;
    for (const [i, visitor] of visitors.entries()) {
      let now = from;
      const c = await open({ bundle: bytes, owner, metrics, mode: "on", noSender: true, name: `visitor ${i}`, now: () => now });
      if (c.error || !c.durable) throw new Error(c.error || "the outbox is not durable");
      await c.sendDue();
      for (const { op, metric, value } of visitor) {
        const o = await c[op](metric, value);
        if (o.status !== "queued") throw new Error(`${o.status}: ${o.error}`);
      }
      now = send;
      const begun = performance.now();
      for (let k = 0; k < 3; k++) {
        const pass = await c.sendDue();
        if (pass.error) throw new Error(pass.error);
        sent += pass.sent;
      }
      millis += performance.now() - begun;
      await c.close();
    }
    return { sent, millisPerReport: millis / sent };
  }, play, visitors);
  assert.equal(figures.relayed.sent, 2 * visitors.length);
  const parties = new Set(asked.map((u) => new URL(u).origin).filter((o) => o !== site));
  assert.deepEqual([...parties], [relay]);
  await p.close();
}

/** One customer clicks through the shop. */
async function shop(prepare) {
  const context = await browser.createBrowserContext();
  const p = await page(context, "/sdk/example/index.html", prepare);
  const text = (selector) => p.$eval(selector, (e) => e.textContent);
  await p.waitForFunction(() => document.getElementById("state")?.textContent);
  assert.match(await text("#state"), /mode is off/);
  assert.equal((await p.evaluate(async () => (await indexedDB.databases()).length)), 0, "off stores nothing");
  return { context, p, text };
}

async function customer() {
  const { p, text } = await shop();
  await p.click("input[value=on]");
  await p.waitForFunction(() => /mode is on/.test(document.getElementById("state").textContent));
  const buttons = await p.$$("#shelf button");
  await buttons[0].click();
  await buttons[1].click();
  await p.click("#checkout");
  await p.waitForFunction(() => [...document.querySelectorAll("#pending tr")].some((r) => /^shop\.spent42/.test(r.textContent)));
  assert.match(await text("#pending"), /shop\.departmentsbooks, games/);
  assert.match(await text("#thanks"), /2 things/);
  for (const [name, scheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "light", 360]]) {
    if (!screenshots) break;
    await p.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await p.setViewport({ width, height: 900 });
    await p.screenshot({ path: `${screenshots}/shop-${name}.png` });
  }
  return p;
}

/** Two tabs share one outbox: each report is sent once, and a decision in one holds in the other. */
async function tabs() {
  const context = await browser.createBrowserContext();
  const start = async () => {
    const p = await page(context, "/sdk/test/blank.html");
    await p.evaluate(async ({ bundle, owner }) => {
      const { open } = await import("/sdk/dist/index.js");
      const bytes = Uint8Array.from(atob(bundle), (c) => c.charCodeAt(0));
      globalThis.c = await open({ bundle: bytes, owner, metrics: ["shop.spent"], mode: "on", noSender: true, now: () => globalThis.at, name: "tabs" });
    }, play);
    return p;
  };
  const [a, b] = [await start(), await start()];
  const both = (f, ...args) => Promise.all([a.evaluate(f, ...args), b.evaluate(f, ...args)]);
  await both((at) => { globalThis.at = at; }, play.from);
  const outcomes = await both(() => Promise.all(Array.from({ length: 20 }, () => globalThis.c.add("shop.spent", 1))));
  assert.ok(outcomes.flat().every((o) => o.status === "queued"));
  for (const waits of await both(() => globalThis.c.pending())) {
    assert.deepEqual(waits.map((w) => w.recorded), ["40"], "both tabs add to one report");
  }
  const before = posts.length;
  await both((at) => { globalThis.at = at; }, play.send);
  const passes = [];
  for (let i = 0; i < 3; i++) passes.push(...await both(() => globalThis.c.sendDue()));
  assert.equal(passes.reduce((n, x) => n + x.sent, 0), 1, JSON.stringify(passes));
  assert.equal(posts.length - before, 1);
  await a.evaluate(() => globalThis.c.setMode("off"));
  assert.equal((await b.evaluate(() => globalThis.c.add("shop.spent", 1))).status, "turned_off");
  assert.deepEqual(await b.evaluate(() => globalThis.c.pending()), []);
  await context.close();
}

/** Where the browser or the page's policy takes something away. */
async function less() {
  const privacy = await shop(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  await privacy.p.click("input[value=on]");
  await privacy.p.reload({ waitUntil: "networkidle0" });
  assert.match(await privacy.text("#state"), /mode is off/);
  assert.equal(await privacy.p.evaluate(async () => (await indexedDB.databases()).length), 0);
  await privacy.context.close();

  const results = [];
  for (const [path, prepare] of [
    ["/sdk/test/blank.html", () => { Object.defineProperty(globalThis, "indexedDB", { value: undefined }); }],
    ["/sdk/test/blank.html", () => { IDBFactory.prototype.open = () => { throw new DOMException("denied", "SecurityError"); }; }],
    ["/sdk/test/blank.html", () => { Object.defineProperty(Navigator.prototype, "locks", { value: undefined }); }],
    ["/sdk/test/blank.html?no-worker", () => {}],
  ]) {
    const context = await browser.createBrowserContext();
    const p = await page(context, path, prepare);
    results.push(await p.evaluate(async ({ bundle, owner, from, send }) => {
      const { open } = await import("/sdk/dist/index.js");
      let now = from;
      const bytes = Uint8Array.from(atob(bundle), (c) => c.charCodeAt(0));
      const c = await open({ bundle: bytes, owner, metrics: ["shop.hours"], mode: "on", noSender: true, now: () => now });
      const { status } = await c.vector("shop.hours", [1, 2, 3, 4, 5, 6]);
      now = send;
      const passes = [await c.sendDue(), await c.sendDue()];
      return { durable: c.durable, status, sent: passes[0].sent + passes[1].sent, error: passes[1].error };
    }, play));
    await context.close();
  }
  assert.deepEqual(results.map((r) => r.durable), [false, false, false, true]);
  for (const r of results) assert.deepEqual([r.status, r.sent, r.error], ["queued", 1, undefined]);
}

try {
  await golden();
  const p = await people();
  const customers = [await customer(), await customer()];
  const forwarded = await fetch(`${site}/control/forward`, { method: "POST" });
  assert.equal(forwarded.status, 204);
  await sendPeople(p);
  await relayed();
  for (const c of customers) {
    const before = Number(await c.$eval("#sent", (e) => e.textContent));
    assert.equal(before, 0);
    await c.evaluate((ms) => globalThis.setClock(ms), play.send - 30_000);
    await c.reload(); // a new visit, after the epoch
    await c.waitForFunction(() => Number(document.getElementById("sent").textContent) >= 7, { polling: 1000 });
  }
  await tabs();
  await less();
  console.log(JSON.stringify(figures));
} finally {
  await browser.close();
}
