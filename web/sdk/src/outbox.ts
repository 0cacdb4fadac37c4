// The queue between the page and the network: what is recorded waits here, visible,
// for a random time. The Go twin is package outbox.

import { type Random, base64, below, fromBase64, utf8 } from "./bytes.js";
import { mac } from "./hpke.js";
import type { Store } from "./store.js";

/** Where a report is on its way. */
export type Stage = "waiting" | "sealed" | "held";

/** A report on its way. Times are in Unix milliseconds; record and report hold bytes in base64url. */
export interface Entry {
  id: number;
  task: string;
  owner: string;
  metric: string;
  destination: string;
  epoch: number;
  stage: Stage;
  at: number;
  notBefore: number; // when it is sent, or tried again
  sendBy: number; // no send is planned for later
  notAfter: number; // dropped then
  attempts: number;
  keeps: boolean; // the record stays when it is sealed, so that it can be sealed once more
  resealed: boolean;
  record: string;
  recorded: string; // for people: what the page recorded
  encoded: string; // for people: what leaves the device, inside the encryption
  report: string; // the sealed bytes
}

/** One report that is to be added. */
export type Addition = Pick<Entry, "task" | "owner" | "metric" | "destination" | "epoch" | "at" | "sendBy" | "notAfter" | "keeps" | "record" | "recorded" | "encoded"> & {
  held: boolean;
  signed: string; // the signed task
  crowd: string;
  start: number; // of the period in which caps count
  end: number;
  perEpoch: number;
  perCrowd: number;
  from: number; // earliest time of a send
  maxDelay: number;
};

/** What a report counts against: a crowd of an owner and metric in a period. */
export interface Charge {
  scope: string;
  crowd: string;
  start: number;
  end: number;
  n?: number;
}

/** That this device takes part in a task of which it sends reports whatever there is to say. */
export interface Enrolment {
  task: string;
  owner: string;
  metric: string;
  since: number;
}

export type Verdict = "accepted" | "cap_reached" | "full" | "expired";

/** The figures of an outbox. */
export interface Stats {
  /** Reports that wait for their time. */
  waiting: number;
  /** Reports that wait to be sent once more. */
  sealed: number;
  /** Reports of the mode local, which are not sent. */
  held: number;
  /** What all of them take. */
  bytes: number;
  /** Reports that parties have taken. */
  sent: number;
  /** Reports that were dropped, by cause. */
  dropped: Record<string, number>;
}

interface Meta {
  next: number;
  bytes: number;
  sent: number;
  dropped: Record<string, number>;
  charges: Charge[];
  horizon: Record<string, number>; // the latest end of a forgotten period, by scope
  frozen: number; // when a loss was found
  enrolled: Enrolment[];
  mode: string; // the latest decision in any tab
  salt: string; // of the hashes by which crowds are remembered
}

export interface Limits {
  maxEntries: number;
  maxBytes: number;
}

const minute = 60_000;
const late = 5 * minute; // an entry that is overdue by more gets a new time
const spread = 60 * minute;
const maxBackoff = 120 * minute;

const size = (e: Entry): number => 256 + e.record.length + e.recorded.length + e.encoded.length + e.report.length;

/** A time drawn uniformly from a range, its begin if it is empty. */
export const draw = (from: number, to: number, random: Random): number => {
  const span = Math.floor(to) - Math.floor(from);
  return Math.floor(from) + (span > 0 ? Number(below(BigInt(span) + 1n, random)) : 0);
};

/** One operation on the locked and current state. */
export class Session {
  readonly changes = new Map<string, unknown>();

  #records: Map<string, unknown>;
  #limits: Limits;
  #random: Random;

  constructor(records: Map<string, unknown>, limits: Limits, random: Random) {
    this.#records = records;
    this.#limits = limits;
    this.#random = random;
  }

