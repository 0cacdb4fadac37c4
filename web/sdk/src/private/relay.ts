// How reports of tasks with a relay reach the parties: by Oblivious HTTP through the
// relay, and through nothing else. Keys are those that both the party and the relay have
// signed for the period, the same for all clients; epochs and periods go by a minute that
// the first party has signed, never by the device's clock. Whatever fails makes a report
// wait. The Go twin is package internal/relay.

import { type Bytes, Reader, base64, concat, equal, opaque, utf8 } from "../bytes.js";
import type { HpkeConfig } from "../dap.js";
import { type Key, type Party, type Task, Role, chooseConfig, closes, openKeys, sha256, startOf, verify } from "../task.js";
import { Refused, body, typeOf } from "../uploader.js";
import { decodeResponse, encodeRequest, field, pad } from "./bhttp.js";
import { type Gateway, answerGrowth, chooseKey, encapsulate } from "./ohttp.js";

/** Makes one request to an URL: a GET, or with an upload a POST. */
export type Requester = (url: string, signal: AbortSignal, upload?: { type: string; report: Bytes }) => Promise<Response>;

const period = 86_400; // seconds for which keys are the same for all
const minute = 60_000, hour = 60 * minute;

/** The lengths on which clients, relays and gateways agree: of requests, and of their answers. */
const sizes: [request: number, answer: number][] = [
  [1 << 10, 1 << 10], [3 << 10, 8 << 10], [4 << 10, 1 << 10], [16 << 10, 1 << 10], [64 << 10, 1 << 10], [256 << 10, 1 << 10], [1 << 20, 1 << 10],
];

/** Problems by which a gateway answers in the place of its party. */
const gatewayProblem = /^urn:shoal:problem:(innerMalformed|messageSize|expectation|misdirected|requestIDReused|noAnswer|timeout|answerSize)$/;

const names: Record<number, string> = { [Role.Shuffler]: "shuffler", [Role.Analyzer]: "analyzer", [Role.Leader]: "leader", [Role.Helper]: "helper" };

const hex = (b: Bytes): string => Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");

/** The start of the minute that a party has signed, in milliseconds. */
async function openMinute(signed: Bytes, party: Bytes): Promise<number> {
  const r = new Reader(signed);
  const head = r.take(41);
  const sig = r.take(64);
  r.end();
  const m = new Reader(head);
  if (m.num(1) !== 1 || !equal(m.take(32), party) || !(await verify(party, "shoal minute v1", head, sig))) {
    throw new Error("the relay's minute is not signed by the first party");
  }
  return m.num(8) * minute;
}

/** The keys of a party for a purpose and period, if party and relay have signed them. */
export async function openWitnessed(b: Bytes, witness: Bytes, party: Bytes, purpose: string, start: number, length: number): Promise<Bytes> {
  const fail = (why: string): Error => new Error(`keys for ${purpose}: ${why}`);
  const r = new Reader(b);
  const signed = r.opaque(3);
  const countersignature = r.take(64);
  r.end();
  if (equal(witness, party) || !(await verify(witness, "shoal key witness v1", await sha256(signed), countersignature))) {
    throw fail("not signed by the relay");
  }
  if (signed.length < 64) throw fail("malformed");
  const statement = signed.slice(0, -64);
  const s = new Reader(statement);
  const known = s.num(1) === 1 && equal(s.take(32), party) && s.text(1) === purpose && s.num(8) === start && s.num(8) === start + length;
  if (!known) throw fail("another party, purpose or period");
  const keys = s.opaque(2);
  s.end();
  if (!keys.length || !(await verify(party, "shoal key statement v1", statement, signed.slice(-64)))) throw fail("not signed by the party");
  return keys;
}

/** The way to the parties of tasks with one relay and first party. */
export class Way {
  #relay: Party;
  #first: Party;
  #request: Requester;
  #now: () => number;
  #minute: { at: number; taken: number } | undefined;
  #asking: Promise<number> | undefined;
  #keys = new Map<string, { start: number; keys: Promise<Bytes> }>();

  constructor(relay: Party, first: Party, request: Requester, now: () => number) {
    this.#relay = relay;
    this.#first = first;
    this.#request = request;
    this.#now = now;
  }

