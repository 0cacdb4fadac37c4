// The client of Anonymous Rate-limited Credentials: draft-ietf-privacypass-arc-crypto-01
// with ARC(P-256), and the profile for a limit of one. The Go twin is package crypto/arc,
// which describes both. Numbers are BigInt, whose time depends on their values: what a
// page that shares the processor could learn by it is a limit of this file.

import { invertCt } from "@noble/curves/abstract/modular.js";
import { p256, p256_hasher } from "@noble/curves/nist.js";
import { shake128 } from "@noble/hashes/sha3.js";
import { type Bytes, type Random, Reader, concat, random as secure, toNumber, uint, utf8 } from "../bytes.js";

const { Point } = p256;
type Point = InstanceType<typeof Point>;

const draft = "ARCV1-P256";
const one = "ARCV1-P256-N1-shoal"; // the context string of the profile for a limit of one
const order = Point.Fn.ORDER;
const scalarSize = 32, elementSize = 33;

/** The lengths of encodings. */
export const requestSize = 2 * elementSize + 5 * scalarSize;
export const responseSize = 6 * elementSize + 8 * scalarSize;

const mod = (x: bigint): bigint => ((x % order) + order) % order;
const scalar = (x: bigint): Bytes => uint(mod(x), scalarSize);
const element = (p: Point): Bytes => new Uint8Array(p.toBytes(true));
const hashToGroup = (msg: Uint8Array, dst: string): Point => p256_hasher.hashToCurve(msg, { DST: `HashToGroup-${dst}` }) as Point;
const hashToScalar = (msg: Uint8Array, dst: string): bigint => p256_hasher.hashToScalar(msg, { DST: `HashToScalar-${dst}` });

let generator: Point | undefined;
const g = Point.BASE;
const h = (): Point => (generator ??= hashToGroup(element(g), `${draft}generatorH`));

/** A uniform scalar that is not zero: 48 bytes, reduced. */
function draw(random: Random): bigint {
  for (;;) {
    const x = mod(toNumber(random(48)));
    if (x) return x;
  }
}

class Decoder extends Reader {
  element(): Point {
    return Point.fromBytes(this.take(elementSize)); // canonical, never the identity, which has one byte
  }

  scalar(zero = false): bigint {
    const x = this.big(scalarSize);
    if (x >= order || (!x && !zero)) throw new RangeError("malformed scalar");
    return x;
  }

  proof(scalars: number): bigint[] {
    return Array.from({ length: scalars + 1 }, () => this.scalar(true));
  }
}

/** left = sum of scalars times elements, all by their index. */
type Equation = [left: number, ...terms: [scalar: number, element: number][]];

const requestShape: Equation[] = [[2, [0, 0], [2, 1]], [3, [1, 0], [3, 1]]];

const responseShape: Equation[] = [
  [6, [0, 0], [3, 1]], [7, [1, 1]], [8, [2, 1]], [12, [4, 1]], [9, [3, 12]], [10, [5, 1]], [10, [4, 7]],
  [11, [4, 8]], [11, [6, 1]], [4, [4, 0]], [5, [4, 6], [5, 2], [6, 3]],
];

/** The relation of a presentation whose nonce has k bits; 0 for a limit of one. */
function presentationShape(k: number): Equation[] {
  const out: Equation[] = [[4, [0, 2], [1, 1]], [5, [1, 6], [2, 0]]];
  if (!k) return [...out, [8, [0, 7]]];
  out.push([9, [3, 0], [4, 1]], [8, [0, 7], [3, 7]]);
  for (let i = 0; i < k; i++) {
    const d = (k === 1 ? 9 : 10) + i;
    out.push([d, [5 + i, 0], [5 + k + i, 1]], [d, [5 + i, d], [5 + 2 * k + i, 1]]);
  }
  return out;
}

const little = (n: number): number[] => [...uint(n, 4)].reverse();

