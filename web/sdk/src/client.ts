import { type Bytes, type Random, base64, fromBase64, random as secure } from "./bytes.js";
import { Uploader, Refused, Stale } from "./uploader.js";
import { type Addition, Box, type Entry, type Session, type Stage, type Stats, type Verdict } from "./outbox.js";
import { encodeRecord } from "./record.js";
import { wayOf } from "./private/relay.js";
import { type Store, indexedStore, memoryStore } from "./store.js";
import { type Tally, add, describeTally, emptyTally, measurement, observe, vector } from "./tally.js";
import { type Task, closes, covers, epochAt, openBundle, openSigned, parseOwner, startOf } from "./task.js";
import { crowdTag } from "./frame.js";

/**
 * What a person has decided: off records nothing and drops what waits, local collects
 * and shows and never sends, on sends.
 */
export type Mode = "off" | "local" | "on";

/** The settings of a client. */
export interface Options {
  /** The signed tasks, as `shoal metrics build` writes them, or a promise of them. */
  bundle: ArrayBuffer | Uint8Array | PromiseLike<ArrayBuffer | Uint8Array>;
  /** Whose tasks are accepted: "ed25519:…". */
  owner: string;
  /** Every name that the page records. */
  metrics: string[];
  /** What the person has decided; off unless set. */
  mode?: Mode;
  /** Of the outbox, one for each app of the origin; "shoal" unless set. */
  name?: string;
  /** Keep the outbox in memory: nothing outlives the page. */
  memory?: boolean;
  /** Reports that may wait; 10,000 unless set. */
  maxEntries?: number;
  /** Bytes that they may take; 16 MiB unless set. */
  maxBytes?: number;
  /** Do not send in the background: the page calls sendDue. */
  noSender?: boolean;
  /** Called at the end of each recording: for tests and for a debug view. */
  observe?: (metric: string, outcome: Outcome) => void;
  /** For tests: in place of the browser's. */
  fetch?: typeof fetch;
  /** For tests: the time in Unix milliseconds, in place of the device's. */
  now?: () => number;
  /** For tests: in place of the browser's. */
  random?: Random;
}

/** Whether reports were queued, and if not, why. */
export type Status =
  | "queued" // in the outbox: all of its reports, or as many as the caps allow
  | "turned_off" | "unknown_metric" | "not_yet" | "expired" | "invalid"
  | "nothing" // the record gives no report: a list too short for its task
  | "cap_reached" | "full" | "failed" | "closed";

/** What became of a value or record. */
export interface Outcome {
  /** Whether reports were queued, and if not, why. */
  status: Status;
  /** How many reports were queued, or changed. */
  reports: number;
  /** Some of the value went beyond the metric's bounds, and does not count. */
  clipped: boolean;
  /** Why none was, for people. It holds nothing of the value. */
  error?: string;
}

/** A report that waits, as a person sees it. */
export interface Waiting {
  /** Of the report on this device; it does not leave it. */
  id: number;
  /** The metric's name. */
  metric: string;
  /** Of the first party, to which it goes. */
  destination: string;
  /** waiting; sealed, when a send has failed; or held, in the mode local. */
  stage: Stage;
  /** When the page recorded it. */
  recordedAt: Date;
  /** When it is sent. */
  sendAt: Date;
  /** When it is dropped, if it could not be sent. */
  dropAt: Date;
  /** What the page recorded. */
  recorded: string;
  /** What leaves the device, inside the encryption. */
  encoded: string;
}

/** What one pass of the sender did. */
export interface Pass {
  /** Reports that a party has taken. */
  sent: number;
  /** Reports that a party has refused, which are dropped. */
  refused: number;
  /** When the next report is due, Infinity if none waits. */
  next: number;
  /** Of the last failure. */
  error?: string;
}

const ranks: Record<string, number> = { off: 0, local: 1, on: 2 };
const poll = 60_000;

class Failure extends Error {
  constructor(readonly status: Status, message: string) {
    super(message);
  }
}