  /** The time by the relay, to the minute, in milliseconds, if it was asked for within the last hour. Of the device's clock only differences count. */
  known(): number | undefined {
    if (!this.#minute) return;
    const since = this.#now() - this.#minute.taken;
    return since < 0 || since > hour ? undefined : this.#minute.at + Math.floor(since / minute) * minute;
  }

  /** The same, which it asks for. */
  async now(signal: AbortSignal): Promise<number> {
    const known = this.known();
    if (known !== undefined) return known;
    this.#asking ??= this.#ask(signal).finally(() => { this.#asking = undefined; });
    return this.#asking;
  }

  async #ask(signal: AbortSignal): Promise<number> {
    const taken = this.#now();
    const signed = await this.#get(`/minute/${hex(this.#first.identity)}`, "application/shoal-minute", signal);
    const at = await openMinute(signed, this.#first.identity);
    if (at < (this.#minute?.at ?? 0)) throw new Error("the relay's minute is before its last one");
    this.#minute = { at, taken };
    return at;
  }

  async #get(path: string, type: string, signal: AbortSignal): Promise<Bytes> {
    const r = await this.#request(this.#relay.url + path, signal);
    if (r.status !== 200 || typeOf(r) !== type) throw new Error(`HTTP ${r.status} from the relay ${this.#relay.url}`);
    return body(r);
  }

  /** The keys of a party for the present period of a purpose. */
  async keys(p: Party, purpose: string, signal: AbortSignal): Promise<Bytes> {
    const start = Math.floor((await this.now(signal)) / 1000 / period) * period;
    return this.keysOf(p, purpose, start, period, signal);
  }

  /** The keys of a party for a period of a purpose, which it fetches once. */
  keysOf(p: Party, purpose: string, start: number, length: number, signal: AbortSignal): Promise<Bytes> {
    const party = base64(p.identity);
    const name = `${party} ${purpose}`;
    const found = this.#keys.get(name);
    if (found?.start === start) return found.keys;
    const keys = this.#get(`/keys/${party}/${purpose}/${start}`, "application/shoal-witnessed-keys", signal)
      .then((b) => openWitnessed(b, this.#relay.identity, p.identity, purpose, start, length));
    this.#keys.set(name, { start, keys });
    keys.catch(() => this.#keys.delete(name));
    return keys;
  }

  /** The keys to which a report of the method crowd is sealed, one a hop. */
  async hopKeys(t: Task, signal: AbortSignal): Promise<Key[]> {
    const all: Bytes[] = [];
    for (const p of t.hops) all.push(opaque(await this.keys(p, names[p.role]!, signal), 3));
    return openKeys(t, concat([1], ...all), await this.now(signal));
  }

  /** The key to which a share for a leader or helper is sealed. */
  async aggregatorKey(p: Party, signal: AbortSignal): Promise<HpkeConfig> {
    return chooseConfig(await this.keys(p, names[p.role]!, signal));
  }

  /** Throws unless a report of an epoch may be sealed and sent now: one that came too early would reveal when it was recorded, or as one too late the device's clock. */
  async timely(t: Task, epoch: number, signal: AbortSignal): Promise<void> {
    const now = await this.now(signal);
    if (now < startOf(t, epoch + 1)) throw new Error("too early by the relay's clock");
    if (now >= closes(t, epoch)) throw new Refused("expired");
  }

  /** Whether the aggregators have other keys in this period than those that an upload is sealed to. */
  async outdated(t: Task, upload: Bytes, signal: AbortSignal): Promise<boolean> {
    const r = new Reader(upload);
    r.take(26); // ID, time, no extensions
    r.opaque(4); // public share
    for (const p of t.hops.slice(0, 2)) {
      if (r.num(1) !== (await this.aggregatorKey(p, signal)).id) return true;
      r.opaque(2);
      r.opaque(4);
    }
    return false;
  }

  /**
   * Posts to a party through the relay. The answer is the party's own; all others are
   * errors. A request with the same body has the same ID, so that a party that gets it
   * twice can know. Where suffix is ".issuance" it goes to where credentials are issued.
   */
  async post(p: Party, url: string, signal: AbortSignal, upload: { type: string; report: Bytes }, suffix = ""): Promise<Response> {
    const { protocol, host, pathname } = new URL(url);
    const id = (await sha256(concat(utf8(`shoal request\0${pathname}\0`), upload.report))).subarray(0, 16);
    const message = encodeRequest({
      method: "POST", scheme: protocol.slice(0, -1), authority: host, path: pathname,
      header: [["content-type", upload.type], ["idempotency-key", `"${base64(id)}"`]], content: upload.report,
    });
    const [request, answer] = sizes.find(([n]) => message.length <= n) ?? sizes.at(-1)!;
    const gateway: Gateway = chooseKey(await this.keys(p, "gateway", signal));
    const exchange = await encapsulate(gateway, pad(message, request));
    const to = `${this.#relay.url}/gateways/${hex(p.identity)}${suffix}`;
    const r = await this.#request(to, signal, { type: "message/ohttp-req", report: exchange.message });
    if (r.status !== 200 || typeOf(r) !== "message/ohttp-res") throw new Error(`HTTP ${r.status} from the relay ${this.#relay.url}`);
    const sealed = await body(r);
    if (sealed.length !== answer + answerGrowth) throw new Error(`an answer of ${sealed.length} bytes from the relay, want ${answer + answerGrowth}`);
    return this.#own(decodeResponse(await exchange.open(sealed)));
  }

  /** The answer as fetch gives it, unless the gateway made it in the place of the party. */
  #own(m: ReturnType<typeof decodeResponse>): Response {
    const type = field(m, "content-type") ?? "";
    if (m.status >= 400 && /^application\/problem\+json/.test(type)) {
      const problem = JSON.parse(new TextDecoder().decode(m.content)) as { type?: unknown };
      if (gatewayProblem.test(String(problem.type))) throw new Error(`the gateway answers in the place of the party: HTTP ${m.status}`);
    }
    const none = [204, 205, 304].includes(m.status);
    return new Response(none ? null : m.content, { status: m.status, headers: { "content-type": type } });
  }
}

interface Source { request: Requester; now: () => number; ways: Map<string, Way> }

const sources = new WeakMap<object, Source>();

/** Gives an uploader ways through relays. */
export const openWays = (of: object, request: Requester, now: () => number): unknown => sources.set(of, { request, now, ways: new Map() });

/** The way of an uploader to the parties of a task that has a relay. Tasks with the same relay and first party share one. */
export function wayOf(of: object, t: Task): Way {
  const { request, now, ways } = sources.get(of)!;
  const relay = t.relay!, first = t.hops[0]!;
  const name = `${relay.url} ${base64(relay.identity)} ${base64(first.identity)}`;
  let way = ways.get(name);
  if (!way) ways.set(name, way = new Way(relay, first, request, now));
  return way;
}

