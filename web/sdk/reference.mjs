// Makes REFERENCE.md of the types in dist: node reference.mjs writes it, a test compares it.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const read = (name) => readFileSync(new URL(`dist/${name}.d.ts`, import.meta.url), "utf8");

/** A doc comment as one line of text. */
const prose = (comment) => (comment ?? "").replace(/^\s*\/\*\*|\*\/\s*$/g, "").split("\n").map((l) => l.replace(/^\s*\* ?/, "")).join(" ").trim();

const cell = (s) => s.replaceAll("|", "\\|");

/** The declarations of a file that have a name among those wanted, with the comment before each. */
function declarations(text, names) {
  const found = new Map();
  const pattern = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?export (?:declare )?(interface|class|type|function) (\w+)([^{;\n]*)(?:\{\n([\s\S]*?)\n\}|;)/g;
  for (const [, comment, kind, name, head, body] of text.matchAll(pattern)) {
    if (names.includes(name)) found.set(name, { kind, name, head, body, text: prose(comment) });
  }
  return found;
}

/** The members of an interface or class that are for callers. */
function members(body) {
  const pattern = /(?:    (\/\*\*(?:(?!\*\/)[\s\S])*\*\/)\n)?    (?!\/\*\*|\s|\*)([^\n]*);/g;
  return [...body.matchAll(pattern)]
    .filter(([, comment, code]) => !/@internal/.test(comment ?? "") && code !== "#private")
    .map(([, comment, code]) => ({ code: code.replace(/^readonly |^get /, "").replace(/^(\w+)\(\): (\w+)$/, (all, n, t) => (/^(mode|durable)$/.test(n) ? `${n}: ${t}` : all)), text: prose(comment) }));
}

export function reference() {
  const index = read("index");
  const names = /export type \{ ([^}]*) \} from/.exec(index)[1].split(", ");
  const all = new Map([...declarations(read("outbox"), names), ...declarations(read("client"), names)]);
  const opens = declarations(index, ["open"]).get("open");
  const missing = names.filter((n) => !all.get(n)?.text);
  if (missing.length || !opens) throw new Error(`not documented: ${missing}`);
  const out = [
    "# Reference of @shoal/sdk and @shoal/sdk/private", "",
    "Made of the types by `node reference.mjs`. Both modules export the same names.", "",
    "## open", "", "```ts", `open${opens.head}`, "```", "", opens.text, "",
  ];
  for (const name of ["Client", ...names.filter((n) => n !== "Client")]) {
    const d = all.get(name);
    out.push(`## ${name}`, "", d.text, "");
    if (!d.body) {
      out.push("```ts", `type ${name}${d.head}`, "```", "");
      continue;
    }
    out.push("| member | |", "|---|---|");
    for (const m of members(d.body)) {
      if (!m.text) throw new Error(`${name}: ${m.code} is not documented`);
      out.push(`| \`${cell(m.code)}\` | ${cell(m.text)} |`);
    }
    out.push("");
  }
  return out.join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(new URL("REFERENCE.md", import.meta.url), reference());
