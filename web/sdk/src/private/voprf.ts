// The client of RFC 9497 in mode VOPRF with ristretto255-SHA512. Requests are 64
// elements, inputs and then uniform points, so that they do not show how many inputs
// there are. The Go twin is package crypto/voprf.

import { ristretto255, ristretto255_hasher, ristretto255_oprf } from "@noble/curves/ed25519.js";
import { type Bytes, type Random, concat, random as secure, uint, utf8 } from "../bytes.js";

const { Point } = ristretto255;
const dst = concat(utf8("HashToGroup-OPRFV1-"), [1], utf8("-ristretto255-SHA512"));
const size = 32, proofSize = 64;

/** What a client keeps until the answer: inputs and blinding scalars, secret. */
export interface Pending {
  inputs: Bytes[];
  blinds: Bytes[];
  request: Bytes;
}

/** A uniform scalar that is not zero: 64 bytes, little endian, reduced. */
function draw(random: Random): bigint {
  for (;;) {
    const x = Point.Fn.create(random(64).reduceRight((v, b) => (v << 8n) | BigInt(b), 0n));
    if (x) return x;
  }
}

/** One blinded input. */
export const blind = (input: Uint8Array, by: bigint): Bytes =>
  new Uint8Array(ristretto255_hasher.hashToCurve(input, { DST: dst }).multiply(by).toBytes());

/** A request for up to n inputs. */
export function newRequest(inputs: Bytes[], n: number, random: Random = secure): Pending {
  if (inputs.length > n) throw new RangeError(`${inputs.length} inputs for a request of ${n}`);
  const elements: Bytes[] = [], blinds: Bytes[] = [];
  for (let i = 0; i < n; i++) {
    if (i >= inputs.length) {
      elements.push(new Uint8Array(ristretto255_hasher.deriveToCurve!(random(64)).toBytes()));
      continue;
    }
    const by = draw(random);
    blinds.push(uint(by, size).reverse());
    elements.push(blind(inputs[i]!, by));
  }
  return { inputs, blinds, request: concat(...elements) };
}

/** The outputs of the inputs. It throws unless the proof shows that every element was evaluated with the key. */
export function finalize(p: Pending, publicKey: Bytes, response: Bytes): Bytes[] {
  if (response.length !== p.request.length + proofSize) throw new RangeError(`response of ${response.length} bytes, want ${p.request.length + proofSize}`);
  const one = uint(1, size).reverse();
  const items = Array.from({ length: p.request.length / size }, (_, i) => ({
    input: p.inputs[i] ?? new Uint8Array(),
    blind: p.blinds[i] ?? one, // of padding, whose output nobody wants
    blinded: p.request.subarray(i * size, (i + 1) * size),
    evaluated: response.subarray(i * size, (i + 1) * size),
  }));
  const outputs = ristretto255_oprf.voprf.finalizeBatch(items, publicKey, response.subarray(p.request.length));
  return outputs.slice(0, p.inputs.length).map((o) => new Uint8Array(o));
}
