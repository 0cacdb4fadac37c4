// The service worker of Chromium and the event page of Firefox. Listeners are
// registered at once, so that an event can wake it.
import { fetchAnonymously } from "./fetch.js";
import { start } from "./engine.js";

const offscreen = chrome.offscreen !== undefined;
let local, opening;

/** Makes the offscreen document, once, and waits until it listens. */
function ready() {
  opening ??= (async () => {
    if (!(await chrome.offscreen.hasDocument())) {
      await chrome.offscreen.createDocument({ url: "offscreen.html", reasons: ["DOM_PARSER"], justification: "The engine reads pages there." });
    }
    for (let i = 0; i < 100; i++) {
      if (await chrome.runtime.sendMessage({ to: "engine", op: "ready" }).catch(() => null)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("the engine did not start");
  })().finally(() => { opening = undefined; });
  return opening;
}

async function ask(op, url, shown) {
  if (!offscreen) {
    local ??= start(fetchAnonymously);
    return local[op](url, shown);
  }
  await ready();
  const { result, error } = await chrome.runtime.sendMessage({ to: "engine", op, url, shown });
  if (error !== undefined) throw new Error(error);
  return result;
}

/** The HTML of a tab as it is shown, if the tab still shows the address. */
async function shown(tab, url) {
  const [frame] = await chrome.scripting.executeScript({
    target: { tabId: tab },
    func: () => [location.href, document.documentElement.outerHTML],
  });
  const [at, html] = frame?.result ?? [];
  if (at !== url) throw new Error("the tab shows another page now");
  return html;
}

const operations = {
  judge: ({ url }) => ask("judge", url),
  clean: async ({ url, tab }) => ask("clean", url, tab === undefined ? "" : await shown(tab, url)),
};

chrome.runtime.onMessage.addListener((m, sender, reply) => {
  if (sender.id !== chrome.runtime.id) return false;
  if (m?.to === "fetcher" && sender.url === chrome.runtime.getURL("offscreen.html")) {
    fetchAnonymously(m.url).then((answer) => reply({ answer }), () => reply({ error: "the network failed" }));
    return true;
  }
  if (m?.to !== "background" || !sender.url?.startsWith(chrome.runtime.getURL("")) || !Object.hasOwn(operations, m.op)) return false;
  operations[m.op](m).then((result) => reply({ result }), (e) => reply({ error: e.message }));
  return true;
});

chrome.runtime.onInstalled.addListener(() => {
  chrome.contextMenus.removeAll(() => {
    for (const context of ["page", "link"]) {
      chrome.contextMenus.create({ id: context, contexts: [context], title: chrome.i18n.getMessage("menu"), documentUrlPatterns: ["http://*/*", "https://*/*"] });
    }
  });
});

chrome.contextMenus.onClicked.addListener(async (info, tab) => {
  const subject = info.linkUrl ? { url: info.linkUrl } : { url: info.pageUrl, tab: tab?.id };
  const stored = chrome.storage.session.set({ subject });
  await chrome.action.openPopup();
  await stored;
});
