// Plays a script on the engine in WebAssembly and prints what comes out, a line
// each. Arguments: wasm_exec.js, the module, the script (see node_test.go).
"use strict";
const fs = require("node:fs");
const crypto = require("node:crypto");

globalThis.fs ??= fs;
globalThis.path ??= require("node:path");
require(process.argv[2]);
const script = JSON.parse(fs.readFileSync(process.argv[4], "utf8"));
const print = (kind, text) => fs.writeSync(1, `${kind} ${text}\n`);

// The bytes of SHA-256 of a counter, as the Go test draws them.
let counter = 0, pool = Buffer.alloc(0);
function random(n) {
  while (pool.length < n) {
    const block = Buffer.alloc(8);
    block.writeBigUInt64BE(BigInt(counter++));
    pool = Buffer.concat([pool, crypto.createHash("sha256").update(block).digest()]);
  }
  const out = new Uint8Array(pool.subarray(0, n));
  pool = pool.subarray(n);
  return out;
}

const records = new Map();
let answers = 0;
const hooks = {
  async fetch(url) {
    const a = script.answers[answers++];
    if (a === undefined || a.url !== url) throw new Error("a fetch that the script does not have");
    if (a.failed) throw new Error("the network failed");
    return { status: a.status, address: a.address, contentType: a.content_type, robots: a.robots, body: new Uint8Array(Buffer.from(a.body ?? "", "base64")) };
  },
  emit: (line) => print("emit", line),
  explain: (line) => print("explain", line),
  purge: async () => print("purge", ""),
  load: async () => [...records].sort(([a], [b]) => (a < b ? -1 : 1)),
  async apply(changes) {
    for (const [key, value] of changes) {
      if (value === null) records.delete(key);
      else records.set(key, value);
    }
  },
  clear: async () => records.clear(),
  random,
};

async function main() {
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(fs.readFileSync(process.argv[3]), go.importObject);
  go.run(instance);
  const engine = globalThis.shoalDiscovery;
  let session = await engine.open(script.options, hooks);
  for (const op of script.ops) {
    try {
      switch (op.op) {
        case "event":
          await session.handle(op.text);
          break;
        case "sign":
          print("sign", await engine.sign(op.url, op.robots ?? [], new Uint8Array(Buffer.from(op.body, "base64"))));
          break;
        case "judge":
          print("judge", await session.judge(op.url));
          break;
        case "restart":
          session.close();
          session = await engine.open(script.options, hooks);
          break;
        case "stats":
          print("stats", await session.stats());
          break;
      }
    } catch (e) {
      print("error", e.message);
    }
  }
  print("records", records.size);
}

main().then(() => process.exit(0), (e) => {
  console.error(e);
  process.exit(1);
});
