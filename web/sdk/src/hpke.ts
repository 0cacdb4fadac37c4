// HPKE (RFC 9180) in base mode, one message a context: DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-GCM. All secrets stay within WebCrypto or the arrays below.

import { type Bytes, concat, uint, utf8 } from "./bytes.js";

export const aes128 = 1;
export const aes256 = 2;

/** Makes the key pair of one seal; another one than the default is for tests. */
export type Ephemeral = () => Promise<CryptoKeyPair>;

export const ephemeral: Ephemeral = () => crypto.subtle.generateKey("X25519", true, ["deriveBits"]) as Promise<CryptoKeyPair>;

const hmac = { name: "HMAC", hash: "SHA-256" };

export async function mac(key: Uint8Array, message: Uint8Array): Promise<Bytes> {
  const k = await crypto.subtle.importKey("raw", key as Bytes, hmac, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", k, message as Bytes));
}

const none = new Uint8Array();
const noSalt = new Uint8Array(64); // WebCrypto allows no empty key for HMAC; a block of zeros is the same key

const extract = (suite: Bytes, salt: Bytes, label: string, input: Uint8Array): Promise<Bytes> =>
  mac(salt, concat(utf8("HPKE-v1"), suite, utf8(label), input));

/** LabeledExpand of at most one block, 32 bytes. */
const expand = async (suite: Bytes, key: Bytes, label: string, info: Uint8Array, n: number): Promise<Bytes> =>
  (await mac(key, concat(uint(n, 2), utf8("HPKE-v1"), suite, utf8(label), info, [1]))).slice(0, n);

/** Returns the encapsulated key, the ciphertext and, in @shoal/sdk/private, what exports secrets of at most 32 bytes. */
export async function seal(
  to: Bytes, aead: number, info: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, pair: Ephemeral = ephemeral,
): Promise<{ enc: Bytes; sealed: Bytes; exported?: (label: string, n: number) => Promise<Bytes> }> {
  const { privateKey, publicKey } = await pair();
  const enc = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const recipient = await crypto.subtle.importKey("raw", to, "X25519", false, []);
  // It fails on a point of small order, as WebCrypto prescribes.
  const shared = new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: recipient }, privateKey, 256));

  const kem = concat(utf8("KEM"), uint(0x20, 2));
  const secret = await expand(kem, await extract(kem, noSalt, "eae_prk", shared), "shared_secret", concat(enc, to), 32);

  const suite = concat(utf8("HPKE"), uint(0x20, 2), uint(1, 2), uint(aead, 2));
  const context = concat([0], await extract(suite, noSalt, "psk_id_hash", none), await extract(suite, noSalt, "info_hash", info));
  const prk = await extract(suite, secret, "secret", none);
  const key = await crypto.subtle.importKey("raw", await expand(suite, prk, "key", context, 16 * aead), "AES-GCM", false, ["encrypt"]);
  const iv = await expand(suite, prk, "base_nonce", context, 12);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: aad as Bytes }, key, plaintext as Bytes);
  const out = { enc, sealed: new Uint8Array(sealed) };
  if (!PRIVATE) return out;
  const exporter = await expand(suite, prk, "exp", context, 32);
  return { ...out, exported: (label, n) => expand(suite, exporter, "sec", utf8(label), n) };
}
