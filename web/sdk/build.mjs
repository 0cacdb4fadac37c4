// Builds dist, what a page loads (of each entry point one module, which is its own
// worker, and the types), and build, the same sources for the tests.
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
const sources = readdirSync(join(root, "src")).filter((name) => /(?<!\.d)\.ts$/.test(name)).map((name) => join(root, "src", name));
const common = { absWorkingDir: root, format: "esm", target: "es2022", charset: "utf8", logLevel: "warning" };

/** Builds one entry point of the package. What only @shoal/sdk/private has is left out of the other. */
async function entry(name, isPrivate) {
  await build({
    ...common,
    entryPoints: [`src/${name}.ts`],
    outdir: "dist",
    bundle: true,
    minify: true,
    legalComments: "inline",
    define: { PRIVATE: String(isPrivate) },
    mangleProps: new RegExp(`^(${Object.keys(short).join("|")})$`),
    mangleCache: { ...short },
  });
  const file = join(root, `dist/${name}.js`);
  const { code } = await minify(readFileSync(file, "utf8"), {
    module: true, ecma: 2020, compress: { passes: 3, unsafe: true, unsafe_arrows: true }, format: { ascii_only: false, comments: /License/ },
  });
  writeFileSync(file, code);
}

for (const dir of ["dist", "build"]) rmSync(join(root, dir), { recursive: true, force: true });
await entry("index", false);
await entry("private", true);
const forTests = { ...common, outdir: "build", define: { PRIVATE: "true" } };
await build({ ...forTests, entryPoints: sources });
// The primitives of @shoal/sdk/private with the libraries in them, so that browsers load them, too.
const primitives = readdirSync(join(root, "src/private")).map((name) => `export * as ${name.replace(".ts", "")} from "./src/private/${name}";`);
primitives.push('export { shake128 } from "@noble/hashes/sha3.js";');
await build({ ...forTests, bundle: true, stdin: { contents: primitives.join("\n"), resolveDir: root, sourcefile: "primitives.ts", loader: "ts" }, outdir: undefined, outfile: "build/primitives.js" });
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--emitDeclarationOnly"], { cwd: root, stdio: "inherit" });
