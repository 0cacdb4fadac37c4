// Tasks and key configurations: their canonical bytes, their signatures, and which of
// them this SDK answers. Formats: package metric/task.

import type { HpkeConfig } from "./dap.js";
import { type Bytes, Reader, concat, equal, fromBase64, uint, utf8 } from "./bytes.js";

export const enum Role { Shuffler = 1, Analyzer = 2, Leader = 3, Helper = 4, Collector = 5, Relay = 6, Randomness = 7 }

export interface Party {
  role: number;
  url: string;
  identity: Bytes;
}

export const enum Kind { String = 1, Enum = 2, Int = 3, Bool = 4, Set = 5, List = 6 }

export interface Field {
  name: string;
  kind: number;
  elem: number;
  max: number;
  maxStr: number;
  values: string[];
  low: bigint;
  high: bigint;
  buckets: bigint[];
  flip: number;
}

export const enum Cut { Whole = 0, Fields = 1, Pairs = 2, Tuples = 3, Bits = 4 }

/** What a task of the method crowd asks for. */
export interface Crowd {
  schema: Field[];
  fragment: { kind: number; field: number; m: number; cap: number; keep: number[] };
  crowd: { kind: number; fields: number[]; saltEpochs: number };
  perEpoch: number;
  perCrowd: number;
  payloadSize: number;
  /** How many make a value readable, of a task with a quorum; for @shoal/sdk/private. */
  shares?: number;
}

export const enum Sum { Count = 1, Sum = 2, Mean = 3, Histogram = 4, Categories = 5, Multihot = 6, Vector = 7 }

/** What a task of the method aggregate adds up. */
export interface Aggregation {
  kind: number;
  hidden: boolean;
  noise: { mechanism: number; num: number; den: number; sensitivity: bigint };
  variant: string;
  max: bigint;
  length: number;
  labels: string[];
  bounds: bigint[];
  chunk: number;
}

export interface Task {
  id: Bytes;
  signed: Bytes;
  owner: Bytes;
  metric: string;
  crowd?: Crowd;
  aggregation?: Aggregation;
  minBatch: number;
  epochSeconds: number;
  maxDelay: number;
  clockSkew: number;
  hops: Party[];
  notBefore: number;
  expires: number;
  /** Beside the hops, what @shoal/sdk/private reads. */
  relay?: Party;
  randomness?: Party;
  evaluations?: number;
  credentialEpochs?: number;
  /** Why this SDK does not answer it, empty if it does. */
  unfit: string;
}

export const sha256 = async (b: Uint8Array): Promise<Bytes> => new Uint8Array(await crypto.subtle.digest("SHA-256", b as Bytes));

/** Whether sig is the Ed25519 signature of a body in a domain. */
export async function verify(by: Bytes, domain: string, body: Uint8Array, sig: Bytes): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", by, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, sig, concat(utf8(domain), [0], body));
}

export function parseOwner(s: string): Bytes {
  const [, text] = /^ed25519:(.{43})$/.exec(s) ?? [];
  if (!text) throw new Error(`owner ${s}: want ed25519:…`);
  return fromBase64(text);
}

const newer = "too new for this SDK";
const absent = (what: string): string => `${what} is not in this SDK`;
const elsewhere = "needs @shoal/sdk/private";

const magic = utf8("shoal bundle v1\n");

/** The tasks of a bundle by metric, if the owner has signed all of them. */
export async function openBundle(b: Bytes, owner: Bytes): Promise<Map<string, Task>> {
  if (!equal(b.subarray(0, magic.length), magic)) throw new Error("no task bundle");
  const out = new Map<string, Task>();
  for (const r = new Reader(b.subarray(magic.length)); !r.empty; ) {
    const t = await openSigned(r.opaque(3), owner);
    if (out.has(t.metric)) throw new Error(`duplicate metric ${t.metric}`);
    out.set(t.metric, t);
  }
  return out;
}