/** The challenge: SHAKE128 over protocol, session, relation and commitments. */
function challenge(session: Bytes, shape: Equation[], elements: Point[], commitments: Point[]): bigint {
  const id = concat(utf8("sigma-proofs_Shake128_P256"), new Uint8Array(168)).subarray(0, 168);
  const label: number[] = little(shape.length);
  for (const [left, ...terms] of shape) {
    label.push(...little(left), ...little(terms.length));
    for (const [s, e] of terms) label.push(...little(s), ...little(e));
  }
  const instance = concat(label, ...elements.map(element));
  if (commitments.some((p) => p.is0())) throw new Error("a commitment is the identity");
  const transcript = concat(id, uint(session.length, 4), session, uint(instance.length, 4), instance, ...commitments.map(element));
  return mod(toNumber(shake128(transcript, { dkLen: 48 })));
}

const sum = (points: Point[]): Point => points.reduce((a, b) => a.add(b), Point.ZERO);

/** A proof of knowledge of the witness: challenge and responses. */
function prove(session: Bytes, shape: Equation[], elements: Point[], witness: bigint[], random: Random): Bytes {
  const nonces = witness.map(() => draw(random));
  const commitments = shape.map(([, ...terms]) => sum(terms.map(([s, e]) => elements[e]!.multiply(nonces[s]!))));
  const c = challenge(session, shape, elements, commitments);
  return concat(scalar(c), ...nonces.map((k, i) => scalar(k + witness[i]! * c)));
}

/** Throws unless the proof holds, in variable time: all of it is public. */
function check(session: Bytes, shape: Equation[], elements: Point[], [c, ...responses]: bigint[]): void {
  const commitments = shape.map(([left, ...terms]) =>
    sum([elements[left]!.multiplyUnsafe(mod(-c!)), ...terms.map(([s, e]) => elements[e]!.multiplyUnsafe(responses[s]!))]));
  if (challenge(session, shape, elements, commitments) !== c) throw new Error("the proof does not hold");
}

const commit = (value: bigint, blinding: bigint): Point =>
  (value ? g.multiply(value).add(h().multiply(blinding)) : h().multiply(blinding));

/** The request for a credential, and the secrets that its answer is finalised with: store both before sending. */
export function newRequest(requestContext: Uint8Array, random: Random = secure): { secrets: Bytes; request: Bytes } {
  const [m1, r1, r2] = [draw(random), draw(random), draw(random)];
  const m2 = hashToScalar(requestContext, `${draft}requestContext`);
  const m1Enc = commit(m1, r1), m2Enc = commit(m2, r2);
  const proof = prove(utf8(`${draft}CredentialRequest`), requestShape, [g, h(), m1Enc, m2Enc], [m1, m2, r1, r2], random);
  return { secrets: concat(scalar(m1), scalar(m2), scalar(r1), scalar(r2)), request: concat(element(m1Enc), element(m2Enc), proof) };
}

/** The credential of an answer; throws unless the issuer made it with the private key of this public one. */
export function finalize(publicKey: Bytes, secrets: Bytes, request: Bytes, response: Bytes): Bytes {
  const k = new Decoder(publicKey), s = new Decoder(secrets), q = new Decoder(request), a = new Decoder(response);
  const [x0, x1, x2] = [k.element(), k.element(), k.element()];
  const [m1, , r1, r2] = [s.scalar(), s.scalar(), s.scalar(), s.scalar()];
  const [m1Enc, m2Enc] = [q.element(), q.element()];
  const [u, uPrime, x0Aux, x1Aux, x2Aux, hAux] = Array.from({ length: 6 }, () => a.element()) as [Point, Point, Point, Point, Point, Point];
  const proof = a.proof(7);
  k.end();
  s.end();
  a.end();
  check(utf8(`${draft}CredentialResponse`), responseShape, [g, h(), m1Enc, m2Enc, u, uPrime, x0, x1, x2, x0Aux, x1Aux, x2Aux, hAux], proof);
  const unblinded = uPrime.subtract(sum([x0Aux, x1Aux.multiply(r1), x2Aux.multiply(r2)]));
  return concat(scalar(m1), element(u), element(unblinded), element(x1));
}

/** Throws unless the bytes are those of an issuer's public key. */
export function checkPublicKey(b: Bytes): void {
  const k = new Decoder(b);
  for (let i = 0; i < 3; i++) k.element();
  k.end();
}

