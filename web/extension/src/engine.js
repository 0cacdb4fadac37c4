// The discovery engine in WebAssembly: a session in memory, one call after the other.
import "./wasm_exec.js";

/** Starts the engine. fetchPage makes anonymous requests. */
export function start(fetchPage) {
  const encoder = new TextEncoder();
  const session = (async () => {
    const go = new globalThis.Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch(chrome.runtime.getURL("discovery.wasm")), go.importObject);
    go.run(instance);
    return globalThis.shoalDiscovery.open(JSON.stringify({ now: new Date().toISOString() }), {
      async fetch(url) {
        const answer = await fetchPage(url);
        return { ...answer, body: encoder.encode(answer.body) };
      },
      emit() { throw new Error("reporting is off"); },
    });
  })();
  let last = session;
  const inTurn = (f) => {
    const result = last.then(async () => JSON.parse(await f(await session)));
    last = result.catch(() => {});
    return result;
  };
  return {
    judge: (url) => inTurn((s) => s.judge(url)),
    clean: (url, shown) => inTurn((s) => s.clean(url, encoder.encode(shown ?? ""))),
  };
}