/** Checks a signed task: the owner's signature first, then those of parties in the order of the hops. */
export async function openSigned(signed: Bytes, owner: Bytes): Promise<Task> {
  const r = new Reader(signed);
  if (r.num(1) !== 1) throw new Error(newer);
  const body = r.opaque(3);
  const signatures = r.list(2, (x) => ({ by: x.take(32), sig: x.take(64) }));
  r.end();
  const t = parseTask(body);
  t.id = await sha256(body);
  t.signed = signed;
  let rank = -2;
  for (const { by, sig } of signatures) {
    const at = rank < -1 ? (equal(by, owner) && equal(by, t.owner) ? -1 : -2) : t.hops.findIndex((p) => equal(p.identity, by));
    if (at <= rank || !(await verify(by, "shoal task v1", body, sig))) {
      throw new Error(`task ${t.metric}: not signed by the owner and parties`);
    }
    rank = at;
  }
  if (rank < -1) throw new Error(`task ${t.metric}: not signed`);
  return t;
}

const parseParty = (r: Reader): Party => ({ role: r.num(1), url: r.text(2), identity: r.take(32) });

function parseTask(body: Bytes): Task {
  const r = new Reader(body);
  const version = r.num(1);
  if (![1, 2].includes(version)) throw new Error(newer);
  const owner = r.take(32);
  r.text(1); // the owner's name
  const t = { owner, metric: r.text(1), unfit: "" } as Task;
  r.text(2); // the question
  r.text(2); // the words of consent
  const method = r.num(1);
  if (method === 1) parseAggregation(r, t);
  else if (method === 2) parseCrowd(r, t);
  else throw new Error(newer);
  t.hops = r.list(2, parseParty);
  r.num(4); // retention
  t.notBefore = r.num(8);
  t.expires = r.num(8);
  if (version > 1) {
    const additions = r.opaque(2);
    if (PRIVATE) parseProtection(additions, t);
    else t.unfit = elsewhere;
  }
  r.end();
  validate(t);
  return t;
}

/** Reads what a task has beside its hops. What is not known is refused: a report would have less protection than the owner signed. */
function parseProtection(additions: Bytes, t: Task): void {
  let last = 0;
  for (const all = new Reader(additions); !all.empty; ) {
    const kind = all.num(2);
    const r = new Reader(all.opaque(2));
    if (kind <= last) throw new Error(newer);
    last = kind;
    if (kind > 3) {
      t.unfit ||= absent(`protection ${kind}`);
      continue;
    }
    if (kind === 1) t.relay = parseParty(r);
    else if (kind === 2) t.credentialEpochs = r.num(4);
    else [t.randomness, t.evaluations] = [parseParty(r), r.num(4)];
    r.end();
  }
  if (!last) throw new Error(newer);
}

function parseTimes(r: Reader, t: Task): void {
  t.minBatch = r.num(4);
  t.epochSeconds = r.num(4);
  t.maxDelay = r.num(4);
  t.clockSkew = r.num(4);
}

function parseAggregation(r: Reader, t: Task): void {
  const kind = r.num(1);
  t.aggregation = {
    kind,
    hidden: r.num(1) === 0,
    noise: { mechanism: r.num(1), num: r.num(4), den: r.num(4), sensitivity: r.big(8) },
    variant: r.text(1),
    max: r.big(8),
    length: r.num(4),
    labels: r.list(3, (x) => x.text(1)),
    bounds: r.list(2, (x) => x.int64()),
    chunk: (r.take(9), r.num(4)), // before it bound and bits, of gradients
  };
  if (kind < 1 || kind > Sum.Vector) t.unfit = absent(`kind ${kind}`);
  parseTimes(r, t);
}

