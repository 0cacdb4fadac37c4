// Records of the crowd route: what an app gives becomes what the schema allows, is
// coarsened, randomised and broken into reports. The Go twin is package internal/esa/encoder.

import { type Bytes, type Random, concat, toNumber, uint, utf8 } from "./bytes.js";
import { type Crowd, Cut, type Field, Kind } from "./task.js";

/** A chunk of a set, or with index -1 the whole of it. */
interface Bits {
  index: number;
  bits: bigint;
}

type Value = string | boolean | bigint | Bits | Value[];

/** One report before it is sealed. */
export interface Fragment {
  payload: Bytes;
  /** Of what the crowd's tag is made; undefined for a constant crowd. */
  crowd?: Bytes;
  recorded: string;
  encoded: string;
}

const million = 1_000_000n;

/** Draws exact integers from blocks of 256 random bytes. */
class Source {
  #rest: Bytes = new Uint8Array();

  #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  below(n: bigint): bigint {
    const reject = (1n << 64n) % n;
    for (;;) {
      if (this.#rest.length < 8) this.#rest = this.#random(256);
      const v = toNumber(this.#rest.subarray(0, 8));
      this.#rest = this.#rest.subarray(8);
      if (v >= reject) return v % n;
    }
  }

  flip(p: number): boolean {
    return this.below(million) < BigInt(p);
  }

  /** min(n, most) distinct integers below n, every choice in every order equally likely. */
  sample(n: number, most: number): number[] {
    const moved = new Map<number, number>();
    const out: number[] = [];
    for (let i = 0; i < Math.min(n, most); i++) {
      const j = i + Number(this.below(BigInt(n - i)));
      out.push(moved.get(j) ?? j);
      moved.set(j, moved.get(i) ?? i);
    }
    return out;
  }
}

/** How many bytes hold the numbers from 0 to most. */
const width = (most: bigint): number => Math.max(1, Math.ceil(most.toString(16).length / 2));

const number = (v: number | bigint, most: number | bigint): Bytes => uint(v, width(BigInt(most)));

const fail = (f: Field, why: string): never => {
  throw new TypeError(`field ${f.name}: ${why}`);
};

/** The value of a field in its form in a record. */
function convert(f: Field, kind: number, v: unknown): Value {
  switch (kind) {
    case Kind.String:
    case Kind.Enum:
      if (typeof v !== "string") break;
      if (kind === Kind.Enum) return f.values.includes(v) ? v : fail(f, "not one of its values");
      if (utf8(v).length > (f.kind === Kind.List ? f.maxStr : f.max)) return fail(f, "too long");
      return /\p{Cs}/u.test(v) ? fail(f, "not text") : v;
    case Kind.Bool:
      if (typeof v === "boolean") return v;
      break;
    case Kind.Int: {
      if (typeof v !== "bigint" && !Number.isSafeInteger(v)) break;
      const n = BigInt(v as number | bigint);
      if (n < f.low || n > f.high) return fail(f, `out of range ${f.low} to ${f.high}`);
      return f.buckets.findLast((b) => b <= n) ?? n;
    }
    case Kind.Set: {
      if (!Array.isArray(v) && !(v instanceof Set)) break;
      let bits = 0n;
      for (const name of v as Iterable<unknown>) {
        const i = f.values.indexOf(name as string);
        if (i < 0) return fail(f, "not one of its values");
        bits |= 1n << BigInt(i);
      }
      return { index: -1, bits };
    }
    case Kind.List:
      if (!Array.isArray(v)) break;
      if (v.length > f.max) return fail(f, "too long");
      return v.map((x) => convert(f, f.elem, x));
  }
  return fail(f, v == null ? "missing" : "of another type");
}

function randomise(f: Field, v: Value, s: Source): Value {
  const replace = (x: Value): Value => {
    const flip = s.flip(f.flip);
    const other = f.values[Number(s.below(BigInt(f.values.length)))]!; // drawn whether it is used or not
    return flip ? other : x;
  };
  if (!f.flip) return v;
  if (typeof v === "boolean") return v !== s.flip(f.flip);
  if (typeof v === "string") return replace(v);
  if (Array.isArray(v)) return v.map(replace);
  if (typeof v === "object") {
    return { index: -1, bits: f.values.reduce((bits, _, i) => bits ^ (BigInt(s.flip(f.flip)) << BigInt(i)), v.bits) };
  }
  return v;
}

function encodeValue(f: Field, kind: number, v: Value): Bytes {
  if (Array.isArray(v)) return concat(number(v.length, f.max), ...v.map((x) => encodeValue(f, f.elem, x)));
  switch (typeof v) {
    case "boolean":
      return uint(+v, 1);
    case "bigint":
      return f.buckets.length ? number(f.buckets.indexOf(v), f.buckets.length - 1) : number(v - f.low, f.high - f.low);
    case "object":
      return concat([v.index + 1], uint(v.bits, Math.ceil(f.values.length / 8)));
  }
  if (kind === Kind.Enum) return number(f.values.indexOf(v), f.values.length - 1);
  const text = utf8(v);
  return concat(number(text.length, f.kind === Kind.List ? f.maxStr : f.max), text);
}

type Part = (Value | undefined)[];

function encode(schema: Field[], part: Part): Bytes {
  const present = new Uint8Array(Math.ceil(schema.length / 8));
  const values = schema.map((f, i) => {
    const v = part[i];
    if (v === undefined) return [];
    present[i >> 3]! |= 0x80 >> (i & 7);
    return encodeValue(f, f.kind, v);
  });
  return concat(present, ...values);
}

/** A value as people read it; a coarsened number is the lowest that it stands for. */
function text(c: Crowd, f: Field, v: Value): unknown {
  if (typeof v !== "object") return typeof v === "string" ? JSON.stringify(v) : v;
  if (Array.isArray(v)) return `[${v.map((x) => text(c, f, x)).join(", ")}]`;
  const from = v.index < 0 ? 0 : v.index * c.fragment.m;
  return `{${f.values.filter((_, i) => (v.bits << BigInt(from) >> BigInt(i)) & 1n).join(", ")}}`;
}

const describe = (c: Crowd, part: Part): string =>
  c.schema.flatMap((f, i) => (part[i] === undefined ? [] : [`${f.name}=${text(c, f, part[i]!)}`])).join(", ");

/** How many parts a record has, and the one with number i. */
function parts(c: Crowd, record: Value[]): [number, (record: Value[], i: number) => Part] {
  const { kind, field, m, keep } = c.fragment;
  const kept = (r: Value[], at: number, v: Value): Part => r.map((x, i) => (i === at ? v : keep.includes(i) ? x : undefined));
  const elements = (r: Value[]): Value[] => r[field] as Value[];
  const apart = record.map((_, i) => i).filter((i) => !keep.includes(i));
  switch (kind) {
    case Cut.Fields:
      return [apart.length, (r, i) => kept(r, apart[i]!, r[apart[i]!]!)];
    case Cut.Pairs: {
      const n = elements(record).length;
      return [n * (n + 1) / 2, (r, i) => {
        let b = 0;
        while ((b + 1) * (b + 2) / 2 <= i) b++;
        return kept(r, field, [elements(r)[i - b * (b + 1) / 2]!, elements(r)[b]!]);
      }];
    }
    case Cut.Tuples:
      return [Math.floor(elements(record).length / m), (r, i) => kept(r, field, elements(r).slice(i * m, (i + 1) * m))];
    case Cut.Bits:
      return [Math.ceil(c.schema[field]!.values.length / m), (r, i) => {
        const { bits } = r[field] as Bits;
        return kept(r, field, { index: i, bits: (bits >> BigInt(i * m)) & ((1n << BigInt(m)) - 1n) });
      }];
  }
  return [1, (r) => r];
}

/**
 * The fragments of one record, in a random order; empty where a sequence is too short
 * for one. What the schema does not name stays behind unread. It throws a TypeError on
 * a record that does not fit, whose text holds no value.
 */
export function encodeRecord(c: Crowd, v: Record<string, unknown>, random: Random): Fragment[] {
  if (typeof v !== "object" || v === null) throw new TypeError("want an object");
  const plain = c.schema.map((f) => convert(f, f.kind, v[f.name]));
  const source = new Source(random);
  const noisy = c.schema.map((f, i) => randomise(f, plain[i]!, source));
  const [n, part] = parts(c, plain);
  return source.sample(n, Math.min(c.perEpoch, c.fragment.cap || Infinity)).map((i) => {
    const sent = part(noisy, i);
    const payload = encode(c.schema, sent);
    if (payload.length >= c.payloadSize) throw new RangeError("too long");
    const f: Fragment = { payload, recorded: describe(c, part(plain, i)), encoded: describe(c, sent) };
    if (c.crowd.kind === 1) f.crowd = encode(c.schema, sent.map((x, k) => (c.crowd.fields.includes(k) ? x : undefined)));
    if (c.crowd.kind === 2) f.crowd = payload;
    return f;
  });
}
