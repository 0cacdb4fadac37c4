import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);

test("what a page loads is at most 15 KB, and needs nothing else", () => {
  const files = readdirSync(dist).filter((name) => name.endsWith(".js"));
  assert.deepEqual(files, ["index.js"]);
  const code = readFileSync(new URL("index.js", dist));
  const size = gzipSync(code, { level: 9 }).length;
  console.log(`index.js: ${code.length} bytes, ${size} with gzip -9`);
  assert.ok(size <= 15_000, `${size} bytes with gzip -9, want at most 15,000`);
  assert.ok(!/\b(import\b\s*[\w{*"'(]|require\()/.test(code.toString().replaceAll("import.meta", "")), "dist imports something");
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal(manifest.dependencies, undefined);
  assert.deepEqual(manifest.files, ["dist"]);
});

test("the names that dist shortens keep their places", () => {
  const build = readFileSync(new URL("../build.mjs", import.meta.url), "utf8");
  const names = /const names = `([^`]*)`/.exec(build)[1].trim().split(/\s+/);
  assert.equal(new Set(names).size, names.length);
  // What lies on people's devices is written with them.
  for (const [name, place] of [["task", 1], ["ints", 4], ["report", 9], ["notBefore", 11]]) assert.equal(names.indexOf(name), place, name);
});