function parseCrowd(r: Reader, t: Task): void {
  const schema = r.list(3, (x): Field => ({
    name: x.text(1),
    kind: x.num(1),
    elem: x.num(1),
    max: x.num(2),
    maxStr: x.num(2),
    values: x.list(3, (v) => v.text(1)),
    low: x.int64(),
    high: x.int64(),
    buckets: x.list(2, (v) => v.int64()),
    flip: x.num(4),
  }));
  const fragment = { kind: r.num(1), field: r.num(1), m: r.num(1), cap: r.num(2), keep: [...r.opaque(1)] };
  const crowd = { kind: r.num(1), fields: [...r.opaque(1)], saltEpochs: r.num(4) };
  r.take(13); // threshold
  const quorum = r.num(1), shares = r.num(2);
  if (!PRIVATE && quorum) t.unfit = elsewhere;
  parseTimes(r, t);
  t.crowd = { schema, fragment, crowd, perEpoch: r.num(4), perCrowd: r.num(4), payloadSize: r.num(2) };
  if (PRIVATE && quorum) t.crowd.shares = shares;
  if (r.opaque(1).length) t.unfit = PRIVATE ? absent("a report extension") : elsewhere;
}

/**
 * Whether a URL is one that a party may have: https, or http on the loopback
 * interface, and without what would make two parties look like one.
 */
