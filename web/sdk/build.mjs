// Builds dist, what a page loads (two bundled and minified modules and their
// types), and build, the same sources one by one for the tests.
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const sources = readdirSync(join(root, "src")).map((name) => join(root, "src", name));
const common = { absWorkingDir: root, format: "esm", target: "es2022", charset: "utf8", logLevel: "warning" };

for (const dir of ["dist", "build"]) rmSync(join(root, dir), { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ["src/index.ts", "src/seal.ts"],
  outdir: "dist",
  bundle: true,
  minify: true,
  splitting: true,
  chunkNames: "shared",
});
await build({ ...common, entryPoints: sources, outdir: "build" });
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--emitDeclarationOnly"], { cwd: root, stdio: "inherit" });
