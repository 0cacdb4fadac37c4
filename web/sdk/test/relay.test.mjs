import assert from "node:assert/strict";
import { test } from "node:test";
import { relay as module } from "../build/primitives.js";
import { base64, concat, opaque, uint, utf8 } from "../build/bytes.js";

const { Way, openWitnessed } = module;
const day = 86_400, start = 20_000 * day;
const none = new AbortController().signal;

async function identity() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  return {
    identity: new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)),
    sign: async (domain, body) => new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, concat(utf8(domain), [0], body))),
  };
}

const [party, relay, stranger] = [await identity(), await identity(), await identity()];
const keys = utf8("the keys of the period");

async function witnessed({ by = party, of = party, witness = relay, purpose = "gateway", from = start, length = day } = {}) {
  const body = concat([1], of.identity, opaque(utf8(purpose), 1), uint(from, 8), uint(from + length, 8), opaque(keys, 2));
  const signed = concat(body, await by.sign("shoal key statement v1", body));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", signed));
  return concat(opaque(signed, 3), await witness.sign("shoal key witness v1", digest));
}

const minute = async (n, by = party, of = party) => {
  const body = concat([1], of.identity, uint(n, 8));
  return concat(body, await by.sign("shoal minute v1", body));
};

const open = (b, { witness = relay, of = party, purpose = "gateway", from = start } = {}) =>
  openWitnessed(b, witness.identity, of.identity, purpose, from, day);

test("keys are taken if both the party and the relay have signed them for the period", async () => {
  const good = await witnessed();
  assert.deepEqual(await open(good), keys);
  for (const change of [{ by: stranger }, { of: stranger }, { witness: stranger }, { purpose: "leader" }, { from: start - day }, { length: 2 * day }]) {
    await assert.rejects(open(await witnessed(change)), /signed|another/, JSON.stringify(Object.keys(change)));
  }
  await assert.rejects(open(await witnessed({ witness: party }), { witness: party }), /not signed by the relay/, "party and relay are one");
  for (let i = 0; i < good.length; i += 3) {
    const changed = good.slice();
    changed[i] ^= 2;
    await assert.rejects(open(changed), `byte ${i}`);
    await assert.rejects(open(good.slice(0, i)), `cut at ${i}`);
  }
});

/** A relay that serves what a test wants, and a device whose clock it moves. */
class World {
  now = 5e12; // far from the relay's
  minutes = start / 60;
  asked = [];
  answers = {};

  way = new Way({ role: 6, url: "https://relay.example", identity: relay.identity }, { role: 1, url: "https://first.example", identity: party.identity },
    async (url, signal, upload) => {
      this.asked.push(url);
      const path = url.slice("https://relay.example".length);
      const kind = path.split("/")[1];
      if (this.answers[kind]) return this.answers[kind](path, upload);
      const typed = (body, type) => new Response(body, { headers: { "content-type": type } });
      if (kind === "minute") return typed(await minute(this.minutes), "application/shoal-minute");
      if (kind === "keys") return typed(await witnessed({ purpose: path.split("/")[3], from: Number(path.split("/")[4]) }), "application/shoal-witnessed-keys");
      return new Response(null, { status: 502 });
    }, () => this.now);
}

const first = { role: 1, url: "https://first.example", identity: party.identity };

test("time and periods are the relay's, and of the device only differences count", async () => {
  const w = new World();
  assert.equal(w.way.known(), undefined);
  assert.equal(await w.way.now(none), start * 1000);
  w.now += 59 * 60_000 + 1;
  assert.equal(w.way.known(), start * 1000 + 59 * 60_000);
  assert.deepEqual(await w.way.keys(first, "gateway", none), keys);
  assert.deepEqual(await w.way.keys(first, "gateway", none), keys);
  assert.equal(w.asked.filter((u) => u.includes("/keys/")).length, 1, "keys of a period are asked for once");
  assert.equal(w.asked.at(-1), `https://relay.example/keys/${base64(party.identity)}/gateway/${start}`);
  w.now += 2 * 60_000; // more than an hour after the minute
  assert.equal(w.way.known(), undefined);
  w.minutes += day / 60;
  assert.deepEqual(await w.way.keys(first, "gateway", none), keys);
  assert.ok(w.asked.at(-1).endsWith(`/${start + day}`), "another period has other keys");
  w.now -= 1e9; // the device's clock goes back
  assert.equal(w.way.known(), undefined);
});

test("whatever is wrong with what the relay serves, nothing is known and nothing leaves", async () => {
  for (const [name, answer] of Object.entries({
    down: async () => { throw new TypeError("the network is down"); },
    error: async () => new Response("x", { status: 503 }),
    type: async () => new Response(await minute(1), { headers: { "content-type": "text/html" } }),
    stranger: async () => new Response(await minute(1, stranger, stranger), { headers: { "content-type": "application/shoal-minute" } }),
    forged: async () => new Response(await minute(1, stranger), { headers: { "content-type": "application/shoal-minute" } }),
  })) {
    const w = new World();
    w.answers.minute = answer;
    const upload = { type: "application/shoal-report;v=1", report: new Uint8Array(300) };
    await assert.rejects(w.way.post(first, "https://first.example/tasks/x/reports", none, upload), name);
    assert.equal(w.way.known(), undefined);
    assert.ok(w.asked.every((u) => u.startsWith("https://relay.example/minute/")), `${name}: ${w.asked}`);
  }
  const w = new World();
  await w.way.now(none);
  w.now += 3_700_000;
  w.minutes -= 1;
  await assert.rejects(w.way.now(none), /before its last one/);
});

test("reports are sealed and sent between the end of their epoch and the close of its batch", async () => {
  const w = new World();
  const t = { epochSeconds: 3600, maxDelay: 600, clockSkew: 60 };
  const at = async (seconds) => {
    w.minutes = Math.floor(seconds / 60);
    w.now += 3_700_000;
    return w.way.timely(t, start / 3600, none);
  };
  await assert.rejects(at(start + 3540), /too early/);
  await at(start + 3600);
  await at(start + 3600 + 600);
  await assert.rejects(at(start + 3600 + 660), (e) => e.cause === "expired");
});
