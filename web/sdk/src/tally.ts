// What one device gathers of an aggregate question in an epoch, and the DAP task and
// measurement that it becomes. The Go twins are packages metric/kind and
// internal/dap/taskconfig.

import { type Bytes, type Random, below, concat, opaque, uint, utf8 } from "./bytes.js";
import type { DapTask } from "./dap.js";
import { type Aggregation, Sum, type Task, sha256 } from "./task.js";

/** Plain data that JSON can hold. */
export interface Tally {
  n: number; // how often the app recorded something
  clipped: number; // how often of these some of it did not count
  ints: string[]; // a sum, the index of a bucket, the indexes of labels, or the elements of a vector
}

export const emptyTally = (a: Aggregation): Tally => ({
  n: 0,
  clipped: 0,
  ints: a.kind === Sum.Multihot ? [] : new Array<string>(a.kind === Sum.Vector ? a.length : 1).fill("0"),
});

const other = "the metric is of another type";

const misuse = (why: string): never => {
  throw new TypeError(why);
};

const most64 = (1n << 64n) - 1n;
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const sum = (a: string, b: bigint): string => `${min(BigInt(a) + b, most64)}`;

/** An integer; a fraction is rounded down. */
function integer(v: unknown): bigint {
  if (typeof v === "bigint") return v;
  if (typeof v !== "number" || Number.isNaN(v)) return misuse("want a number");
  return BigInt(Math.max(-(2 ** 63), Math.min(Math.floor(v), 2 ** 63 - 1024)));
}

const whole = (v: unknown): bigint => {
  if ((typeof v !== "bigint" && !Number.isSafeInteger(v)) || (v as number) < 0) misuse("want whole numbers from 0");
  return BigInt(v as number);
};

const noted = (t: Tally, fits: boolean): void => {
  t.n++;
  if (!fits) t.clipped++;
};

/** For counts and sums. */
export function add(a: Aggregation, t: Tally, v: unknown): void {
  if (a.kind > Sum.Sum) misuse(other);
  const n = whole(v);
  const once = a.kind === Sum.Count && a.max === 1n;
  if (once && t.ints[0] !== "0") return; // once is as good as often
  t.ints[0] = sum(t.ints[0]!, n);
  noted(t, once || BigInt(t.ints[0]) <= a.max);
}

/** For means, histograms and sets of labels. */
export function observe(a: Aggregation, t: Tally, v: unknown, random: Random): void {
  switch (a.kind) {
    case Sum.Mean: {
      let n = integer(v);
      const fraction = typeof v === "number" && Math.abs(v) < 2 ** 53 ? v - Math.floor(v) : 0;
      if (fraction && Number(below(1n << 53n, random)) < fraction * 2 ** 53) n++;
      const counts = n < 0n ? 0n : min(n, a.max);
      t.ints[0] = sum(t.ints[0]!, counts);
      return noted(t, counts === n);
    }
    case Sum.Histogram: {
      const n = integer(v); // a value on a bound is above it
      return keep(t, a.bounds.filter((b) => b <= n).length, random);
    }
    case Sum.Categories:
      return keep(t, label(a, v), random);
    case Sum.Multihot:
      return mark(a, t, Array.isArray(v) ? v : [v]);
  }
  misuse(other);
}

const label = (a: Aggregation, v: unknown): number => {
  const i = a.labels.indexOf(v as string);
  return i < 0 ? misuse("not one of its labels") : i;
};

/** Chooses between the bucket kept so far and another: of n values each is kept with a chance of 1 in n. */
function keep(t: Tally, bucket: number, random: Random): void {
  if (below(BigInt(t.n + 1), random) === 0n) t.ints[0] = `${bucket}`;
  noted(t, true);
}

function mark(a: Aggregation, t: Tally, values: unknown[]): void {
  let fits = true, known = t.n > 0;
  for (const i of values.map((v) => `${label(a, v)}`)) {
    if (t.ints.includes(i)) continue;
    if (t.ints.length < a.max) t.ints.push(i);
    else fits = false;
    known = false;
  }
  if (!known) noted(t, fits);
}

/** For vectors. */
export function vector(a: Aggregation, t: Tally, v: unknown): void {
  if (a.kind !== Sum.Vector) misuse(other);
  const given = Array.isArray(v) || ArrayBuffer.isView(v) ? Array.from(v as ArrayLike<unknown>, whole) : misuse("want a list");
  if (given.length !== a.length) misuse(`${given.length} elements, want ${a.length}`);
  t.ints = t.ints.map((x, i) => sum(x, given[i]!));
  noted(t, t.ints.every((x) => BigInt(x) <= a.max));
}

/** Buckets of a histogram: with presence hidden one more, for those who have nothing to say. */
const buckets = (a: Aggregation): number => (a.kind === Sum.Histogram ? a.bounds.length + 1 : a.labels.length) + +a.hidden;

