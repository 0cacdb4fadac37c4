// Drives the extension in Chromium over pages on loopback, whose names all lead there.
// Input: {extension, chromium, screenshots}. It prints one line of JSON with figures.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const puppeteer = createRequire(new URL("../../sdk/package.json", import.meta.url))("puppeteer-core");
const { extension, chromium, screenshots } = JSON.parse(readFileSync(0, "utf8"));

const story = (title, word, head = "") => `<!doctype html><html lang=en><title>${title}</title>${head}<body>` +
  Array.from({ length: 12 }, (_, i) => `<p>Part ${"abcdefghijkl"[i]} tells of ${word}${"abcdefghijkl"[i]} and of what lies behind the old bridge.</p>`).join("");
const asked = []; // every request of the site: its address and all its headers
const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://x");
  asked.push({ url: `http://${request.headers.host}${request.url}`, headers: request.headers });
  const person = /login=anna/.test(request.headers.cookie ?? "");
  const pages = {
    "/a-walk-along-the-river": story("A walk along the river", "river"),
    "/your-garden": person ? story("The garden of Anna", "anna") : story("Please choose a garden", "choice"),
    "/s/9f86d081884c7d659a2feaa0c55ad015": story("Holiday pictures", "picture"),
    "/redirected": null,
  };
  const body = pages[pathname];
  response.setHeader("Set-Cookie", "login=anna; Path=/");
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  if (body === null && !person) {
    response.writeHead(302, { Location: "/a-walk-along-the-river" }).end();
    return;
  }
  response.writeHead(body === undefined ? 404 : 200).end(body ?? story("A redirected page", "inside"));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await puppeteer.launch({
  executablePath: chromium, headless: true, enableExtensions: true, pipe: true, protocolTimeout: 120_000,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--lang=en", "--enable-unsafe-extension-debugging",
    `--host-resolver-rules=MAP *:80 127.0.0.1:${server.address().port}, MAP * ~NOTFOUND`],
});
const figures = { cases: 0 };

const workerOf = async (id) => {
  const target = await browser.waitForTarget((t) => t.type() === "service_worker" && t.url().startsWith(`chrome-extension://${id}/`));
  return target.worker();
};