const reject = (status: Status, message: string): never => {
  throw new Failure(status, message);
};

const text = (e: unknown): string => (e instanceof Error ? e.message : String(e));

const begin = (next: number): Pass => ({ sent: 0, refused: 0, next });

interface Gathered {
  id: string; // of the report, drawn when its epoch begins
  tally: Tally;
}

/**
 * Records and sends. No method throws, and none waits for the network but sendDue.
 */
export class Client {
  /** Why the client could not be opened, empty if it was. Such a client is off. */
  readonly error: string = "";

  #tasks = new Map<string, Task>(); // by metric
  #opened = new Map<string, Task>(); // by ID, of what waits in the outbox
  #owner = "";
  #box: Box | undefined;
  #uploader: Uploader;
  #current: Mode = "off";
  #closed = false;
  #aborts = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #sending: Promise<Pass> | undefined;
  #entering: Promise<unknown> = Promise.resolve();
  readonly #now: () => number;
  readonly #random: Random;

  #o: Options;

  /** @internal Use open. */
  constructor(o: Options) {
    this.#o = o;
    this.#now = o.now ?? (() => Date.now());
    this.#random = o.random ?? secure;
    this.#uploader = new Uploader(o.fetch ?? ((...a) => fetch(...a)), this.#now);
  }

