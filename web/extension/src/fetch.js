// Requests of the extension's own: without cookie, referrer or cache, following no
// redirect. The browser reports by webRequest from which address the answer came.
import { connected } from "./address.js";

const maxBody = (2 << 20) + 1; // one byte more than the engine accepts
const timeout = 10_000;
const addresses = new Map();
const own = new URL(chrome.runtime.getURL("")).origin;
let last = Promise.resolve();

chrome.webRequest.onResponseStarted.addListener((d) => {
  const from = d.initiator ?? (d.originUrl && new URL(d.originUrl).origin);
  if (d.tabId !== -1 || from !== own) return;
  addresses.get(d.url)?.(d.ip ?? "");
}, { urls: ["http://*/*", "https://*/*"], types: ["xmlhttprequest"] });

/** Fetches as anybody would, one request at a time. It rejects if the network failed. */
export function fetchAnonymously(url) {
  const result = last.then(() => request(url));
  last = result.catch(() => {});
  return result;
}

async function request(url) {
  const address = new Promise((resolve) => addresses.set(url, resolve));
  try {
    const signal = AbortSignal.timeout(timeout);
    const r = await fetch(url, { credentials: "omit", redirect: "manual", referrerPolicy: "no-referrer", cache: "no-store", signal });
    const contentType = r.headers.get("content-type") ?? "";
    const robots = r.headers.get("x-robots-tag");
    const bytes = await read(r);
    return {
      status: r.status,
      address: connected(await Promise.race([address, new Promise((resolve) => setTimeout(resolve, 2_000, ""))])),
      contentType,
      robots: robots === null ? [] : [robots],
      body: decode(bytes, contentType),
    };
  } finally {
    addresses.delete(url);
  }
}

/** Reads a body up to the limit; the engine refuses what reaches it. */
async function read(response) {
  const chunks = [];
  let size = 0;
  const reader = response.body?.getReader();
  while (reader && size < maxBody) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value.subarray(0, maxBody - size));
    size += chunks.at(-1).length;
  }
  reader?.cancel().catch(() => {});
  const all = new Uint8Array(size);
  let at = 0;
  for (const c of chunks) {
    all.set(c, at);
    at += c.length;
  }
  return all;
}

/** Decodes by the header, else by what the page declares in its first bytes, else as UTF-8. */
function decode(bytes, contentType) {
  const beginning = new TextDecoder("latin1").decode(bytes.subarray(0, 1024));
  const name = /charset\s*=\s*"?([\w-]+)/i.exec(contentType)?.[1] ?? /<meta[^>]*charset\s*=\s*["']?([\w-]+)/i.exec(beginning)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(name).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}
