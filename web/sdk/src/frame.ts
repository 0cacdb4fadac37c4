// The report of the crowd route: one sealed layer a hop. Format: docs/spec/report-frame.md.

import { type Bytes, concat, uint, utf8 } from "./bytes.js";
import { type Ephemeral, aes128, mac, seal } from "./hpke.js";

/** What a crowd report is made of; plain data, so that it can be given to a worker. */
export interface CrowdJob {
  task: Bytes;
  epoch: number;
  hops: { role: number; id: Bytes; public: Bytes }[];
  tag: Bytes; // 16 bytes
  payload: Bytes; // not padded
  size: number; // to which it is padded
}

/** The tag of the crowd that material describes. */
export const crowdTag = async (task: Bytes, window: number, material: Bytes): Promise<Bytes> =>
  (await mac(concat(utf8("shoal crowd tag v1"), task, uint(window, 8)), material)).slice(0, 16);

export async function sealCrowd(j: CrowdJob, pair?: Ephemeral): Promise<Bytes> {
  if (j.payload.length >= j.size) throw new RangeError("too long");
  let next: Bytes = concat(j.payload, [0x80], new Uint8Array(j.size - j.payload.length - 1));
  for (let i = j.hops.length - 1; i >= 0; i--) {
    const hop = j.hops[i]!;
    const crowd = i === j.hops.length - 2 ? concat([16], j.tag) : [0];
    const header = concat([1, hop.role], hop.id, j.task, uint(j.epoch, 8));
    const info = concat(utf8("shoal report v1"), [hop.role], j.task, uint(j.epoch, 8));
    const { enc, sealed } = await seal(hop.public, aes128, info, header, concat(crowd, [0, 0], next), pair);
    next = concat(header, [1], enc, sealed);
  }
  return next;
}
