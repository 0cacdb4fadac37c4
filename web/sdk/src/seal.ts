// The heavy work: making and sealing reports, in a worker where the page can have one.

import type { Bytes } from "./bytes.js";
import { type DapJob, sealDap } from "./dap.js";
import { type CrowdJob, sealCrowd } from "./frame.js";

export interface Job {
  crowd?: CrowdJob; // one of the two
  dap?: DapJob;
}

export const seal = (job: Job): Promise<Bytes> => (job.crowd ? sealCrowd(job.crowd) : sealDap(job.dap!));

// The worker is the module of the page once more; it is recognised by its name.
if (typeof document === "undefined" && typeof postMessage === "function" && self.name === "shoal-seal") {
  addEventListener("message", async ({ data }: MessageEvent<Job>) => {
    try {
      postMessage(await seal(data));
    } catch (e) {
      postMessage(`${e}`);
    }
  });
  postMessage("");
}
