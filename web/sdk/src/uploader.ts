// Seals reports and takes them to the first party of their task. It knows one way
// only: a failure makes a report wait, or ends it, and never leads to a weaker seal.

import { type Bytes, Reader, base64, fromBase64 } from "./bytes.js";
import type { DapTask, HpkeConfig } from "./dap.js";
import type { Entry } from "./outbox.js";
import { openWays, wayOf } from "./private/relay.js";
import { sharedContent } from "./private/shares.js";
import { type Job, seal } from "./seal.js";
import { dapTask } from "./tally.js";
import { type Task, checkConfigs, chooseConfig, openKeys, validURL } from "./task.js";

/** The receiver refuses the report: it is not sent again. */
export class Refused extends Error {
  constructor(readonly cause: string) {
    super(`refused: ${cause}`);
  }
}

/** The receiver has the keys no longer that the report was sealed to. */
export class Stale extends Error {}

const hour = 3_600_000;
const maxAnswer = 1 << 20;

/** Statuses that may pass by themselves, or are not the receiver's. */
const passing = [407, 408, 425, 429];

/** The body of an answer. */
export async function body(r: Response): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let n = 0;
  for (const reader = r.body?.getReader(); reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    if ((n += value.length) > maxAnswer) {
      await reader.cancel();
      throw new Error("too long");
    }
  }
  return new Uint8Array(await new Blob(parts as Bytes[]).arrayBuffer());
}

export const typeOf = (r: Response): string => (r.headers.get("content-type") ?? "").replace(/\s/g, "").toLowerCase();

/** Why a problem document (RFC 9457) of a party refuses a request, "" if the answer is not one: proxies answer by pages of their own. */
async function problem(r: Response): Promise<string | undefined> {
  try {
    const { type } = JSON.parse(new TextDecoder().decode(await body(r)));
    return /^urn:(?:shoal:problem|ietf:params:ppm:dap:error):(.+)/.exec(type)?.[1];
  } catch {
    return;
  }
}

/** What is sealed: of a sum an ID and the encoded measurement, of a record the crowd's tag and the payload. */
export interface Content {
  id?: string;
  bits?: Uint8Array;
  tag?: string;
  payload?: string;
}

interface Cached<T> {
  value: T;
  until: number;
}

export class Uploader {
  #keys = new Map<string, Cached<{ id: Bytes; public: Bytes }[]>>();
  #configs = new Map<string, Cached<HpkeConfig>>();
  #dap = new Map<string, DapTask>();
  #worker: Worker | undefined;

  #fetcher: typeof fetch;
  #now: () => number;

