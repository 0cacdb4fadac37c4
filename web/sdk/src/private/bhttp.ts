// Binary HTTP (RFC 9292): requests of known length are written, responses of known and
// of indeterminate length are read.

import { type Bytes, Reader, concat, uint, utf8 } from "../bytes.js";

/** A field line; the name is in lower case. */
export type Field = [name: string, value: string];

export interface Request {
  method: string;
  scheme: string;
  authority: string;
  path: string;
  header: Field[];
  content: Uint8Array;
}

export interface Response {
  status: number;
  header: Field[];
  content: Bytes;
}

const maxFields = 64;

/** An integer of RFC 9000, section 16, in its shortest form. */
function varint(n: number): Bytes {
  const size = [1, 2, 4, 8].find((k) => n < 2 ** (8 * k - 2))!;
  const out = uint(n, size);
  out[0]! |= Math.log2(size) << 6;
  return out;
}

const sized = (b: Uint8Array): Bytes => concat(varint(b.length), b);

/** The message of a request, not padded. */
export function encodeRequest(m: Request): Bytes {
  const fields = m.header.flatMap((f) => f.map((s) => sized(utf8(s))));
  const control = [m.method, m.scheme, m.authority, m.path].map((s) => sized(utf8(s)));
  return concat([0], ...control, sized(concat(...fields)), sized(m.content), [0]);
}

/** A message with zeros behind it. */
export function pad(message: Bytes, size: number): Bytes {
  if (message.length > size) throw new RangeError(`message of ${message.length} bytes, limit ${size}`);
  return concat(message, new Uint8Array(size - message.length));
}

const fail = (why: string): never => {
  throw new RangeError(`malformed binary HTTP: ${why}`);
};

function readVarint(r: Reader): number {
  const first = r.num(1);
  const size = 2 ** (first >> 6);
  const n = BigInt(first & 63) << BigInt(8 * (size - 1)) | (size > 1 ? r.big(size - 1) : 0n);
  return n > Number.MAX_SAFE_INTEGER ? fail("length") : Number(n);
}

const latin1 = (b: Bytes): string => String.fromCharCode(...b);

/** Names that the parties of one connection alone may use (RFC 9292, section 3.6), and what ends or starts a line. */
const connection = /^(connection|keep-alive|proxy-connection|transfer-encoding|upgrade)$/;

function readField(r: Reader, name: Bytes): Field {
  const f: Field = [latin1(name), latin1(r.take(readVarint(r)))];
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(f[0]) || connection.test(f[0])) fail("field name");
  if (/[\0-\x08\n-\x1f\x7f]|^[\t ]|[\t ]$/.test(f[1])) fail("field value");
  return f;
}

/** A section of field lines: known to be n bytes long, or up to a zero. */
function readFields(r: Reader, known: boolean): Field[] {
  const out: Field[] = [];
  const from = known ? new Reader(r.take(readVarint(r))) : r;
  while (!known || !from.empty) {
    const n = readVarint(from);
    if (!known && !n) break;
    if (out.push(readField(from, from.take(n))) > maxFields) fail("too many fields");
  }
  return out;
}

function readContent(r: Reader, known: boolean): Bytes {
  if (known) return r.take(readVarint(r));
  const parts: Bytes[] = [];
  for (let n = readVarint(r); n; n = readVarint(r)) parts.push(r.take(n));
  return concat(...parts);
}

/** The final response within a message. Informational ones are passed over, a trailer is read and left out. */
export function decodeResponse(b: Bytes): Response {
  const r = new Reader(b);
  const framing = readVarint(r);
  if (framing !== 1 && framing !== 3) fail(`framing indicator ${framing}`);
  const known = framing === 1;
  let status = readVarint(r);
  for (let n = 0; status < 200; n++) {
    if (status < 100 || status === 101 || n === 8) fail(`status ${status}`);
    readFields(r, known);
    status = readVarint(r);
  }
  if (status > 599) fail(`status ${status}`);
  const m: Response = { status, header: [], content: new Uint8Array() };
  // A message may end before sections that are empty.
  if (!r.empty) m.header = readFields(r, known);
  if (!r.empty) m.content = readContent(r, known);
  const length = field(m, "content-length");
  if (length !== undefined && m.content.length && length !== String(m.content.length)) fail("content-length");
  if (!r.empty) readFields(r, known);
  while (!r.empty) if (r.num(1)) fail("padding");
  return m;
}

/** The value of the first field of a name. */
export const field = (m: Response, name: string): string | undefined => m.header.find((f) => f[0] === name)?.[1];
