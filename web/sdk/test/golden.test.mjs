import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as modules from "./modules.mjs";
import { compare, from64, hex, make } from "./suite.mjs";
import { turboShake128 } from "../build/turboshake.js";

const suite = JSON.parse(readFileSync(new URL("../testdata/golden.json", import.meta.url), "utf8"));

test("reports equal the Go SDK's, byte for byte", async () => {
  const results = await make(suite, modules);
  compare(suite, results);
  assert.ok(results.crowd.length >= 8 && results.sums.length >= 12);
  // The comparison can fail.
  results.sums[3].report = results.sums[3].report.replace(/.$/, "");
  assert.throws(() => compare(suite, results), /another report/);
});

// RFC 9861, appendix A: the message of n bytes is a pattern of period 251.
test("TurboSHAKE128 gives the values of RFC 9861", () => {
  const pattern = (n) => Uint8Array.from({ length: n }, (_, i) => i % 251);
  for (const [message, domain, length, last, want] of [
    [[], 0x1f, 32, 32, "1e415f1c5983aff2169217277d17bb538cd945a397ddec541f1ce41af2c1b74c"],
    [[], 0x1f, 10032, 32, "a3b9b0385900ce761f22aed548e754da10a5242d62e8c658e3f3a923a7555607"],
    [pattern(1), 0x1f, 32, 32, "55cedd6f60af7bb29a4042ae832ef3f58db7299f893ebb9247247d856958daa9"],
    [pattern(17), 0x1f, 32, 32, "9c97d036a3bac819db70ede0ca554ec6e4c2a1a4ffbfd9ec269ca6a111161233"],
    [pattern(289), 0x1f, 32, 32, "96c77c279e0126f7fc07c9b07f5cdae1e0be60bdbe10620040e75d7223a624d2"],
    [[255, 255, 255], 1, 32, 32, "bf323f940494e88ee1c540fe660be8a0c93f43d15ec006998462fa994eed5dab"],
    [[255], 6, 32, 32, "8ec9c66465ed0d4a6c35d13506718d687a25cb05c74cca1e42501abd83874a67"],
  ]) {
    const out = turboShake128(Uint8Array.from(message), domain)(length);
    assert.equal(hex(out.subarray(length - last)), want);
  }
});

// RFC 9180, appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base.
test("HPKE gives the value of RFC 9180", async () => {
  const bytes = (s) => Uint8Array.from(s.match(/../g), (x) => parseInt(x, 16));
  const secret = bytes("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736");
  const pkcs8 = Uint8Array.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20, ...secret]);
  const pair = async () => ({
    privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]),
    publicKey: await crypto.subtle.importKey("raw", bytes("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"), "X25519", true, []),
  });
  const { enc, sealed } = await modules.hpke.seal(
    bytes("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"), modules.hpke.aes128,
    bytes("4f6465206f6e2061204772656369616e2055726e"), bytes("436f756e742d30"),
    bytes("4265617574792069732074727574682c20747275746820626561757479"), pair,
  );
  assert.equal(hex(enc), "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
  assert.equal(hex(sealed), "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
});

test("a bundle that was changed, or is another owner's, is refused", async () => {
  const { task } = modules;
  const owner = task.parseOwner(suite.owner);
  const bundle = from64(suite.bundle);
  assert.equal((await task.openBundle(bundle, owner)).size, suite.crowd.length + suite.sums.length);
  const other = owner.slice();
  other[31] ^= 1;
  await assert.rejects(task.openBundle(bundle, other), /not signed by the owner/);
  for (let i = 0; i < 400; i++) {
    const b = bundle.slice();
    b[(i * 7919) % b.length] ^= 1 << (i % 8);
    await assert.rejects(task.openBundle(b, owner), (e) => e instanceof Error && e.message.length < 300);
  }
  for (let n = 0; n < bundle.length; n += 997) {
    const opened = await task.openBundle(bundle.subarray(0, n), owner).catch((e) => e);
    assert.ok(opened instanceof Error || opened.size < suite.crowd.length + suite.sums.length);
  }
});

test("keys that are changed, old, or another party's are refused", async () => {
  const { task } = modules;
  const tasks = await task.openBundle(from64(suite.bundle), task.parseOwner(suite.owner));
  const c = suite.crowd[0];
  const t = tasks.get(c.metric);
  const list = from64(c.keys);
  assert.equal((await task.openKeys(t, list, suite.now)).length, t.hops.length);
  for (const days of [-30, 30]) await assert.rejects(task.openKeys(t, list, suite.now + days * 864e5), /not valid now/);
  for (let i = 0; i < list.length; i += 5) {
    const b = list.slice();
    b[i] ^= 4;
    await assert.rejects(task.openKeys(t, b, suite.now));
  }
  const swapped = { ...t, hops: [...t.hops].reverse() };
  await assert.rejects(task.openKeys(swapped, list, suite.now), /not signed/);

  const s = suite.sums[0];
  const leader = tasks.get(s.metric).hops[0].identity;
  const configs = from64(s.lists[0]);
  assert.equal(await task.checkConfigs(leader, 2, configs, s.headers[0], suite.now), suite.now + 30 * 864e5);
  for (const [role, body, header, now] of [
    [3, configs, s.headers[0], suite.now], [2, configs, s.headers[1], suite.now], [2, configs, null, suite.now],
    [2, configs.subarray(1), s.headers[0], suite.now], [2, configs, s.headers[0], suite.now + 30 * 864e5 + 1000],
    [2, configs, s.headers[0].replace(/^1/, "2"), suite.now],
  ]) {
    await assert.rejects(task.checkConfigs(leader, role, body, header, now), /signed|not valid now/);
  }
});