  constructor(fetcher: typeof fetch, now: () => number) {
    this.#fetcher = fetcher;
    this.#now = now;
    if (PRIVATE) openWays(this, (...a) => this.#request(...a), now);
  }

  async #request(url: string, signal: AbortSignal, upload?: { type: string; report: Bytes }): Promise<Response> {
    const timeout = AbortSignal.timeout(60_000);
    return this.#fetcher(url, {
      mode: "cors",
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.any([signal, timeout]),
      ...(upload && { method: "POST", headers: { "content-type": upload.type }, body: upload.report }),
    });
  }

  /** Seals the report of an entry. */
  async seal(e: Entry, t: Task, job: Content, signal: AbortSignal): Promise<Bytes> {
    const url = t.hops[0]!.url;
    if (!validURL(url)) throw new Error(`${url} is not valid`);
    if (PRIVATE && t.relay) await wayOf(this, t).timely(t, e.epoch, signal);
    if (job.bits) {
      const dap = await this.#dapTask(e.task, t);
      const keys = [await this.#config(t, 0, signal), await this.#config(t, 1, signal)];
      return this.#run({ dap: { dap, bits: job.bits, report: fromBase64(job.id!), epoch: e.epoch, keys } });
    }
    const keys = await this.#keysOf(e, t, signal);
    const size = t.crowd!.payloadSize;
    let payload = fromBase64(job.payload!);
    if (PRIVATE && t.crowd!.shares) payload = await sharedContent(t.id, e.epoch, t.crowd!.shares, payload, size);
    return this.#run({ crowd: {
      task: t.id, epoch: e.epoch, tag: fromBase64(job.tag!), payload, size,
      hops: t.hops.map((p, i) => ({ role: p.role, id: keys[i]!.id, public: keys[i]!.public })),
    } });
  }

  async #dapTask(id: string, t: Task): Promise<DapTask> {
    const made = this.#dap.get(id) ?? await dapTask(t);
    this.#dap.set(id, made);
    return made;
  }

  async #keysOf(e: Entry, t: Task, signal: AbortSignal): Promise<{ id: Bytes; public: Bytes }[]> {
    if (PRIVATE && t.relay) return wayOf(this, t).hopKeys(t, signal);
    const known = this.#keys.get(e.task);
    const now = this.#now();
    if (known && now < known.until) return known.value;
    const r = await this.#request(`${t.hops[0]!.url}/tasks/${e.task}/keys`, signal);
    if (r.status !== 200 || typeOf(r) !== "application/shoal-keys;v=1") throw new Error(`keys: HTTP ${r.status} from ${r.url}`);
    const value = await openKeys(t, await body(r), now);
    this.#keys.set(e.task, { value, until: Math.min(now + hour, ...value.map((k) => k.notAfter * 1000)) });
    return value;
  }

  /** The HPKE configuration of the leader (0) or the helper (1). */
  async #config(t: Task, i: number, signal: AbortSignal): Promise<HpkeConfig> {
    if (PRIVATE && t.relay) return wayOf(this, t).aggregatorKey(t.hops[i]!, signal);
    const { url, identity } = t.hops[i]!;
    const name = `${i} ${url} ${base64(identity)}`;
    const now = this.#now();
    const known = this.#configs.get(name);
    if (known && now < known.until) return known.value;
    const r = await this.#request(`${url}/hpke_config`, signal);
    if (!r.ok || !typeOf(r).startsWith("application/ppm-dap;message=hpke-config-list")) throw new Error(`keys: HTTP ${r.status} from ${url}`);
    const list = await body(r);
    const signed = await checkConfigs(identity, 2 + i, list, r.headers.get("shoal-key-signature"), now);
    const value = chooseConfig(list);
    this.#configs.set(name, { value, until: Math.min(signed, now + hour) });
    return value;
  }

  /** Sends the sealed report of an entry. */
  async send(e: Entry, t: Task, signal: AbortSignal): Promise<void> {
    const report = fromBase64(e.report);
    const url = `${t.hops[0]!.url}/tasks/`;
    if (PRIVATE && t.relay) await wayOf(this, t).timely(t, e.epoch, signal);
    if (t.crowd) {
      const to = `${url}${e.task}/reports`, upload = { type: "application/shoal-report;v=1", report };
      const r = PRIVATE && t.relay ? await wayOf(this, t).post(t.hops[0]!, to, signal, upload) : await this.#request(to, signal, upload);
      if (r.status === 201) return;
      if (r.status >= 400 && r.status < 500 && !passing.includes(r.status)) {
        // The keys may be old. This report stays sealed to them: a second ciphertext could count twice.
        this.#keys.delete(e.task);
        const cause = await problem(r);
        if (cause) throw new Refused(cause);
      }
      throw new Error(`HTTP ${r.status} from ${t.hops[0]!.url}`);
    }
    const { id } = await this.#dapTask(e.task, t);
    const to = `${url}${base64(id)}/reports`, upload = { type: "application/ppm-dap;message=upload-req", report };
    const r = PRIVATE && t.relay ? await wayOf(this, t).post(t.hops[0]!, to, signal, upload) : await this.#request(to, signal, upload);
    if (!r.ok) {
      const cause = r.status >= 400 && r.status < 500 && !passing.includes(r.status) && await problem(r);
      if (cause) throw new Refused(cause);
      throw new Error(`HTTP ${r.status} from ${t.hops[0]!.url}`);
    }
    const answer = await body(r);
    if (!answer.length) return;
    if (!PRIVATE || !t.relay) return this.#judge(t, typeOf(r), answer);
    try {
      this.#judge(t, typeOf(r), answer);
    } catch (err) {
      // The relay has one list of keys a period: without another there is nothing to seal to.
      if (err instanceof Stale && !(await wayOf(this, t).outdated(t, report, signal))) throw new Error(err.message);
      throw err;
    }
  }

  /** What the leader answered of a report that it did not take. */
  #judge(t: Task, type: string, answer: Bytes): void {
    if (!type.startsWith("application/ppm-dap;message=upload-errors")) throw new Error("no answer of a leader");
    const r = new Reader(answer);
    r.take(16);
    const code = r.num(1);
    const { variant } = t.aggregation!;
    const nineteen = variant === "dap-19";
    if (code === (variant === "dap-18" ? 11 : 4)) {
      this.#configs.clear();
      throw new Stale("outdated keys");
    }
    if (code === 2) return; // an earlier send arrived, its answer did not
    if (code === (nineteen ? 8 : 9)) throw new Error("too early: is the clock right?");
    throw new Refused(`report-error-${code}`);
  }

  /** Makes a report in the worker, or here without one. */
  async #run(job: Job): Promise<Bytes> {
    try {
      this.#worker ??= await startWorker();
    } catch {
      return seal(job);
    }
    const out = await answer(this.#worker, () => this.#worker!.postMessage(job));
    if (typeof out === "string") throw new Error(out);
    return out;
  }

  /** Ends the worker, which starts again when it is needed. */
  rest(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** The next message of a worker; throws where it fails. */
const answer = (w: Worker, ask: () => void): Promise<string | Bytes> =>
  new Promise((resolve, reject) => {
    w.onmessage = ({ data }) => resolve(data);
    w.onerror = (e) => {
      e.preventDefault();
      reject(new Error("no worker"));
    };
    ask();
  });

/** Throws where the browser or the page's policy has no worker for us. */
async function startWorker(): Promise<Worker> {
  const w = new Worker(new URL(PRIVATE ? "./private.js" : "./index.js", import.meta.url), { type: "module", name: "shoal-seal" });
  try {
    await answer(w, () => {}); // it is ready
  } catch (e) {
    w.terminate();
    throw e;
  }
  return w;
}
