// Builds dist, what a page loads (one module, which is its own worker, and the types),
// and build, the same sources one by one for the tests.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

// Names of our own that are shortened in dist. Some are part of what is stored on people's
// devices: a name never leaves its place in this list, and new ones go to its end.
const names = `
  num task crowd kind ints hops run end mod report aggregation notBefore opaque epoch take epochSeconds list bits
  signed entry text tag enrolled unfit store flip charges payload records schema labels scope identity tally since
  amend chunk index notAfter maxDelay fragment sendBy rev transform perEpoch buckets variant expires bounds int64 field
  draw lost low big clockSkew perCrowd resealed horizon between changes frozen hidden config keeps empty leave until
  aead salt high root seal payloadSize attempts postpone maxStr leader fields sweep elem keep sensitivity publicShare
  saltEpochs mechanism amendable minBatch helper enrol begin noise vdaf fail rest pow
`.trim().split(/\s+/);
const letters = "abcdeghjklqrtuvwABCDEFGHIJKLMNOPQRSTUVWXYZ"; // others are names as they are
const short = Object.fromEntries(names.map((name, i) => [name, letters[i] ?? `_${i.toString(36)}`]));

const root = dirname(fileURLToPath(import.meta.url));
const sources = readdirSync(join(root, "src")).map((name) => join(root, "src", name));
const common = { absWorkingDir: root, format: "esm", target: "es2022", charset: "utf8", logLevel: "warning" };

for (const dir of ["dist", "build"]) rmSync(join(root, dir), { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ["src/index.ts"],
  outdir: "dist",
  bundle: true,
  minify: true,
  mangleProps: new RegExp(`^(${Object.keys(short).join("|")})$`),
  mangleCache: short,
});
const file = join(root, "dist/index.js");
const { code } = await minify(readFileSync(file, "utf8"), { module: true, ecma: 2020, compress: { passes: 3, unsafe: true, unsafe_arrows: true }, format: { ascii_only: false } });
writeFileSync(file, code);
await build({ ...common, entryPoints: sources, outdir: "build" });
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--emitDeclarationOnly"], { cwd: root, stdio: "inherit" });
