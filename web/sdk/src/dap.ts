// The report of the aggregate route: two sealed shares for DAP (draft-ietf-ppm-dap-18,
// -19 and the form of Janus, whose uploads differ in a tag alone).

import { type Bytes, type Random, concat, opaque, random as secure, uint, utf8 } from "./bytes.js";
import { type Ephemeral, seal } from "./hpke.js";
import { type Vdaf, shard } from "./prio3.js";

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
