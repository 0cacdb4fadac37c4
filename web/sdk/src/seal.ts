// The heavy work: making and sealing reports. As a worker it answers messages; the
// page imports the same module where it cannot have a worker.

import type { Bytes } from "./bytes.js";
import { type DapJob, sealDap } from "./dap.js";
import { type CrowdJob, sealCrowd } from "./frame.js";

export type Job = { crowd: CrowdJob } | { dap: DapJob };

export const seal = (job: Job): Promise<Bytes> => ("crowd" in job ? sealCrowd(job.crowd) : sealDap(job.dap));

// In a dedicated worker of ours, which its name tells.
if (typeof document === "undefined" && typeof postMessage === "function" && self.name === "shoal-seal") {
  addEventListener("message", async ({ data }: MessageEvent<Job>) => {
    try {
      postMessage({ report: await seal(data) });
    } catch (e) {
      postMessage({ error: String(e) });
    }
  });
  postMessage("ready");
}
