// A customer of "shoal demo --web": opens the shop in Chromium or Firefox, switches the
// recording on, buys two things and stays until all reports have left.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";
import { firefox } from "./marionette.mjs";

const { url, kind, program, things, screenshots } = JSON.parse(readFileSync(0, "utf8"));

async function chromium() {
  const browser = await puppeteer.launch({ executablePath: program, headless: true, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const p = await browser.newPage();
  return { go: () => p.goto(url), run: (script) => p.evaluate(script), page: p, close: () => browser.close() };
}

async function gecko() {
  const f = await firefox(program);
  return {
    go: () => f.send("WebDriver:Navigate", { url }),
    run: async (script) => (await f.send("WebDriver:ExecuteScript", { script: `return ${script}`, args: [] })).value,
    close: f.close,
  };
}

const browser = await (kind === "firefox" ? gecko() : chromium());

/** Waits until an expression of the page is true. */
async function until(expression) {
  for (const end = Date.now() + 300_000; !(await browser.run(expression)); ) {
    if (Date.now() > end) throw new Error(`${kind}: not true in time: ${expression}; ${await browser.run("document.body.innerText")}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

const state = (mode) => until(`document.getElementById("state")?.textContent.startsWith("The mode is ${mode}")`);

/** Looks at the page in each form: nothing is wider than the window. */
async function look(page) {
  for (const [name, scheme, width] of [["light", "light", 1200], ["dark", "dark", 1200], ["narrow", "light", 360]]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.setViewport({ width, height: 1100 });
    if (screenshots) await page.screenshot({ path: `${screenshots}/shop-${name}.png` });
    const wide = await page.evaluate("document.documentElement.scrollWidth");
    if (wide > width) throw new Error(`the page is ${wide} pixels wide in a window of ${width}`);
  }
}

try {
  await browser.go();
  await state("off");
  await browser.run(`document.querySelector("input[value=on]").click()`);
  await state("on");
  await browser.go(); // now that it is on, the visit is observed, too
  await state("on");
  // What is bought in the minute's last seconds might be of two epochs.
  await until("Date.now() % 60_000 < 40_000");
  for (const i of things) await browser.run(`document.querySelectorAll("#shelf button")[${i}].click()`);
  await browser.run(`document.getElementById("checkout").click()`);
  await until(`document.querySelectorAll("#pending tr").length >= 7`);
  if (browser.page) await look(browser.page);
  await until(`Number(document.getElementById("sent").textContent) >= 7`);
} finally {
  await browser.close();
}
