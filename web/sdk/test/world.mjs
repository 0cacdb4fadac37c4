// The parties of the golden suite behind a fake network, and a clock that tests move.
import { readFileSync } from "node:fs";
import { base64, fromBase64 } from "../build/bytes.js";
import { openBundle, parseOwner } from "../build/task.js";
import { from64 } from "./suite.mjs";

export const suite = JSON.parse(readFileSync(new URL("../testdata/golden.json", import.meta.url), "utf8"));
export const tasks = await openBundle(from64(suite.bundle), parseOwner(suite.owner));
export const metrics = [...tasks.keys()];
export const crowdMetrics = suite.crowd.map((c) => c.metric);
export const sumMetrics = suite.sums.map((s) => s.metric);

export class World {
  now = suite.now;
  uploads = []; // {url, body} of every POST
  requests = [];
  answer; // in place of the parties' own, unless it returns undefined

  fetch = async (url, init = {}) => {
    this.requests.push({ url, init });
    if (init.signal?.aborted) throw init.signal.reason;
    if (init.method === "POST") this.uploads.push({ url, body: base64(init.body) });
    const special = await this.answer?.(url, init);
    if (special) return special;
    if (init.method === "POST") {
      const crowd = init.headers["content-type"].startsWith("application/shoal-report");
      return new Response(null, { status: crowd ? 201 : 200 });
    }
    for (const c of suite.crowd) {
      if (url === `${tasks.get(c.metric).hops[0].url}/tasks/${c.task}/keys`) {
        return new Response(from64(c.keys), { headers: { "content-type": "application/shoal-keys; v=1" } });
      }
    }
    for (const s of suite.sums) {
      for (const i of [0, 1]) {
        if (url !== `${tasks.get(s.metric).hops[i].url}/hpke_config`) continue;
        return new Response(from64(s.lists[i]), {
          headers: { "content-type": "application/ppm-dap;message=hpke-config-list", "shoal-key-signature": s.headers[i], "cache-control": "max-age=600" },
        });
      }
    }
    return new Response(null, { status: 404 });
  };

  options(more = {}) {
    return {
      bundle: from64(suite.bundle), owner: suite.owner, metrics, mode: "on", noSender: true,
      fetch: this.fetch, now: () => this.now, ...more,
    };
  }

  /** Moves the clock on to each time that the client names, and sends, until a time. */
  async drain(client, until) {
    let sent = 0, refused = 0;
    for (let i = 0; i < 5000 && this.now < until; i++) {
      const pass = await client.sendDue();
      sent += pass.sent;
      refused += pass.refused;
      this.now = Math.min(until, Math.max(this.now + 1, pass.next));
    }
    return { sent, refused };
  }

  /** The end of the epoch that runs now. */
  end(metric) {
    const ms = tasks.get(metric).epochSeconds * 1000;
    return (Math.floor(this.now / ms) + 1) * ms;
  }
}

export const problem = (type, status = 400) =>
  new Response(JSON.stringify({ type }), { status, headers: { "content-type": "application/problem+json" } });

export { base64, fromBase64 };