/** The weights of the bits of a nonce below a limit, in descending order; none for a limit of one. */
function weights(limit: number): number[] {
  const k = 32 - Math.clz32(limit - 1);
  const out = Array.from({ length: Math.max(0, k - 1) }, (_, i) => 2 ** i);
  if (k) out.push(limit - 2 ** (k - 1));
  return out.sort((a, b) => b - a);
}

/** The length of a presentation for a limit. */
export function presentationSize(limit: number): number {
  const k = weights(limit).length;
  return k ? (5 + k) * elementSize + (6 + 3 * k) * scalarSize : 4 * elementSize + 4 * scalarSize;
}

interface Credential { m1: bigint; u: Point; uPrime: Point; x1: Point }

function parse(credential: Bytes): Credential {
  const r = new Decoder(credential);
  const out = { m1: r.scalar(), u: r.element(), uPrime: r.element(), x1: r.element() };
  r.end();
  return out;
}

const maxLimit = 1 << 16;

/** The generator of a context; it fails for a nonce that is not below the limit. */
function generatorOf(context: Uint8Array, limit: number, nonce: number): [suite: string, t: Point] {
  if (!(limit >= 1 && limit <= maxLimit && nonce >= 0 && nonce < limit)) throw new RangeError(`nonce ${nonce} of a presentation limit of ${limit}`);
  const suite = limit === 1 ? one : draft;
  return [suite, hashToGroup(context, `${suite}Tag`)];
}

const tagOf = (m1: bigint, nonce: number, t: Point): Point => t.multiply(invertCt(mod(m1 + BigInt(nonce)), order));

/** The tag that presentations with a nonce have in a context. */
export const tag = (credential: Bytes, context: Uint8Array, limit: number, nonce: number): Bytes =>
  element(tagOf(parse(credential).m1, nonce, generatorOf(context, limit, nonce)[1]));

/**
 * A presentation in a context, bound to what it is sent with. A nonce serves once in a
 * context: make it durable that it is used before calling this.
 */
export function present(credential: Bytes, context: Uint8Array, limit: number, nonce: number, binding: Uint8Array, random: Random = secure): Bytes {
  const [suite, t] = generatorOf(context, limit, nonce);
  const { m1, u, uPrime, x1 } = parse(credential);
  const bases = weights(limit);
  const [a, r, z] = [draw(random), draw(random), draw(random)];
  const blinded = u.multiply(a);
  const rG = g.multiply(r);
  const uPrimeCommit = uPrime.multiply(a).add(rG);
  const m1Commit = blinded.multiply(m1).add(h().multiply(z));
  const shown = tagOf(m1, nonce, t);
  const v = x1.multiply(z).subtract(rG);
  const witness = [m1, z, mod(-r)];
  const elements = [g, h(), blinded, uPrimeCommit, m1Commit, v, x1, shown, t];
  const sent = [blinded, uPrimeCommit, m1Commit, shown];
  if (bases.length) {
    const n = commitNonce(bases, nonce, random);
    witness.push(...n.witness);
    elements.push(n.commitment, ...(bases.length > 1 ? n.bits : []));
    sent.push(n.commitment, ...n.bits);
  }
  const session = concat(utf8(`${suite}CredentialPresentation`), binding);
  const proof = prove(session, presentationShape(bases.length), elements, witness, random);
  return concat(...sent.map(element), proof);
}

/** Commitments to a nonce and to its bits, whose blindings add up to that of the nonce. */
function commitNonce(bases: number[], nonce: number, random: Random): { commitment: Point; bits: Point[]; witness: bigint[] } {
  const blinding = draw(random);
  let rest = nonce, last = blinding;
  const bits = bases.map((base) => {
    const bit = rest >= base;
    if (bit) rest -= base;
    return bit ? 1n : 0n;
  });
  const s = bases.slice(0, -1).map((base) => {
    const one = draw(random);
    last = mod(last - BigInt(base) * one);
    return one;
  });
  s.push(last); // the last base is 1
  return {
    commitment: commit(BigInt(nonce), blinding),
    bits: bits.map((b, i) => commit(b, s[i]!)),
    witness: [BigInt(nonce), blinding, ...bits, ...s, ...s.map((x, i) => (1n - bits[i]!) * x)],
  };
}