export function validURL(s: string): boolean {
  try {
    const { protocol, hostname } = new URL(s);
    const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
    return (protocol === "https:" || (protocol === "http:" && loopback)) &&
      s.startsWith(`${protocol}//${hostname}`) && !/[?#@\\\s]|\/$/.test(s);
  } catch {
    return false;
  }
}

/** Checks what the privacy of a report depends on; the rest is between the owner and its own tools. */
function validate(t: Task): void {
  const fail = (why: string): never => {
    throw new Error(`task ${t.metric}: ${why}`);
  };
  const roles = t.hops.map((p) => p.role);
  const aggregators = [Role.Leader, Role.Helper, Role.Collector].join();
  const shufflers = t.hops.slice(0, -1).every((p) => p.role === Role.Shuffler) && roles.length > 1 && roles.at(-1) === Role.Analyzer;
  if (t.crowd ? !shufflers : roles.join() !== aggregators) fail("wrong parties");
  t.hops.forEach((p, i) => {
    if (!validURL(p.url) && !(p.role === Role.Collector && p.url === "")) fail(`URL ${p.url} is not valid`);
    if (t.hops.some((o, k) => k < i && ((p.url && p.url === o.url && p.role !== Role.Collector) || equal(o.identity, p.identity)))) {
      fail("duplicate party");
    }
  });
  if (PRIVATE) validateProtection(t, fail);
  if (t.epochSeconds < 1) fail("no epoch");
  const { crowd: c, aggregation: a } = t;
  if (c) {
    if (c.fragment.kind > Cut.Bits || c.crowd.kind > 2) t.unfit ||= absent("an unknown kind");
    const { field, keep } = c.fragment;
    if ([field, ...keep, ...c.crowd.fields].some((i) => i >= c.schema.length)) fail("no such field");
  }
  if (a && !["dap-18", "dap-19", "janus"].includes(a.variant)) t.unfit ||= absent(a.variant);
}

/** Checks the parties beside the hops: each is an organisation of its own. */
function validateProtection(t: Task, fail: (why: string) => never): void {
  const others = [...t.hops];
  for (const [p, role] of [[t.relay, Role.Relay], [t.randomness, Role.Randomness]] as const) {
    if (!p) continue;
    if (p.role !== role || !validURL(p.url)) fail(`URL or role of the party ${p.url} is not valid`);
    if (others.some((o) => equal(o.identity, p.identity) || sameHost(o.url, p.url))) fail(`${p.url} is not an organisation of its own`);
    others.push(p);
  }
  if (t.randomness) t.unfit ||= absent("a hardened quorum");
  if (t.credentialEpochs) t.unfit ||= absent("a credential");
}

/** Whether two URLs name one host. Ports count on the loopback interface alone, where they are all that tells parties apart. */
function sameHost(a: string, b: string): boolean {
  if (!a || !b) return false;
  const [x, y] = [new URL(a), new URL(b)];
  return x.hostname === y.hostname && (x.protocol === "https:" || y.protocol === "https:" || x.port === y.port);
}

export const epochAt = (t: Task, ms: number): number => Math.floor(Math.max(0, ms) / 1000 / t.epochSeconds);

/** When an epoch begins, in milliseconds. */
export const startOf = (t: Task, epoch: number): number => epoch * t.epochSeconds * 1000;

/** When the batch of an epoch stops taking reports. */
export const closes = (t: Task, epoch: number): number => startOf(t, epoch + 1) + (t.maxDelay + t.clockSkew) * 1000;

export function covers(t: Task, epoch: number): boolean {
  const start = epoch * t.epochSeconds;
  return start >= t.notBefore && start <= t.expires - t.epochSeconds;
}

/** An HPKE key of a hop. */
export interface Key {
  id: Bytes;
  public: Bytes;
  notAfter: number; // Unix seconds
}

const x25519 = 0x20;

/**
 * The X25519 keys of the hops, one each, from the list of key configurations that the
 * first of them serves. Each configuration must be signed by its hop's identity.
 * Every party must offer an X25519 key; a hybrid key that it prefers is passed over,
 * since browsers have no ML-KEM.
 */
export async function openKeys(t: Task, list: Bytes, now: number): Promise<Key[]> {
  const r = new Reader(list);
  if (r.num(1) !== 1) throw new Error(newer);
  const keys: Key[] = [];
  for (const hop of t.hops) {
    const one = new Reader(r.opaque(3));
    const body = one.opaque(2);
    const sig = one.take(64);
    one.end();
    if (!(await verify(hop.identity, "shoal key config v1", body, sig))) throw new Error(`keys of ${hop.url}: not signed`);
    keys.push(await openKey(hop, body, Math.floor(now / 1000)));
  }
  r.end();
  return keys;
}

async function openKey(hop: Party, body: Bytes, now: number): Promise<Key> {
  const fail = (why: string): Error => new Error(`keys of ${hop.url}: ${why}`);
  const r = new Reader(body);
  if (r.num(1) !== 1 || r.num(1) !== hop.role || !equal(r.take(32), hop.identity)) throw fail("another party's");
  const keys = r.list(2, (x) => ({ kem: x.num(2), public: x.opaque(2), from: x.num(8), to: x.num(8) }));
  r.take(32); // policy
  if (r.opaque(2).length + r.opaque(2).length) throw fail("unknown evidence");
  const from = r.num(8), to = r.num(8);
  r.end();
  if (now < from || now > to) throw fail("not valid now: is the clock right?");
  const key = keys.find((k) => k.kem === x25519 && k.public.length === 32 && now >= k.from && now <= k.to);
  if (!key) throw fail("no X25519 key");
  const id = (await sha256(concat(uint(x25519, 2), key.public))).slice(0, 8);
  return { id, public: key.public, notAfter: Math.min(to, key.to) };
}

/** The first configuration of a list that is supported here: X25519, HKDF-SHA256, AES-GCM. */
export function chooseConfig(list: Bytes): HpkeConfig {
  const r = new Reader(list);
  const all = r.list(2, (x) => ({ id: x.num(1), kem: x.num(2), kdf: x.num(2), aead: x.num(2), public: x.opaque(2) }));
  r.end();
  const c = all.find((x) => x.kem === 0x20 && x.kdf === 1 && (x.aead === 1 || x.aead === 2) && x.public.length === 32);
  if (!c) throw new Error("no X25519 key");
  return c;
}

/**
 * Checks that an aggregator with this identity signed a list of HPKE configurations,
 * and returns until when, in milliseconds. The role is DAP's: 2 leader, 3 helper.
 */
export async function checkConfigs(by: Bytes, role: number, body: Bytes, header: string | null, now: number): Promise<number> {
  const [, seconds, sig] = /^(\d{1,15})\.([\w-]{86})$/.exec(header ?? "") ?? [];
  if (!seconds || !(await verify(by, "shoal dap keys v1", concat([role], uint(BigInt(seconds), 8), body), fromBase64(sig!)))) {
    throw new Error("keys are not signed");
  }
  if (now >= (Number(seconds) + 1) * 1000) throw new Error("keys are not valid now: is the clock right?");
  return Number(seconds) * 1000;
}