  /** @internal */
  async begin(): Promise<void> {
    if (!globalThis.crypto?.subtle) throw new Error("no WebCrypto: want https");
    const bundle = await this.#o.bundle; // first, so that its failure is never left unhandled
    const owner = parseOwner(this.#o.owner);
    const all = await openBundle(new Uint8Array(bundle as ArrayBuffer), owner);
    if (!this.#o.metrics?.length) throw new Error("no metrics");
    for (const name of this.#o.metrics) {
      const t = all.get(name);
      if (!t) throw new Error(`${name} is not in the bundle`);
      if (t.unfit) throw new Error(`${name}: ${t.unfit}`);
      this.#tasks.set(name, t);
    }
    this.#owner = this.#o.owner;
    await this.#enter(this.#o.mode ?? "off");
  }

  /** @internal */
  fail(e: unknown): void {
    (this as { error: string }).error = text(e);
    this.#current = "off";
  }

  /** The present mode: off under Global Privacy Control, whatever was asked for. */
  get mode(): Mode {
    return this.#current;
  }

  /** Whether what waits outlives the page. */
  get durable(): boolean {
    return this.#box?.store.durable ?? false;
  }

  /** Changes the mode when the person changes their mind. It returns an error's text, "" on success; after an error the client is off. */
  async setMode(mode: Mode): Promise<string> {
    if (this.error || this.#closed) return this.error || "closed";
    const change = this.#entering.then(() => this.#enter(mode));
    this.#entering = change.catch(() => {});
    try {
      await change;
      return "";
    } catch (e) {
      this.#current = "off";
      return text(e);
    }
  }

  async #enter(asked: Mode): Promise<void> {
    if (!(asked in ranks)) throw new Error(`mode ${asked}: want off, local or on`);
    const mode = privacyControl() ? "off" : asked;
    this.#endSending();
    this.#current = "off";
    this.#box ??= await this.#store(mode !== "off");
    if (this.#box) {
      await this.#box.run((s) => this.#settle(s, mode));
      if (mode === "on" && !this.#closed) this.#schedule(0);
    }
    this.#current = mode;
  }

  async #store(make: boolean): Promise<Box | undefined> {
    let store: Store | undefined;
    const name = this.#o.name ?? "shoal";
    if (!this.#o.memory) {
      try {
        store = await indexedStore(name, make);
        if (!store) return undefined;
      } catch {
        // No storage: a private window, a policy, or Node.js.
      }
    }
    if (!store && !make) return undefined;
    const limits = { maxEntries: this.#o.maxEntries ?? 10_000, maxBytes: this.#o.maxBytes ?? 16 << 20 };
    return new Box(store ?? memoryStore(), limits, this.#random, this.#now);
  }

  /** Makes the outbox what the mode asks for. */
  #settle(s: Session, mode: Mode): void {
    const mine = (e: { owner: string }): boolean => e.owner === this.#owner;
    s.set({ mode });
    if (mode === "on") {
      s.leave((e) => mine(e) && !this.#tasks.get(e.metric)?.aggregation?.hidden);
      for (const [metric, t] of this.#tasks) {
        if (!t.aggregation?.hidden || t.expires * 1000 <= this.#now()) continue;
        s.enrol({ task: base64(t.id), owner: this.#owner, metric, since: this.#now() }, base64(t.signed));
      }
      return;
    }
    s.leave(mine);
    for (const e of s.entries()) {
      if (!mine(e)) continue;
      if (mode === "off") s.remove(e, "withdrawn");
      else if (e.stage !== "held") s.amend(e, { stage: "held", report: "" });
    }
  }

  /** Notes that something happened, for a metric of type count. */
  count(metric: string): Promise<Outcome> {
    return this.add(metric, 1);
  }

  /** Adds a whole number, not negative, to a metric of type sum or count. */
  add(metric: string, n: number | bigint): Promise<Outcome> {
    return this.#gather(metric, (t, tally) => add(t.aggregation!, tally, n));
  }

  /** Notes a value of a metric of type mean, histogram or multihot: a number, a string, or a list of strings. */
  observe(metric: string, value: number | bigint | string | string[]): Promise<Outcome> {
    return this.#gather(metric, (t, tally) => observe(t.aggregation!, tally, value, this.#random));
  }

  /** Adds a vector of whole numbers, not negative, to a metric of type vector. */
  vector(metric: string, values: ArrayLike<number | bigint>): Promise<Outcome> {
    return this.#gather(metric, (t, tally) => vector(t.aggregation!, tally, values));
  }

  /** Puts a record in the outbox, for a metric of the method crowd. Whatever the task's schema does not name stays behind. */
  record(metric: string, record: Record<string, unknown>): Promise<Outcome> {
    return this.#outcome(metric, async (box) => {
      const { task: t, epoch, now } = this.#admit(metric);
      if (!t.crowd) reject("invalid", `${metric} takes no records`);
      let fragments;
      try {
        fragments = encodeRecord(t.crowd!, record, this.#random);
      } catch (e) {
        return reject("invalid", text(e));
      }
      if (!fragments.length) reject("nothing", "too short for a report");
      const { saltEpochs } = t.crowd!.crowd;
      const window = Math.floor(epoch / saltEpochs);
      const held = this.#current === "local";
      const additions = await Promise.all(fragments.map(async (f): Promise<Addition> => {
        const tag = f.crowd ? await crowdTag(t.id, window, f.crowd) : new Uint8Array(16);
        return {
          ...this.#addition(t, epoch, now, held), crowd: f.crowd ? base64(f.crowd) : "",
          start: startOf(t, window * saltEpochs), end: startOf(t, (window + 1) * saltEpochs),
          record: JSON.stringify({ tag: base64(tag), payload: base64(f.payload) }), recorded: f.recorded, encoded: f.encoded,
        };
      }));
      const verdicts = await box.run(async (s) => {
        this.#agree(s, held);
        const out: Verdict[] = [];
        for (const a of additions) out.push(await s.add(a));
        return out;
      });
      const reports = verdicts.filter((v) => v === "accepted").length;
      return reports ? { status: "queued", reports, clipped: false } : reject(verdicts[0] as Status, verdicts[0]!);
    });
  }

  #gather(metric: string, put: (t: Task, tally: Tally) => void): Promise<Outcome> {
    return this.#outcome(metric, async (box) => {
      const { task: t, epoch, now } = this.#admit(metric);
      if (!t.aggregation) reject("invalid", `${metric} takes records`);
      const held = this.#current === "local";
      const blank = this.#gathering(t, epoch, now, held);
      let clipped = false;
      const verdict = await box.run((s): Verdict | Promise<Verdict> => {
        this.#agree(s, held);
        const found = s.amendable(base64(t.id), epoch, held);
        const g = JSON.parse((found ?? blank).record) as Gathered;
        const before = g.tally.clipped;
        try {
          put(t, g.tally);
        } catch (e) {
          return reject("invalid", text(e));
        }
        clipped = g.tally.clipped > before;
        const change = { record: JSON.stringify(g), recorded: describeTally(t.aggregation!, g.tally) };
        if (!found) return s.add({ ...blank, ...change });
        s.amend(found, change);
        return "accepted";
      });
      if (verdict !== "accepted") reject(verdict, verdict);
      return { status: "queued", reports: 1, clipped };
    });
  }

  /** The empty report of an aggregate task and epoch. */
  #gathering(t: Task, epoch: number, now: number, held: boolean): Addition {
    const g: Gathered = { id: base64(this.#random(16)), tally: emptyTally(t.aggregation!) };
    const end = startOf(t, epoch + 1);
    return {
      ...this.#addition(t, epoch, now, held), crowd: "aggregate", start: startOf(t, epoch), end,
      record: JSON.stringify(g), recorded: describeTally(t.aggregation!, g.tally), from: end, keeps: true,
      encoded: "two shares of it: random numbers, each by itself",
    };
  }

  #addition(t: Task, epoch: number, now: number, held: boolean): Omit<Addition, "record" | "recorded" | "encoded" | "crowd" | "start" | "end"> {
    return {
      task: base64(t.id), signed: base64(t.signed), owner: this.#owner, metric: t.metric, destination: t.hops[0]!.url, epoch, at: now, held,
      // The skew on top is for clocks that differ, not for us to use up.
      sendBy: closes(t, epoch) - t.clockSkew * 1000, notAfter: closes(t, epoch), from: PRIVATE && t.relay ? startOf(t, epoch + 1) : now, maxDelay: t.maxDelay * 1000, keeps: false,
      perEpoch: t.crowd?.perEpoch ?? 1, perCrowd: t.crowd?.perCrowd ?? 1,
    };
  }

  /** The task of a name and the moment; throws why nothing is recorded now. */
  #admit(metric: string): { task: Task; epoch: number; now: number } {
    const t = this.#tasks.get(metric) ?? reject("unknown_metric", `${metric} was not opened`);
    const now = this.#now();
    // Of a task with a relay by its minute, if that is known: otherwise the report waits for it before it leaves.
    const epoch = epochAt(t, PRIVATE && t.relay ? wayOf(this.#uploader, t).known() ?? now : now);
    if (!covers(t, epoch)) {
      if (epoch * t.epochSeconds < t.notBefore) reject("not_yet", `${metric} has not begun`);
      reject("expired", `${metric} has expired`);
    }
    return { task: t, epoch, now };
  }

  /** Holds the latest decision of any tab above what this one was opened with. */
  #agree(s: Session, held: boolean): void {
    const { mode } = s.meta;
    if (ranks[mode]! < ranks[this.#current]!) {
      this.#endSending();
      this.#current = mode as Mode;
    }
    if (this.#current === "off" || (this.#current === "local") !== held) reject("turned_off", "telemetry is off");
  }

  async #outcome(metric: string, f: (box: Box) => Promise<Outcome>): Promise<Outcome> {
    let out: Outcome;
    try {
      if (this.#closed) reject("closed", "closed");
      await this.#entering;
      if (this.error) reject("turned_off", this.error);
      if (!this.#tasks.has(metric)) this.#admit(metric);
      const box = this.#box;
      if (!box || this.#current === "off") reject("turned_off", privacyControl() ? "Global Privacy Control" : "telemetry is off");
      out = await f(box!);
      this.#wake();
    } catch (e) {
      const full = e instanceof DOMException && e.name === "QuotaExceededError";
      out = { status: e instanceof Failure ? e.status : full ? "full" : "failed", reports: 0, clipped: false, error: text(e) };
    }
    try {
      this.#o.observe?.(metric, out);
    } catch {
      // The page's affair.
    }
    return out;
  }

  async #safely<T>(otherwise: T, f: (box: Box) => Promise<T>): Promise<T> {
    try {
      await this.#entering;
      return this.#box && !this.#closed ? await f(this.#box) : otherwise;
    } catch {
      return otherwise;
    }
  }

  /** What waits in the outbox, by the time it is sent. */
  pending(): Promise<Waiting[]> {
    return this.#safely([], (box) => box.run((s) => s.entries().map(waiting)));
  }

  /** Removes from the outbox what match holds for, and returns how many reports that was. They stay counted against the caps. */
  drop(match: (w: Waiting) => boolean = () => true): Promise<number> {
    return this.#safely(0, (box) => box.run((s) => {
      const gone = s.entries().filter((e) => match(waiting(e)));
      for (const e of gone) s.remove(e, "withdrawn");
      return gone.length;
    }));
  }

  /** The figures of the outbox; nothing in them identifies anybody. */
  stats(): Promise<Stats> {
    const none: Stats = { waiting: 0, sealed: 0, held: 0, bytes: 0, sent: 0, dropped: {} };
    return this.#safely(none, (box) => box.run((s) => {
      const { bytes, sent, dropped } = s.meta;
      const out = { ...none, bytes, sent, dropped };
      for (const e of s.entries()) out[e.stage]++;
      return out;
    }));
  }