  #put(key: string, v: unknown): void {
    if (v === undefined) this.#records.delete(key);
    else this.#records.set(key, v);
    this.changes.set(key, v);
  }

  /** The figures, to read. */
  get meta(): Meta {
    return this.#records.get("m") as Meta | undefined ??
      { next: 1, bytes: 0, sent: 0, dropped: {}, charges: [], horizon: {}, frozen: 0, enrolled: [], mode: "off", salt: "" };
  }

  /** A hash that only this outbox can make. */
  async tag(...of: unknown[]): Promise<string> {
    if (!this.meta.salt) this.set({ salt: base64(this.#random(32)) });
    return base64((await mac(fromBase64(this.meta.salt), utf8(JSON.stringify(of)))).subarray(0, 16));
  }

  set(m: Partial<Meta>): void {
    this.#put("m", { ...this.meta, ...m });
  }

  entry(id: number): Entry | undefined {
    return this.#records.get(`e${id}`) as Entry | undefined;
  }

  entries(): Entry[] {
    const out: Entry[] = [];
    for (const [k, v] of this.#records) if (k[0] === "e") out.push(v as Entry);
    return out.sort((a, b) => a.notBefore - b.notBefore || a.id - b.id);
  }

  task(id: string): string | undefined {
    return this.#records.get(`t${id}`) as string | undefined;
  }

  #keepTask(id: string, signed: string): void {
    if (this.task(id) !== signed) this.#put(`t${id}`, signed);
  }

  #forgetTask(id: string): void {
    const used = this.entries().some((o) => o.task === id) || this.meta.enrolled.some((o) => o.task === id);
    if (!used) this.#put(`t${id}`, undefined);
  }

  /** Remembers an enrolment. Of an owner and metric there is one; the earlier begin stays. */
  enrol(e: Enrolment, signed: string): void {
    const same = (o: Enrolment): boolean => o.owner === e.owner && o.metric === e.metric;
    const old = this.meta.enrolled.find(same);
    this.#keepTask(e.task, signed);
    if (old?.task === e.task) return;
    this.set({ enrolled: [...this.meta.enrolled.filter((o) => !same(o)), { ...e, since: Math.min(e.since, old?.since ?? e.since) }] });
    if (old) this.#forgetTask(old.task);
  }

  /** Forgets enrolments. Entries of theirs stay. */
  leave(match: (e: Enrolment) => boolean): void {
    const gone = this.meta.enrolled.filter(match);
    if (!gone.length) return;
    this.set({ enrolled: this.meta.enrolled.filter((e) => !match(e)) });
    for (const e of gone) this.#forgetTask(e.task);
  }

  #save(e: Entry): void {
    const old = this.entry(e.id);
    this.set({ bytes: this.meta.bytes + size(e) - (old ? size(old) : 0) });
    this.#put(`e${e.id}`, e);
  }

  /** Removes an entry: as sent without a cause, else as dropped. */
  remove(e: Entry | undefined, cause = ""): void {
    if (!e || !this.entry(e.id)) return;
    const m = this.meta;
    this.#put(`e${e.id}`, undefined);
    this.set({ bytes: m.bytes - size(e) });
    if (cause) this.set({ dropped: { ...m.dropped, [cause]: (m.dropped[cause] ?? 0) + 1 } });
    else this.set({ sent: m.sent + 1 });
    this.#forgetTask(e.task);
  }

  /** What was lost may have used any cap: the running periods take nothing more. Entries that cannot be read are gone. */
  lost(now: number): void {
    for (const [k, v] of [...this.#records]) {
      if (v !== undefined) continue;
      this.#put(k, undefined);
      if (k[0] === "e") this.set({ dropped: { ...this.meta.dropped, damaged: (this.meta.dropped.damaged ?? 0) + 1 } });
    }
    const left = this.entries();
    this.set({
      frozen: Math.max(this.meta.frozen, now),
      enrolled: [],
      next: Math.max(this.meta.next, ...left.map((e) => e.id + 1)),
      bytes: left.reduce((n, e) => n + size(e), 0),
    });
    for (const e of left) if (!this.task(e.task)) this.remove(e, "damaged");
  }

  #allow(to: Charge, perEpoch: number, perCrowd: number): boolean {
    const { horizon, frozen, charges } = this.meta;
    if (to.start < (horizon[to.scope] ?? 0) || (frozen && to.start <= frozen)) return false;
    let epoch = 0, crowd = 0;
    for (const c of charges) {
      if (c.scope !== to.scope || c.start >= to.end || to.start >= c.end) continue;
      epoch += c.n!;
      if (c.crowd === to.crowd) crowd += c.n!;
    }
    return epoch < perEpoch && crowd < perCrowd;
  }

  /** Judges a report, and takes it if it may. */
  async add(a: Addition): Promise<Verdict> {
    this.sweep(a.at);
    if (a.notAfter <= a.at) return "expired";
    const { held, signed, crowd, start, end, perEpoch, perCrowd, from, maxDelay, ...rest } = a;
    const of = [a.owner, a.metric, held];
    const charge: Charge = { scope: await this.tag(of), crowd: await this.tag(of, crowd), start, end };
    if (!this.#allow(charge, perEpoch, perCrowd)) return "cap_reached";
    const m = this.meta;
    const e: Entry = { ...rest, id: m.next, stage: held ? "held" : "waiting", notBefore: 0, attempts: 0, resealed: false, report: "" };
    if (this.entries().length >= this.#limits.maxEntries || m.bytes + size(e) + 96 * (m.charges.length + 1) > this.#limits.maxBytes) return "full";
    e.notBefore = draw(from, Math.min(from + maxDelay, a.sendBy), this.#random);
    this.#keepTask(a.task, signed);
    const same = (c: Charge): boolean => c.scope === charge.scope && c.crowd === charge.crowd && c.start === charge.start && c.end === charge.end;
    const n = m.charges.find(same)?.n ?? 0;
    this.set({ next: e.id + 1, charges: [...m.charges.filter((c) => !same(c)), { ...charge, n: n + 1 }] });
    this.#save(e);
    return "accepted";
  }

  /** The entry of a task and epoch that can still be changed. */
  amendable(task: string, epoch: number, held: boolean): Entry | undefined {
    return this.entries().find((e) => e.task === task && e.epoch === epoch && (e.stage === "held") === held && e.stage !== "sealed" && !e.resealed);
  }

  amend(e: Entry, change: Partial<Entry>): void {
    this.#save({ ...e, ...change });
  }

  /** Drops what has expired and forgets the caps of periods that are over. */
  sweep(now: number): void {
    for (const e of this.entries()) if (e.notAfter <= now) this.remove(e, e.stage === "held" ? "unsent" : "expired");
    const { charges, horizon } = this.meta;
    const over = charges.filter((c) => c.end <= now);
    if (!over.length) return;
    const next = { ...horizon };
    for (const c of over) next[c.scope] = Math.max(next[c.scope] ?? 0, c.end);
    this.set({ charges: charges.filter((c) => c.end > now), horizon: next });
  }

  /** What is to be sent now, in the order of its times; what is long overdue gets a new time instead. */
  due(now: number): Entry[] {
    this.sweep(now);
    const due = this.entries().filter((e) => e.stage !== "held" && e.notBefore <= now);
    return due.filter((e) => {
      if (now - e.notBefore <= late) return true;
      this.amend(e, { notBefore: draw(now, Math.min(now + spread, e.sendBy), this.#random) });
      return false;
    });
  }

  /** The earliest planned time, Infinity without one. */
  next(): number {
    return this.entries().find((e) => e.stage !== "held")?.notBefore ?? Infinity;
  }

  /** Gives an entry the time of its next attempt. */
  postpone(id: number, now: number, tried: boolean): void {
    const e = this.entry(id);
    if (!e) return;
    const attempts = e.attempts + +tried;
    const wait = Math.min(maxBackoff, minute * 2 ** Math.max(0, attempts - 1));
    let at = draw(now + wait / 2, now + wait * 1.5, this.#random);
    if (at > e.sendBy && e.sendBy - now > minute) at = draw(now + minute / 2, e.sendBy, this.#random);
    this.amend(e, { notBefore: at, attempts });
  }
}

interface Pending {
  f: (s: Session) => unknown;
  resolve: (v: never) => void;
  reject: (e: unknown) => void;
}

/** An outbox. Operations that come together are committed together. */
export class Box {
  #rev = -1;
  #records = new Map<string, unknown>();
  #pending: Pending[] = [];
  #running = false;

  #limits: Limits;
  #random: Random;
  #now: () => number;

  constructor(readonly store: Store, limits: Limits, random: Random, now: () => number) {
    this.#limits = limits;
    this.#random = random;
    this.#now = now;
  }

  /** Runs f on the current state and makes its changes durable; f must change nothing before it throws. */
  run<T>(f: (s: Session) => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#pending.push({ f, resolve, reject });
      if (!this.#running) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#running = true;
    await undefined; // calls of one turn share a commit
    while (this.#pending.length) {
      const batch = this.#pending.splice(0);
      try {
        await this.store.lock("state", true, () => this.#commit(batch));
      } catch (e) {
        this.#rev = -1; // to be read again
        for (const p of batch) p.reject(e);
      }
    }
    this.#running = false;
  }

  async #commit(batch: Pending[]): Promise<void> {
    const loaded = await this.store.load(this.#rev);
    if (loaded) ({ rev: this.#rev, records: this.#records } = loaded);
    const s = new Session(this.#records, this.#limits, this.#random);
    if (loaded?.lost) s.lost(this.#now());
    const ends: (() => void)[] = [];
    for (const p of batch) {
      try {
        const out = await p.f(s);
        ends.push(() => p.resolve(out as never));
      } catch (e) {
        ends.push(() => p.reject(e));
      }
    }
    if (s.changes.size) {
      await this.store.write(this.#rev + 1, s.changes);
      this.#rev++;
    }
    for (const end of ends) end();
  }
}
