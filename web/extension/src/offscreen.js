// Chromium's place for the engine: it outlives the service worker, which fetches for it.
import { start } from "./engine.js";

const engine = start(async (url) => {
  const { answer, error } = await chrome.runtime.sendMessage({ to: "fetcher", url });
  if (error !== undefined) throw new Error(error);
  return answer;
});

chrome.runtime.onMessage.addListener((m, sender, reply) => {
  if (m?.to !== "engine" || sender.id !== chrome.runtime.id) return false;
  const call = m.op === "ready" ? Promise.resolve(true) : m.op === "clean" ? engine.clean(m.url, m.shown) : engine.judge(m.url);
  call.then((result) => reply({ result }), (e) => reply({ error: e.message }));
  return true;
});
