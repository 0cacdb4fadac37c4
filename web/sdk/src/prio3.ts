// The client's part of Prio3 (draft-irtf-cfrg-vdaf, VERSION 18) for two aggregators:
// Count, Sum, SumVec, Histogram, MultihotCountVec.
//
// Numbers are BigInt, whose operations take a time that depends on the values. That
// is acceptable on the device of the person whose values they are, and nowhere else;
// a page that lets strangers time its script should know it.

import { type Bytes, type Random, concat, uint } from "./bytes.js";
import { turboShake128 } from "./turboshake.js";

/** What the shares of a question depend on, besides the measurement. */
export interface Vdaf {
  id: number; // algorithm identifier: 1 Count, 2 Sum, 3 SumVec, 4 Histogram, 5 MultihotCountVec
  chunk: number; // chunk length of the proof; 0 for Count and Sum
}

export interface Shares {
  publicShare: Bytes;
  leader: Bytes;
  helper: Bytes;
}

/** A prime field with elements of `size` bytes, little endian. */
class Field {
  #roots: bigint[] = []; // by the order's logarithm

  constructor(readonly p: bigint, readonly size: number) {}

  mod(x: bigint): bigint {
    const r = x % this.p;
    return r < 0n ? r + this.p : r;
  }

  pow(x: bigint, e: bigint): bigint {
    let out = 1n;
    for (; e > 0n; e >>= 1n) {
      if (e & 1n) out = this.mod(out * x);
      x = this.mod(x * x);
    }
    return out;
  }

  /** The principal root of unity of order n, a power of two: 7 generates both groups. */
  root(n: number): bigint {
    return this.#roots[Math.log2(n)] ??= this.pow(7n, (this.p - 1n) / BigInt(n));
  }

  encode(v: bigint[]): Bytes {
    const out = new Uint8Array(v.length * this.size);
    v.forEach((x, i) => out.set(uint(x, this.size).reverse(), i * this.size));
    return out;
  }

  /** n elements of a stream; numbers that are not below the prime are left out. */
  draw(stream: (n: number) => Uint8Array, n: number): bigint[] {
    const out: bigint[] = [];
    while (out.length < n) {
      const x = stream(this.size).reduceRight((v, b) => (v << 8n) | BigInt(b), 0n);
      if (x < this.p) out.push(x);
    }
    return out;
  }

  /**
   * Evaluations at the powers of w, whose order is the length, of the polynomial of
   * these coefficients.
   */
  transform(v: bigint[], w: bigint): bigint[] {
    const n = v.length;
    if (n === 1) return v;
    const square = this.mod(w * w);
    const even = this.transform(v.filter((_, i) => i % 2 === 0), square);
    const odd = this.transform(v.filter((_, i) => i % 2 === 1), square);
    const out: bigint[] = new Array(n);
    let x = 1n;
    for (let i = 0; i < n / 2; i++) {
      const t = this.mod(x * odd[i]!);
      out[i] = this.mod(even[i]! + t);
      out[i + n / 2] = this.mod(even[i]! - t);
      x = this.mod(x * w);
    }
    return out;
  }

  /**
   * The polynomial that has the values v at the powers of the root of order n has
   * these at the powers in between: the odd ones of the root of order 2n.
   */
  between(v: bigint[]): bigint[] {
    const n = v.length;
    const w = this.root(2 * n);
    // Evaluations at the powers of a root are the coefficients in another order, times n.
    const [first, ...rest] = this.transform(v, this.root(n));
    const coefficients = [first!, ...rest.reverse()];
    let x = this.p - (this.p - 1n) / BigInt(n); // 1/n
    return this.transform(coefficients.map((c) => {
      const out = this.mod(c * x);
      x = this.mod(x * w);
      return out;
    }), this.root(n));
  }
}

const field64 = new Field((1n << 64n) - (1n << 32n) + 1n, 8);
const field128 = new Field((1n << 128n) - 7n * (1n << 66n) + 1n, 16);

const powerOfTwo = (n: number): number => {
  let p = 1;
  while (p < n) p *= 2;
  return p;
};