  /** Ends recording and sending. What was queued stays for the next page; nothing is sent now. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endSending();
    this.#current = "off";
    await this.#entering;
    await this.#sending?.catch(() => {});
    this.#box?.store.close();
  }

  #endSending(): void {
    this.#aborts.abort();
    this.#aborts = new AbortController();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(delay: number): void {
    if (this.#o.noSender) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const pass = await this.sendDue();
      if (this.#current === "on" && !this.#closed) this.#schedule(Math.min(poll, Math.max(0, pass.next - this.#now())));
    }, delay);
    (this.#timer as { unref?: () => void }).unref?.(); // in Node.js
  }

  #wake(): void {
    if (this.#current === "on" && !this.#closed && !this.#sending) this.#schedule(1000);
  }

  /**
   * Sends what is due by the clock, and returns when to call it again: for pages with
   * noSender. It sends nothing before its time, and nothing unless the mode is on.
   */
  async sendDue(): Promise<Pass> {
    const idle = begin(this.#now() + poll);
    await this.#entering;
    const box = this.#box;
    if (!box || this.#closed || this.#current !== "on") return idle;
    const { signal } = this.#aborts;
    this.#sending ??= box.store.lock("send", false, () => this.#pass(box, signal))
      .catch((e) => ({ ...idle, error: text(e) })).then((p) => p ?? idle)
      .finally(() => {
        this.#sending = undefined;
        this.#uploader.rest();
      });
    return this.#sending;
  }

  async #pass(box: Box, signal: AbortSignal): Promise<Pass> {
    const p = begin(Infinity);
    try {
      await this.#hidePresence(box);
    } catch (e) {
      p.error = text(e); // what can be sent is sent all the same
    }
    const now = this.#now();
    const due = await box.run((s) => {
      this.#agree(s, false);
      return s.due(now);
    });
    const down = new Set<string>();
    for (const e of due) {
      if (signal.aborted) break;
      await this.#sendOne(box, e.id, now, p, down, signal);
    }
    p.next = await box.run((s) => s.next());
    return p;
  }

  async #sendOne(box: Box, id: number, now: number, p: Pass, down: Set<string>, signal: AbortSignal): Promise<void> {
    const [e, signed] = await box.run((s) => [s.entry(id), s.task(s.entry(id)?.task ?? "")]);
    if (!e || e.stage === "held") return;
    const where = `to ${e.destination}`;
    if (down.has(where) || down.has(e.task)) return box.run((s) => s.postpone(id, now, false));
    let failed = e.task;
    try {
      const t = await this.#taskOf(e, signed ?? "");
      const sealed = e.stage === "sealed" ? e : await this.#sealed(box, e, t, signal);
      if (!sealed) return;
      failed = where;
      await this.#uploader.send(sealed, t, signal);
      p.sent++;
      await box.run((s) => s.remove(s.entry(id)));
    } catch (err) {
      if (signal.aborted) return;
      p.error = text(err);
      if (err instanceof Refused) {
        p.refused++;
        return box.run((s) => s.remove(s.entry(id), err.cause));
      }
      if (err instanceof Stale) {
        const again = await box.run((s) => {
          const now = s.entry(id);
          if (now?.stage === "sealed" && now.keeps && !now.resealed) return s.amend(now, { stage: "waiting", report: "", resealed: true }), true;
          s.remove(now, "outdated");
          return false;
        });
        if (!again) return;
      }
      down.add(failed);
      await box.run((s) => s.postpone(id, now, true));
    }
  }