/** Waits until the worker's script has run: its target appears before. */
async function wake(id) {
  const worker = await workerOf(id);
  for (let i = 0; i < 200; i++) {
    if (await worker.evaluate(() => globalThis.chrome?.runtime?.id !== undefined && chrome.action !== undefined).catch(() => false)) return worker;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("the service worker did not start");
}

try {
  const id = await browser.installExtension(extension);
  let worker = await wake(id);
  await browser.defaultBrowserContext().overridePermissions(`chrome-extension://${id}`, ["clipboard-read", "clipboard-write", "clipboard-sanitized-write"]);

  /** Opens the popup about a page or a link, as the context menu does. */
  const popup = async (subject) => {
    await worker.evaluate((s) => chrome.storage.session.set({ subject: s }), subject);
    const p = await browser.newPage();
    p.setDefaultTimeout(30_000);
    p.on("pageerror", (e) => assert.fail(`an error in the popup: ${e}`));
    await p.setViewport({ width: 400, height: 600 });
    await p.goto(`chrome-extension://${id}/popup.html`);
    await settled(p);
    return p;
  };
  const settled = (p) => p.waitForFunction(() => /safe|warn/.test(document.getElementById("verdict").dataset.state) && !document.getElementById("clean").disabled);
  const state = (p) => p.evaluate(() => ({
    state: document.getElementById("verdict").dataset.state,
    verdict: document.getElementById("verdict").textContent,
    link: document.getElementById("found").hidden ? "" : document.getElementById("link").textContent,
    anyway: !document.getElementById("anyway").hidden,
    text: document.body.innerText,
  }));
  const clip = async (p) => {
    await p.bringToFront();
    return p.evaluate(() => navigator.clipboard.readText());
  };
  const clean = async (p) => {
    await p.bringToFront();
    await p.click("#clean");
    await settled(p);
    return state(p);
  };
  const visit = async (url) => {
    const p = await browser.newPage();
    await p.goto(url);
    const tab = await worker.evaluate(async (u) => (await chrome.tabs.query({})).findLast((t) => t.url === u)?.id, url);
    assert.ok(tab !== undefined, url);
    return { page: p, subject: { url, tab } };
  };
  const shot = async (p, name) => {
    if (!screenshots) return;
    for (const [kind, scheme, width] of [["light", "light", 400], ["dark", "dark", 400], ["narrow", "light", 260]]) {
      await p.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await p.setViewport({ width, height: 600 });
      await p.screenshot({ path: `${screenshots}/${name}-${kind}.png` });
    }
  };
  const origin = "http://news.example.org";

  { // A public page with parameters that track: the clean link is the page's.
    const { subject } = await visit(`${origin}/a-walk-along-the-river?utm_source=letter&utm_medium=mail`);
    asked.length = 0;
    const begun = Date.now();
    const p = await popup(subject);
    figures.firstVerdictMillis = Date.now() - begun;
    assert.equal(asked.length, 0, "the verdict asks nobody");
    const found = await clean(p);
    assert.equal(found.link, `${origin}/a-walk-along-the-river`, JSON.stringify(found));
    assert.equal(found.state, "safe");
    assert.equal(await clip(p), found.link);
    assert.deepEqual(asked.map((a) => a.url), [`${origin}/a-walk-along-the-river`]);
    for (const { headers } of asked) {
      for (const name of ["cookie", "referer", "origin", "authorization", "sec-ch-ua", "sec-ch-ua-platform"]) assert.equal(headers[name], undefined, name);
    }
    figures.headers = Object.keys(asked[0].headers).sort();
    await shot(p, "clean");
    figures.cases++;
  }
  { // A capability link: a warning with its rule, and no request.
    const { subject } = await visit(`${origin}/s/9f86d081884c7d659a2feaa0c55ad015`);
    asked.length = 0;
    const p = await popup(subject);
    const before = await state(p);
    assert.equal(before.state, "warn");
    assert.match(before.verdict, /looks like a key.*\(path\.token\)/);
    const after = await clean(p);
    assert.deepEqual([after.link, after.anyway, asked.length], ["", true, 0], JSON.stringify(after));
    await shot(p, "warning");
    await p.click("#anyway");
    await p.waitForFunction(() => /in full/.test(document.getElementById("verdict").textContent));
    assert.equal(await clip(p), subject.url);
    figures.cases++;
  }
  { // A page that the site shows to one person only.
    await visit(`${origin}/your-garden`);
    const { subject } = await visit(`${origin}/your-garden`);
    const p = await popup(subject);
    const after = await clean(p);
    assert.equal(after.link, "");
    assert.match(after.verdict, /Others do not get the page/);
    figures.cases++;
  }
  { // A redirect is not followed.
    const { subject } = await visit(`${origin}/redirected`);
    asked.length = 0;
    const after = await clean(await popup(subject));
    assert.equal(after.link, "");
    assert.deepEqual(asked.map((a) => a.url), [`${origin}/redirected`]);
    figures.cases++;
  }
  for (const [url, rule] of [ // Addresses that are never asked for.
    ["http://192.168.1.1/admin", "host.address"], ["http://printer.local/jobs", "host.special-use"],
    [`${origin}/reset?email=anna@example.org`, "url.email"], ["about:blank", "url.scheme"],
  ]) {
    asked.length = 0;
    const p = await popup({ url });
    assert.match((await state(p)).verdict, new RegExp(`\\(${rule.replace(".", "\\.")}\\)`), url);
    assert.equal((await clean(p)).link, "", url);
    assert.equal(asked.length, 0, url);
    figures.cases++;
  }
  { // The worker dies: the next question wakes it, and the engine lives on or starts again.
    await worker.close();
    const p = await browser.newPage();
    await p.goto(`chrome-extension://${id}/popup.html`);
    const link = await p.evaluate((url) => chrome.runtime.sendMessage({ to: "background", op: "clean", url }), `${origin}/a-walk-along-the-river?fbclid=abc`);
    assert.equal(link.result?.url, `${origin}/a-walk-along-the-river`, JSON.stringify(link));
    worker = await wake(id);
    figures.cases++;
  }
  console.log(JSON.stringify(figures));
} finally {
  await browser.close();
  server.close();
}