/** The proof of Count and Sum: the gadget polynomial of one wire. */
function provePoint(f: Field, count: boolean, meas: bigint[], seeds: bigint[]): bigint[] {
  const p = powerOfTwo(1 + meas.length);
  const wire = (seed: bigint): bigint[] => [seed, ...meas, ...new Array(p - 1 - meas.length).fill(0n)];
  const wires = seeds.map(wire);
  // Mul of two equal wires, or x^2 - x of one.
  const gadget = (a: bigint, b = a): bigint => f.mod(count ? a * b : a * a - a);
  const odd = wires.map((w) => f.between(w));
  const poly: bigint[] = new Array(2 * p - 1).fill(0n);
  poly[0] = gadget(seeds[0]!, seeds[1]);
  if (count) poly[2] = meas[0]!;
  for (let i = 0; i < p - 1; i++) poly[2 * i + 1] = gadget(odd[0]![i]!, odd[1]?.[i]);
  return [...seeds, ...poly];
}

/** The proof that all elements are 0 or 1, by sums of `chunk` products. */
function proveRange(f: Field, chunk: number, meas: bigint[], seeds: bigint[], joint: bigint[]): bigint[] {
  const calls = joint.length;
  const p = powerOfTwo(1 + calls);
  const poly: bigint[] = new Array(2 * p - 1).fill(0n);
  const sums: bigint[] = new Array(p).fill(0n);
  let powers = joint;
  for (let e = 0; e < chunk; e++) {
    const a: bigint[] = new Array(p).fill(0n);
    const b: bigint[] = new Array(p).fill(0n);
    a[0] = seeds[2 * e]!;
    b[0] = seeds[2 * e + 1]!;
    poly[0]! += a[0] * b[0];
    for (let k = 0; k < calls; k++) {
      const m = meas[k * chunk + e] ?? 0n; // a last chunk that is not full ends in zeros
      a[k + 1] = f.mod(powers[k]! * m);
      b[k + 1] = f.mod(m - 1n);
    }
    powers = powers.map((x, k) => f.mod(x * joint[k]!));
    const oddA = f.between(a), oddB = f.between(b);
    for (let i = 0; i < p - 1; i++) sums[i]! += oddA[i]! * oddB[i]!;
  }
  poly[0] = f.mod(poly[0]!);
  // The outputs of the gadget are zero, since the measurement is honest.
  for (let i = 0; i < p - 1; i++) poly[2 * i + 1] = f.mod(sums[i]!);
  return [...seeds, ...poly];
}

/**
 * Makes the shares of an encoded measurement: elements that are 0 or 1, in the order
 * that the draft gives for the algorithm.
 */
export function shard(vdaf: Vdaf, bits: ArrayLike<number>, context: Uint8Array, nonce: Uint8Array, random: Random): Shares {
  const { id, chunk } = vdaf;
  const f = id < 3 ? field64 : field128;
  const meas = Array.from(bits, (b) => BigInt(b));
  const calls = chunk && Math.ceil(meas.length / chunk);
  const arity = chunk ? 2 * chunk : id === 1 ? 2 : 1;
  const proofLength = arity + 2 * powerOfTwo(1 + (calls || meas.length)) - 1;

  const xof = (usage: number, seed: Uint8Array, ...binder: ArrayLike<number>[]) => turboShake128(concat(
    uint(8 + context.length, 2).reverse(), [18, 0], uint(id, 4), uint(usage, 2), context, [32], seed, ...binder,
  ), 1);

  const helper = random(calls ? 64 : 32);
  const blind = calls ? random(32) : new Uint8Array();
  const helperMeas = f.draw(xof(1, helper.subarray(0, 32), [1]), meas.length);
  const helperProof = f.draw(xof(2, helper.subarray(0, 32), [1, 1]), proofLength);
  const seeds = f.draw(xof(4, random(32), [1]), arity);
  const leaderMeas = f.encode(meas.map((x, i) => f.mod(x - helperMeas[i]!)));

  let publicShare: Bytes = new Uint8Array();
  let proof: bigint[];
  if (calls) {
    publicShare = concat(
      xof(7, blind, [0], nonce, leaderMeas)(32),
      xof(7, helper.subarray(32), [1], nonce, f.encode(helperMeas))(32),
    );
    const seed = xof(6, new Uint8Array(32), publicShare)(32);
    proof = proveRange(f, chunk, meas, seeds, f.draw(xof(3, seed, [1]), calls));
  } else {
    proof = provePoint(f, id === 1, meas, seeds);
  }
  const leaderProof = f.encode(proof.map((x, i) => f.mod(x - helperProof[i]!)));
  return { publicShare, leader: concat(leaderMeas, leaderProof, blind), helper };
}
