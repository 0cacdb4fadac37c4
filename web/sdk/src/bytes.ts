/** Bytes that WebCrypto takes. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Returns n random bytes. */
export type Random = (n: number) => Bytes;

/** Of the browser; at most 65,536 bytes a call. */
export const random: Random = (n) => crypto.getRandomValues(new Uint8Array(n));

export const utf8 = (s: string): Bytes => new TextEncoder().encode(s) as Bytes;

export function concat(...parts: ArrayLike<number>[]): Bytes {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** The n bytes of a number, big endian; of a negative one its two's complement. */
export function uint(v: number | bigint, n: number): Bytes {
  const out = new Uint8Array(n);
  for (let i = n, x = BigInt(v); i--; x >>= 8n) out[i] = Number(x & 255n);
  return out;
}

/** Bytes after their length, which has n bytes. */
export const opaque = (b: Uint8Array, n: number): Bytes => concat(uint(b.length, n), b);

export const toNumber = (b: Uint8Array): bigint => b.reduce((v, x) => (v << 8n) | BigInt(x), 0n);

export const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((x, i) => x === b[i]);

/** Unpadded base64url. */
export function base64(b: Uint8Array): string {
  let s = "";
  for (const x of b) s += String.fromCharCode(x);
  return btoa(s).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

export function fromBase64(s: string): Bytes {
  const out = Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  if (base64(out) !== s) throw new RangeError("not unpadded base64url");
  return out;
}

/** A uniform number below n. Rejected are the greatest numbers, those that would favour some remainders. */
export function below(n: bigint, random: Random): bigint {
  const most = (1n << 64n) - ((1n << 64n) % n);
  for (;;) {
    const x = toNumber(random(8));
    if (x < most) return x % n;
  }
}

/** Reads fields off bytes. It throws where they end early. */
export class Reader {
  #b: Bytes;

  constructor(b: Bytes) {
    this.#b = b;
  }

  get empty(): boolean {
    return this.#b.length === 0;
  }

  take(n: number): Bytes {
    if (n > this.#b.length) throw new RangeError("malformed bytes");
    const out = this.#b.slice(0, n);
    this.#b = this.#b.subarray(n);
    return out;
  }

  big(n: number): bigint {
    return toNumber(this.take(n));
  }

  num(n: number): number {
    return Number(this.big(n));
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.big(8));
  }

  /** Bytes after their length, which has n bytes. */
  opaque(n: number): Bytes {
    return this.take(this.num(n));
  }

  text(n: number): string {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.opaque(n));
  }

  /** The elements of a list after its length, which has n bytes. */
  list<T>(n: number, element: (r: Reader) => T): T[] {
    const r = new Reader(this.opaque(n));
    const out: T[] = [];
    while (!r.empty) out.push(element(r));
    return out;
  }

  end(): void {
    if (!this.empty) throw new RangeError("malformed bytes");
  }
}