  /** The entry with its sealed bytes, which are stored before the first of them leaves; undefined if it was changed meanwhile. */
  async #sealed(box: Box, e: Entry, t: Task, signal: AbortSignal): Promise<Entry | undefined> {
    const r = JSON.parse(e.record) as Gathered & { tag: string; payload: string };
    const job = t.aggregation ? { id: r.id, bits: measurement(t.aggregation, r.tally, this.#random) } : r;
    const report = base64(await this.#uploader.seal(e, t, job, signal));
    return box.run((s) => {
      const now = s.entry(e.id);
      if (now?.stage === "waiting" && now.record === e.record) s.amend(now, { stage: "sealed", report, record: now.keeps ? now.record : "" });
      const after = s.entry(e.id);
      return after?.stage === "sealed" ? after : undefined;
    });
  }

  /** The task of an entry, checked once more: it may be one of an earlier bundle. */
  async #taskOf(e: { task: string; owner: string }, signed: string): Promise<Task> {
    let t = this.#opened.get(e.task) ?? [...this.#tasks.values()].find((x) => base64(x.id) === e.task);
    if (!t) {
      t = await openSigned(fromBase64(signed), parseOwner(e.owner));
      if (base64(t.id) !== e.task || t.unfit) throw new Error(`task ${t.metric}: ${t.unfit || "another ID"}`);
    }
    this.#opened.set(e.task, t);
    return t;
  }

  /**
   * Adds a report for each epoch since the enrolment that has none and whose reports
   * can still be sent: whether the page had anything to say must not show.
   */
  async #hidePresence(box: Box): Promise<void> {
    const now = this.#now();
    const enrolled = await box.run((s) => s.meta.enrolled.filter((e) => e.owner === this.#owner).map((e) => ({ ...e, signed: s.task(e.task) ?? "" })));
    for (const e of enrolled) {
      const t = await this.#taskOf(e, e.signed);
      const present = epochAt(t, now);
      const late = Math.floor(t.maxDelay / t.epochSeconds) + 1;
      const first = now < e.since ? present : Math.max(present - Math.min(late, present), epochAt(t, e.since));
      for (let epoch = first; epoch <= present; epoch++) {
        if (!covers(t, epoch) || closes(t, epoch) - t.clockSkew * 1000 <= now) continue;
        const blank = this.#gathering(t, epoch, now, false);
        await box.run(async (s) => {
          this.#agree(s, false);
          if (await s.add(blank) === "full") throw new Error("full");
        });
      }
      if (present >= Math.floor(t.expires / t.epochSeconds)) await box.run((s) => s.leave((o) => o.task === e.task));
    }
  }
}

const waiting = (e: Entry): Waiting => ({
  id: e.id, metric: e.metric, destination: e.destination, stage: e.stage,
  recordedAt: new Date(e.at), sendAt: new Date(e.notBefore), dropAt: new Date(e.notAfter), recorded: e.recorded, encoded: e.encoded,
});

/** Whether the person's browser asks for Global Privacy Control. */
const privacyControl = (): boolean => (globalThis.navigator as { globalPrivacyControl?: boolean } | undefined)?.globalPrivacyControl === true;

export type { Bytes, Stage, Stats };
