// The value of a report of a hardened quorum: tags, a share over GF(2^127-1), and the
// sealed record. The Go twins are internal/quorum and crypto/secretshare; the bytes are
// in docs/spec/quorum.md.

import { type Bytes, type Random, concat, random as secure, toNumber, uint, utf8 } from "../bytes.js";
import { sha256 } from "../task.js";

const prime = (1n << 127n) - 1n;
const witnessSize = 16;

/** 16 uniform bytes, little endian, as an element; the top bit is ignored. */
const uniform = (b: Uint8Array): bigint => (toNumber(b.slice(0, 16).reverse()) & prime) % prime;

const bytesOf = (x: bigint): Bytes => uint(x, 16).reverse();

/** SHA-256 over a label and two parts, of which the first carries its length. */
const hash = (label: string, a: Uint8Array, b: Uint8Array): Promise<Bytes> => sha256(concat(utf8(label), [0], uint(a.length, 4), a, b));

/** A label, and what keeps tasks and epochs apart. */
const scope = (label: string, task: Bytes, epoch: number): Bytes => concat(utf8(label), [0], task, uint(epoch, 8));

/** What the randomness party evaluates, blinded. */
export const quorumInput = (task: Bytes, epoch: number, material: Uint8Array): Bytes => concat(scope("shoal quorum value v1", task, epoch), material);

async function keystream(key: Bytes, counter: Bytes, data: Uint8Array): Promise<Bytes> {
  const k = await crypto.subtle.importKey("raw", key, "AES-CTR", false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CTR", counter, length: 128 }, k, data as Bytes));
}

/** What a group's secret gives: a key of tags, and one of AES-128 for polynomial and records. */
interface Keys {
  mac: Bytes;
  /** The value at x of the polynomial of degree t-1. */
  shareAt(x: bigint, t: number): Promise<Bytes>;
  /** Encrypts deterministically: the keystream depends on the tag, which commits to key and record. */
  seal(record: Bytes): Promise<Bytes>;
}

async function expand(root: Uint8Array, binding: Bytes): Promise<Keys> {
  const s = uniform(root);
  const derived = await hash("shoal secretshare keys v1", bytesOf(s), binding);
  const mac = concat(bytesOf(s), derived.subarray(16));
  const key = derived.slice(0, 16);
  return {
    mac,
    async shareAt(x, t) {
      const stream = await keystream(key, new Uint8Array(16), new Uint8Array(16 * (t - 1)));
      let y = 0n;
      for (let i = t - 2; i >= 0; i--) y = (y * x + uniform(stream.subarray(16 * i))) % prime;
      return bytesOf((y * x + s) % prime);
    },
    async seal(record) {
      const tag = await hash("shoal secretshare outer v1", mac, await hash("shoal secretshare inner v1", mac, record));
      const counter = concat(tag.subarray(0, 12), [0, 0, 0, 0]);
      counter[0]! |= 0x80;
      return concat(tag, await keystream(key, counter, record));
    },
  };
}

/** A payload, 0x80, and zeros. */
function pad(payload: Bytes, size: number): Bytes {
  if (payload.length >= size) throw new RangeError("too long");
  return concat(payload, [0x80], new Uint8Array(size - payload.length - 1));
}

/** A message under a key that a guess of it gives, and a share of the key: a quorum without a randomness party. */
export async function share(binding: Bytes, t: number, message: Bytes, random: Random = secure): Promise<Bytes> {
  const keys = await expand(await hash("shoal secretshare root v1", binding, message), binding);
  for (;;) {
    const x = toNumber(random(16).reverse()) & prime;
    if (x && x !== prime) return concat(await keys.seal(message), bytesOf(x), await keys.shareAt(x, t));
  }
}

/** What the innermost layer of a report holds in a task with a quorum and no randomness party. */
export const sharedContent = (task: Bytes, epoch: number, shares: number, payload: Bytes, size: number, random: Random = secure): Promise<Bytes> =>
  share(concat(utf8("shoal quorum v1"), task, uint(epoch, 8)), shares, pad(payload, size - 65), random);

/** One client's value of a hardened quorum, evaluated. All members of its group have the same. */
export interface Value {
  /** The tag that the last shuffler counts by. */
  crowd: Bytes;
  /** The tag that the analyzer groups by. */
  tag: Bytes;
  /** What the innermost layer holds: credential is the tag that the report's presentation has at the analyzer. */
  content(credential: Bytes, payload: Bytes, size: number, random?: Random): Promise<Bytes>;
}

/** The value that an evaluation has given: output is that of quorumInput of the same arguments. */
export async function quorumValue(task: Bytes, epoch: number, shares: number, material: Uint8Array, output: Bytes): Promise<Value> {
  const witness = (await sha256(concat(scope("shoal quorum witness v1", task, epoch), output))).slice(0, witnessSize);
  const root = await sha256(concat(scope("shoal quorum root v1", task, epoch), witness, await sha256(material)));
  const binding = scope("shoal quorum v2", task, epoch);
  const keys = await expand(root, binding);
  const derived = await hash("shoal secretshare derive v1", keys.mac, binding);
  const tag = await hash("shoal secretshare tag v1", keys.mac, binding);
  return {
    crowd: (await hash("shoal secretshare label v1", derived, utf8("crowd"))).slice(0, 16),
    tag,
    async content(credential, payload, size, random = secure) {
      const x = uniform(await sha256(concat(utf8("shoal quorum x v1"), [0], credential))) || 1n;
      const record = concat(random(16), witness, pad(payload, size - 1 - 112));
      return concat(tag, await keys.shareAt(x, shares), await keys.seal(record));
    },
  };
}