const bitLength = (n: bigint): number => n.toString(2).length;

/** A number from 0 to limit as bits, the last of which weighs what the others lack. */
function bitsOf(v: bigint, limit: bigint): number[] {
  const n = bitLength(limit) - 1;
  const others = (1n << BigInt(n)) - 1n;
  const last = v > others;
  const rest = last ? v - (limit - others) : v;
  return [...Array.from({ length: n }, (_, i) => Number((rest >> BigInt(i)) & 1n)), +last];
}

/** The tally, cut back to the question's bounds, in the encoding of its VDAF. */
export function measurement(a: Aggregation, t: Tally, random: Random): Uint8Array {
  const first = BigInt(t.ints[0] ?? 0);
  switch (a.kind) {
    case Sum.Mean: {
      if (!t.n) return new Uint8Array(2 * bitLength(a.max));
      const n = BigInt(t.n), rest = first % n;
      const mean = first / n + BigInt(rest > 0n && below(n, random) < rest);
      return Uint8Array.from([...bitsOf(min(mean, a.max), a.max), ...bitsOf(a.max, a.max)]);
    }
    case Sum.Histogram:
    case Sum.Categories: {
      const out = new Uint8Array(buckets(a));
      out[t.n ? Number(first) : out.length - 1] = 1;
      return out;
    }
    case Sum.Multihot: {
      const out = new Uint8Array(a.labels.length);
      for (const i of t.ints) out[+i] = 1;
      return concat(out, bitsOf(BigInt(t.ints.length), a.max));
    }
    case Sum.Vector:
      return Uint8Array.from(t.ints.flatMap((x) => bitsOf(min(BigInt(x), a.max), a.max)));
  }
  return Uint8Array.from(a.kind === Sum.Count && a.max === 1n ? [+(first > 0n)] : bitsOf(min(first, a.max), a.max));
}

/** The tally in words, for the person whose data it is. */
export function describeTally(a: Aggregation, t: Tally): string {
  if (!t.n) return "nothing so far";
  const first = +t.ints[0]!;
  const words: Record<number, unknown> = {
    [Sum.Mean]: `${+(first / t.n).toPrecision(6)} on average`,
    [Sum.Histogram]: `${a.bounds[first - 1] ?? "lowest"} to ${a.bounds[first] ?? "highest"}`,
    [Sum.Categories]: a.labels[first],
    [Sum.Multihot]: t.ints.map((i) => a.labels[+i]).join(", "),
    [Sum.Vector]: t.ints.join(", "),
  };
  return `${words[a.kind] ?? min(BigInt(t.ints[0]!), a.max)}${t.clipped ? ` (${t.clipped} of ${t.n} values cut)` : ""}`;
}

/** The VDAF of a question: its identifier and configuration. */
function vdafOf(a: Aggregation): [number, Bytes] {
  switch (a.kind) {
    case Sum.Mean:
    case Sum.Vector:
      return [3, concat(uint(a.kind === Sum.Mean ? 2 : a.length, 4), uint(a.max, 8), uint(a.chunk, 4))];
    case Sum.Histogram:
    case Sum.Categories:
      return [4, concat(uint(buckets(a), 4), uint(a.chunk, 4))];
    case Sum.Multihot:
      return [5, concat(uint(a.labels.length, 4), uint(a.chunk, 4), uint(a.max, 8))];
  }
  return a.kind === Sum.Count && a.max === 1n ? [1, new Uint8Array()] : [2, uint(a.max, 8)];
}

/** The DAP task that leader, helper and collector derive from the same signed bytes. */
export async function dapTask(t: Task): Promise<DapTask> {
  const a = t.aggregation!;
  const [vdaf, config] = vdafOf(a);
  const { mechanism, num, den, sensitivity } = a.noise;
  const interval = concat(uint(t.notBefore / t.epochSeconds, 8), uint(Math.floor((t.expires - t.notBefore) / t.epochSeconds), 8));
  const extensions = [uint(1, 2), opaque(interval, 2)];
  if (mechanism) {
    extensions.push(uint(0xff53, 2), opaque(concat([mechanism], uint(num, 4), uint(den, 4), mechanism === 1 ? uint(sensitivity, 8) : []), 2));
  }
  const encoded = concat(
    opaque(t.id, 1), opaque(utf8(t.hops[0]!.url), 2), opaque(utf8(t.hops[1]!.url), 2),
    uint(t.epochSeconds, 8), uint(t.minBatch, 8), [1, 0, 0], // time-interval mode, without a configuration
    uint(vdaf, 4), opaque(config, 2), opaque(concat(...extensions), 2),
  );
  const domain = await sha256(utf8("dap-taskprov task id"));
  return {
    id: await sha256(concat(domain, encoded)),
    config: encoded,
    tag: a.variant === "dap-19" ? "dap-19" : "dap-18",
    vdaf: { id: vdaf, chunk: a.chunk },
  };
}
