// The report of the aggregate route: two sealed shares for DAP (draft-ietf-ppm-dap-18,
// -19 and the form of Janus, whose uploads differ in a tag alone).

import { type Bytes, type Random, Reader, concat, fromBase64, opaque, random as secure, uint, utf8 } from "./bytes.js";
import { type Ephemeral, aes128, aes256, seal } from "./hpke.js";
import { type Vdaf, shard } from "./prio3.js";
import { verify } from "./task.js";

/** A DAP task as a client needs it. */
export interface DapTask {
  id: Bytes;
  config: Bytes; // the encoded TaskConfiguration
  tag: string; // dap-18 or dap-19
  vdaf: Vdaf;
}

export interface HpkeConfig {
  id: number;
  aead: number;
  public: Bytes;
}

/** What an aggregate report is made of; plain data, so that it can be given to a worker. */
export interface DapJob {
  dap: DapTask;
  bits: Uint8Array; // the encoded measurement
  report: Bytes; // the report's ID, which is the VDAF's nonce
  epoch: number;
  keys: HpkeConfig[]; // of leader and helper
}

/** The first configuration of a list that is supported here: X25519, HKDF-SHA256, AES-GCM. */
export function chooseConfig(list: Bytes): HpkeConfig {
  const r = new Reader(list);
  const all = r.list(2, (x) => ({ id: x.num(1), kem: x.num(2), kdf: x.num(2), aead: x.num(2), public: x.opaque(2) }));
  r.end();
  const c = all.find((x) => x.kem === 0x20 && x.kdf === 1 && (x.aead === aes128 || x.aead === aes256) && x.public.length === 32);
  if (!c) throw new Error(`none of ${all.length} HPKE configurations is supported`);
  return c;
}

/** The body of the upload of one report. */
export async function sealDap(j: DapJob, random: Random = secure, pair?: Ephemeral): Promise<Bytes> {
  const { dap } = j;
  const shares = shard(dap.vdaf, j.bits, concat(utf8(dap.tag), dap.id), j.report, random);
  const metadata = concat(j.report, uint(j.epoch, 8), [0, 0]);
  const publicShare = opaque(shares.publicShare, 4);
  const aad = concat(dap.id, dap.config, metadata, publicShare);
  const parts: Bytes[] = [metadata, publicShare];
  for (const [i, share] of [shares.leader, shares.helper].entries()) {
    const key = j.keys[i]!;
    const info = concat(utf8(dap.tag + " input share"), [1, 2 + i]);
    const { enc, sealed } = await seal(key.public, key.aead, info, aad, concat([0, 0], opaque(share, 4)), pair);
    parts.push(concat([key.id], opaque(enc, 2), opaque(sealed, 4)));
  }
  return concat(...parts);
}

/**
 * Checks that an aggregator with this identity signed a list of HPKE configurations,
 * and returns until when, in milliseconds. The role is DAP's: 2 leader, 3 helper.
 */
export async function checkConfigs(by: Bytes, role: number, body: Bytes, header: string | null, now: number): Promise<number> {
  const [, seconds, sig] = /^(\d{1,15})\.([\w-]{86})$/.exec(header ?? "") ?? [];
  if (!seconds || !(await verify(by, "shoal dap keys v1", concat([role], uint(BigInt(seconds), 8), body), fromBase64(sig!)))) {
    throw new Error("HPKE configurations are not signed by the party that the task names");
  }
  if (now >= (Number(seconds) + 1) * 1000) throw new Error("the signature of the HPKE configurations has expired; is this device's clock right?");
  return Number(seconds) * 1000;
}
