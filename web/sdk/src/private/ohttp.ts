// The client of Oblivious HTTP (RFC 9458), with the one suite that browsers have and
// whose answers have the lengths that relays forward: DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-128-GCM.

import { type Bytes, Reader, concat, uint, utf8 } from "../bytes.js";
import { type Ephemeral, aes128, ephemeral, mac, seal } from "../hpke.js";

/** A gateway's key. */
export interface Gateway {
  id: number;
  public: Bytes;
}

const kem = 0x20, kdf = 1, key = 16;

/** The first key of a list of type application/ohttp-keys that is supported here. One malformed entry refuses the list. */
export function chooseKey(list: Bytes): Gateway {
  const ids = new Set<number>();
  let found: Gateway | undefined;
  for (const all = new Reader(list); !all.empty; ) {
    const r = new Reader(all.opaque(2));
    const id = r.num(1);
    if (ids.has(id)) throw new RangeError(`duplicate gateway key ${id}`);
    ids.add(id);
    if (r.num(2) !== kem) continue;
    const one = { id, public: r.take(32) };
    const suites = r.list(2, (x) => x.num(2) === kdf && x.num(2) === aes128);
    r.end();
    if (suites.includes(true)) found ??= one;
  }
  if (!found) throw new Error("the gateway has no X25519 key");
  return found;
}

/** By how much encapsulation lengthens a request, and its answer. */
export const requestGrowth = 7 + 32 + 16;
export const answerGrowth = 16 + key;

/** What is sent, and what opens its answer. */
export interface Exchange {
  message: Bytes;
  open(answer: Bytes): Promise<Bytes>;
}

/** Seals a binary HTTP request with fresh keys. */
export async function encapsulate(to: Gateway, request: Bytes, pair: Ephemeral = ephemeral): Promise<Exchange> {
  const head = concat([to.id], uint(kem, 2), uint(kdf, 2), uint(aes128, 2));
  const { enc, sealed, exported } = await seal(to.public, aes128, concat(utf8("message/bhttp request"), [0], head), new Uint8Array(), request, pair);
  const secret = await exported!("message/bhttp response", key);
  return { message: concat(head, enc, sealed), open: (answer) => open(enc, secret, answer) };
}

async function open(enc: Bytes, secret: Bytes, answer: Bytes): Promise<Bytes> {
  if (answer.length < answerGrowth) throw new RangeError(`encapsulated answer of ${answer.length} bytes, want at least ${answerGrowth}`);
  const prk = await mac(concat(enc, answer.subarray(0, key)), secret);
  const expand = async (label: string, n: number): Promise<Bytes> => (await mac(prk, concat(utf8(label), [1]))).slice(0, n);
  const aead = await crypto.subtle.importKey("raw", await expand("key", key), "AES-GCM", false, ["decrypt"]);
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: await expand("nonce", 12) }, aead, answer.subarray(key)));
  } catch {
    throw new Error("the gateway's answer cannot be decrypted");
  }
}
