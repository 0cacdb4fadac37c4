// Opens page.html in Chromium or Firefox and waits until it has ended.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { firefox } from "./marionette.mjs";

const { url, kind, program } = JSON.parse(readFileSync(0, "utf8"));

async function chromium() {
  const browser = await puppeteer.launch({ executablePath: program, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"], protocolTimeout: 300_000 });
  const p = await browser.newPage();
  return { go: () => p.goto(url), title: () => p.title(), close: () => browser.close() };
}

async function gecko() {
  const f = await firefox(program);
  return { go: () => f.send("WebDriver:Navigate", { url }), title: async () => (await f.send("WebDriver:GetTitle")).value, close: f.close };
}

const browser = await (kind === "firefox" ? gecko() : chromium());
try {
  await browser.go();
  const until = Date.now() + 600_000;
  let title = "";
  while (!/^(done|failed)/.test(title)) {
    if (Date.now() > until) throw new Error("the page does not end");
    await new Promise((resolve) => setTimeout(resolve, 500));
    title = await browser.title();
  }
  if (title !== "done") throw new Error(title);
} finally {
  await browser.close();
}
