// Drives Firefox by Marionette, the protocol that it speaks itself: messages are a
// length, a colon and JSON.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const freePort = () => new Promise((resolve) => {
  const s = createServer().listen(0, "127.0.0.1", () => {
    const { port } = s.address();
    s.close(() => resolve(port));
  });
});

/** Settings of the profile. All but loopback goes to a proxy that does not exist: the browser asks nobody for anything. */
const prefs = (port) => Object.entries({
  "marionette.port": port,
  "network.proxy.type": 1, "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9, "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": 9,
  "app.update.enabled": false, "datareporting.policy.dataSubmissionEnabled": false, "toolkit.telemetry.enabled": false,
  "browser.shell.checkDefaultBrowser": false, "browser.aboutwelcome.enabled": false, "extensions.update.enabled": false,
  "dom.max_script_run_time": 0,
}).map(([name, v]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(v)});\n`).join("");

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function dial(port, child) {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`Firefox ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    if (await new Promise((resolve) => socket.on("connect", () => resolve(true)).on("error", () => resolve(false)))) return socket;
    await sleep(200);
  }
  throw new Error("Firefox does not listen");
}

/** Starts Firefox, and returns what sends commands and what ends it. */
export async function firefox(program) {
  const port = await freePort();
  const profile = mkdtempSync(join(tmpdir(), "shoal-firefox-"));
  writeFileSync(join(profile, "user.js"), prefs(port));
  const child = spawn(program, ["-headless", "-no-remote", "-profile", profile, "-marionette"], { stdio: "ignore", env: { ...process.env, HOME: profile, MOZ_HEADLESS: "1" } });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const close = async () => {
    child.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const socket = await dial(port, child);
    const waiting = new Map();
    let rest = Buffer.alloc(0), id = 0;
    socket.on("data", (b) => {
      rest = Buffer.concat([rest, b]);
      for (let at; (at = rest.indexOf(":")) > 0; ) {
        const end = at + 1 + Number(rest.subarray(0, at));
        if (rest.length < end) return;
        const message = JSON.parse(rest.subarray(at + 1, end));
        rest = rest.subarray(end);
        if (!Array.isArray(message)) continue; // the greeting
        const [, of, error, result] = message;
        const { resolve, reject } = waiting.get(of);
        waiting.delete(of);
        if (error) reject(new Error(`${error.error}: ${error.message}`));
        else resolve(result);
      }
    });
    socket.on("close", () => waiting.forEach(({ reject }) => reject(new Error("Firefox has closed the connection"))));
    const send = (name, params = {}) => new Promise((resolve, reject) => {
      waiting.set(++id, { resolve, reject });
      const text = JSON.stringify([0, id, name, params]);
      socket.write(`${Buffer.byteLength(text)}:${text}`);
    });
    await send("WebDriver:NewSession");
    return { send, close };
  } catch (e) {
    await close();
    throw e;
  }
}
