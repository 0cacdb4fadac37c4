// Makes the reports of a suite (see cases_test.go) with its randomness, and once more
// with randomness of its own. It runs in Node.js and in browsers.

const hex = (b) => Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
const from64 = (s) => Uint8Array.from(atob(s ?? ""), (c) => c.charCodeAt(0));
const to64 = (b) => btoa(String.fromCharCode(...b));

/** Randomness that was recorded. */
function recorded(text) {
  let rest = from64(text);
  const random = (n) => {
    if (rest.length < n) throw new Error("more randomness than the Go SDK used");
    const out = rest.slice(0, n);
    rest = rest.subarray(n);
    return out;
  };
  random.end = () => {
    if (rest.length) throw new Error(`${rest.length} random bytes that only the Go SDK used`);
  };
  return random;
}

/** A source of one key pair of X25519, from its secret. */
async function pairOf(secret) {
  const pkcs8 = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20, ...secret]);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", true, ["deriveBits"]);
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  const raw = from64(x.replace(/-/g, "+").replace(/_/g, "/"));
  const publicKey = await crypto.subtle.importKey("raw", raw, "X25519", true, []);
  return async () => ({ privateKey, publicKey });
}

/** Key pairs from their secrets, one after the other. */
function pairs(secrets) {
  let i = 0;
  return async () => (await pairOf(from64(secrets[i++])))();
}

export async function make(suite, { task, record, frame, dap, tally, hpke, bytes }) {
  const owner = task.parseOwner(suite.owner);
  const tasks = await task.openBundle(from64(suite.bundle), owner);
  const out = { crowd: [], sums: [] };
  for (const c of suite.crowd) {
    const t = tasks.get(c.metric);
    const random = recorded(c.random);
    const keys = await task.openKeys(t, from64(c.keys), suite.now);
    const hops = t.hops.map((p, i) => ({ role: p.role, id: keys[i].id, public: keys[i].public }));
    const pair = pairs(c.ephemeral);
    const fragments = [], own = [];
    const made = record.encodeRecord(t.crowd, c.record, random);
    random.end();
    for (const f of made) {
      const window = Math.floor(c.epoch / t.crowd.crowd.saltEpochs);
      const tag = f.crowd ? await frame.crowdTag(t.id, window, f.crowd) : new Uint8Array(16);
      const job = { task: t.id, epoch: c.epoch, hops, tag, payload: f.payload, size: t.crowd.payloadSize };
      fragments.push({ payload: to64(f.payload), tag: to64(tag), report: to64(await frame.sealCrowd(job, pair)) });
      own.push(to64(await frame.sealCrowd(job)));
    }
    out.crowd.push({ fragments, own });
  }
  for (const s of suite.sums) {
    const t = tasks.get(s.metric);
    const a = t.aggregation;
    const random = recorded(s.random);
    const sum = tally.emptyTally(a);
    for (const { op, value } of s.calls ?? []) {
      if (op === "add") tally.add(a, sum, value);
      else if (op === "vector") tally.vector(a, sum, value);
      else tally.observe(a, sum, value, random);
    }
    const d = await tally.dapTask(t);
    const keys = [];
    for (const i of [0, 1]) {
      const list = from64(s.lists[i]);
      await task.checkConfigs(t.hops[i].identity, 2 + i, list, s.headers[i], suite.now);
      keys.push(task.chooseConfig(list));
    }
    const job = { dap: d, bits: tally.measurement(a, sum, random), report: from64(s.id), epoch: s.epoch, keys };
    const report = await dap.sealDap(job, random, pairs(s.ephemeral));
    random.end();
    out.sums.push({ task: to64(d.id), config: to64(d.config), report: to64(report), own: to64(await dap.sealDap(job)) });
  }
  return out;
}

/** Throws where the results are not those of the Go SDK. */
export function compare(suite, results) {
  const same = (what, a, b) => {
    if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${what}: another report than the Go SDK's`);
  };
  suite.crowd.forEach((c, i) => same(c.metric, results.crowd[i].fragments, c.fragments ?? []));
  suite.sums.forEach((s, i) => {
    const { task, config, report } = results.sums[i];
    same(s.metric, { task, config, report }, { task: s.task, config: s.config, report: s.report });
  });
}

export { hex, from64, to64, pairOf, recorded };
