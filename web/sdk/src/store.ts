// Where an outbox lies: in IndexedDB, sealed under keys that no script can read out,
// or in memory, where that cannot be had.

import { type Bytes, concat, random, utf8 } from "./bytes.js";

/** What was read: all records, and whether some that were written are lost. */
export interface Loaded {
  rev: number;
  records: Map<string, unknown>;
  lost: boolean;
}

export interface Store {
  /** Whether what is written outlives the page. */
  readonly durable: boolean;
  /** Runs f while nobody else, in any tab, holds the lock of this name. Without wait it returns undefined if somebody does. */
  lock<T>(name: string, wait: boolean, f: () => Promise<T>): Promise<T | undefined>;
  /** All records, unless rev is what they have. Called under a lock, as write is. */
  load(rev: number): Promise<Loaded | undefined>;
  /** Writes records, and deletes those that are undefined: all of them or none. */
  write(rev: number, changes: Map<string, unknown>): Promise<void>;
  close(): void;
}

/** An outbox that ends with the page. It has one Box, whose records are all there is, and nothing here fails. */
export const memoryStore = (): Store => ({
  durable: false,
  lock: (_name, _wait, f) => f(),
  load: async (rev) => (rev < 0 ? { rev: 0, records: new Map(), lost: false } : undefined),
  write: async () => {},
  close() {},
});

const done = <T>(r: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });

/**
 * The outbox of this name of the page's origin, which all its tabs share. It returns
 * undefined if it does not exist and is not to be made, and throws where the browser
 * has no storage for it.
 */
export async function indexedStore(name: string, make: boolean): Promise<Store | undefined> {
  if (!navigator.locks) throw new Error("no Web Locks");
  let db: IDBDatabase | undefined;

  async function connect(create: boolean): Promise<IDBDatabase | undefined> {
    const request = indexedDB.open(name, 1);
    let absent = false;
    request.onupgradeneeded = () => {
      absent = !create;
      if (absent) request.transaction!.abort();
      else request.result.createObjectStore("records");
    };
    try {
      const opened = await done(request);
      // Another tab deletes it, or the person clears the site's data.
      opened.onversionchange = opened.onclose = () => {
        opened.close();
        if (db === opened) db = undefined;
      };
      return opened;
    } catch (e) {
      if (absent) return undefined;
      throw e;
    }
  }

  async function transact<T>(mode: IDBTransactionMode, f: (s: IDBObjectStore) => Promise<T> | void): Promise<T | void> {
    db ??= await connect(true);
    const t = db!.transaction("records", mode, { durability: "strict" });
    const end = new Promise<void>((resolve, reject) => {
      t.oncomplete = () => resolve();
      t.onabort = () => reject(t.error);
    });
    const [out] = await Promise.all([f(t.objectStore("records")), end]);
    return out;
  }

  /** The key that seals, which is made under the lock by the first tab. */
  async function sealing(): Promise<CryptoKey> {
    const found = await transact("readonly", (s) => done(s.get("key"))) as CryptoKey | undefined;
    if (found) return found;
    const made = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    await transact("readwrite", (s) => void s.put(made, "key"));
    return made;
  }

  db = await connect(make);
  if (!db) return undefined;

  return {
    durable: true,
    lock: async (kind, wait, f) => navigator.locks.request(`${name}:${kind}`, { ifAvailable: !wait }, (held) => (held ? f() : undefined)),
    async load(rev) {
      const found = await transact("readonly", async (s) => {
        const [current, names, values] = await Promise.all([
          done(s.get("rev")) as Promise<number | undefined>, done(s.getAllKeys()), done(s.getAll()),
        ]);
        return { current: current ?? 0, names: names as string[], values };
      });
      const { current, names, values } = found!;
      if (current === rev) return undefined;
      const seal = await sealing();
      const records = new Map<string, unknown>();
      let lost = current < rev;
      for (const [i, key] of names.entries()) {
        if (key === "key" || key === "rev") continue;
        try {
          const b = values[i] as Bytes;
          const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: b.subarray(0, 12), additionalData: utf8(key) }, seal, b.subarray(12));
          records.set(key, JSON.parse(new TextDecoder().decode(plain)));
        } catch {
          lost = true;
          records.set(key, undefined);
        }
      }
      return { rev: current, records, lost };
    },
    async write(rev, changes) {
      const seal = await sealing();
      const sealed = await Promise.all([...changes].map(async ([key, v]): Promise<[string, Bytes | undefined]> => {
        if (v === undefined) return [key, undefined];
        const iv = random(12);
        const body = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: utf8(key) }, seal, utf8(JSON.stringify(v)));
        return [key, concat(iv, new Uint8Array(body))];
      }));
      await transact("readwrite", (s) => {
        for (const [key, b] of sealed) void (b ? s.put(b, key) : s.delete(key));
        s.put(rev, "rev");
      });
    },
    close() {
      db?.close();
      db = undefined;
    },
  };
}
