// Holds the primitives of @shoal/sdk/private to the vectors of RFCs 9292, 9458 and 9497,
// of draft-ietf-privacypass-arc-crypto-01, of the profile for a limit of one, and of the
// hardened quorum. It runs in Node.js and in browsers.
import { pairOf } from "./suite.mjs";

/** Where the vectors lie in the repository. */
export const vectorFiles = {
  bhttp: "ohttp/bhttp/testdata/rfc9292.json",
  ohttp: "ohttp/testdata/rfc9458.json",
  interop: "ohttp/testdata/interop.json",
  voprf: "crypto/voprf/testdata/rfc9497.json",
  arc: "crypto/arc/testdata/draft-01.json",
  one: "crypto/arc/testdata/one.json",
  shares: "crypto/secretshare/testdata/vectors.json",
  quorum: "internal/quorum/testdata/quorum.json",
};

export const bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (x) => parseInt(x, 16));
export const hex = (b) => Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
const text = (s) => new TextEncoder().encode(s);

function same(what, got, want) {
  const show = (v) => (v instanceof Uint8Array ? hex(v) : JSON.stringify(v));
  if (show(got) !== show(want)) throw new Error(`${what}: got ${show(got)}, want ${show(want)}`);
}

function refused(what, f) {
  try {
    f();
  } catch {
    return;
  }
  throw new Error(`${what} is accepted`);
}

const decode = (p, b) => {
  const m = p.bhttp.decodeResponse(b);
  return { status: m.status, header: m.header, content: hex(m.content) };
};

function binaryHTTP(p, { messages }) {
  const header = [["user-agent", "curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3"], ["host", "www.example.com"], ["accept-language", "en, mi"]];
  const request = { method: "GET", scheme: "https", authority: "", path: "/hello.txt", header, content: new Uint8Array() };
  same("RFC 9292, request", p.bhttp.encodeRequest(request), bytes(messages[0].hex));
  const informational = decode(p, bytes(messages[2].hex));
  same("RFC 9292, response of indeterminate length", [informational.status, informational.header.length, informational.content],
    [200, 8, hex(text("Hello World! My content includes a trailing CRLF.\r\n"))]);
  same("RFC 9292, response with a trailer", decode(p, bytes(messages[3].hex)), { status: 200, header: [], content: hex(text("This content contains CRLF.\r\n")) });

  const whole = bytes(messages[3].hex);
  const padded = new Uint8Array([...whole, ...new Uint8Array(100)]);
  same("a padded response", decode(p, padded).status, 200);
  padded[padded.length - 3] = 1;
  refused("padding that is not zero", () => decode(p, padded));
  for (const bad of ["", "00", "04", "40", "014063", "014258", "0140c8016101", "0140c80301610162", "0140c8020161", "0140c8000561",
    "0340c801610162", "0340c8000161", "0340c8000001610162", "0140650040c8", "01406600", "0140c8030141016200", "0140c80301610120"]) {
    refused(`the response ${bad}`, () => decode(p, bytes(bad)));
  }
  refused("a message that is longer than its padding", () => p.bhttp.pad(whole, whole.length - 1));
}

async function oblivious(p, v, interop) {
  const keys = bytes(v.key_config);
  const config = p.ohttp.chooseKey(new Uint8Array([0, keys.length, ...keys]));
  const { message, open } = await p.ohttp.encapsulate(config, bytes(v.request), await pairOf(bytes(v.ephemeral_secret_key)));
  same("RFC 9458, request", message, bytes(v.encapsulated_request));
  const answer = bytes(v.encapsulated_response);
  same("RFC 9458, response", await open(answer), bytes(v.response));
  for (const at of [0, 16, answer.length - 1]) {
    const changed = answer.slice();
    changed[at] ^= 1;
    if (await open(changed).then(() => true, () => false)) throw new Error(`an answer with byte ${at} changed is opened`);
  }
  // Requests to the keys of other implementations; X-Wing and ChaCha20-Poly1305 are left out here.
  same("a key that browsers have", p.ohttp.chooseKey(bytes(interop.Exchanges[0].KeyConfigs)).id, 7);
  for (const other of [1, 2, 3]) refused("a key that browsers do not have", () => p.ohttp.chooseKey(bytes(interop.Exchanges[other].KeyConfigs)));
  refused("two keys with one ID", () => p.ohttp.chooseKey(new Uint8Array([0, keys.length, ...keys, 0, keys.length, ...keys])));
  refused("half a key", () => p.ohttp.chooseKey(new Uint8Array([0, keys.length, ...keys.subarray(1)])));
  // Messages that the Rust crate bhttp has written.
  for (const m of interop.Messages.filter((x) => x.HTTP.startsWith("HTTP/"))) {
    same("a message of another implementation", decode(p, bytes(m.Known)), decode(p, bytes(m.Indeterminate)));
  }
}

function oprf(p, { pkSm, vectors }) {
  same("RFC 9497, vectors", vectors.length, 3);
  for (const v of vectors) {
    const [inputs, blinds, blinded, evaluated, outputs] = [v.Input, v.Blind, v.BlindedElement, v.EvaluationElement, v.Output].map((s) => s.split(",").map(bytes));
    inputs.forEach((input, i) => {
      const by = BigInt(`0x${hex(blinds[i].slice().reverse())}`);
      same("RFC 9497, blinded element", p.voprf.blind(input, by), blinded[i]);
    });
    const join = (list) => bytes(list.map(hex).join(""));
    const pending = { inputs, blinds, request: join(blinded) };
    const response = join([...evaluated, bytes(v.Proof.proof)]);
    same("RFC 9497, outputs", p.voprf.finalize(pending, bytes(pkSm), response).map(hex), outputs.map(hex));
    for (const at of [5, response.length - 1]) {
      const changed = response.slice();
      changed[at] ^= 1;
      refused("an evaluation that is not proved", () => p.voprf.finalize(pending, bytes(pkSm), changed));
    }
    if (inputs.length > 1) {
      const swapped = { inputs, blinds, request: join([...blinded].reverse()) };
      refused("a batch in another order", () => p.voprf.finalize(swapped, bytes(pkSm), response));
    }
  }
}

/** The TestDRNG of the drafts' proof of concept: plan has 's' for a secret, 'n' for a nonce of a proof. */
function drng(p, seed) {
  const id = new Uint8Array(168);
  id.set(text("sigma-proofs/TestDRNG/SHAKE128"));
  const block = new Uint8Array(32);
  block.set(text(seed));
  const stream = p.shake128.create({}).update(id).update(block);
  const order = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  return (plan) => (n) => {
    if (n !== 48 || !plan) throw new Error("more randomness than the draft uses");
    const out = stream.xof(48);
    const secret = plan[0] === "s";
    plan = plan.slice(1);
    return secret ? bytes((BigInt(`0x${hex(out)}`) % (order - 1n)).toString(16).padStart(96, "0")) : new Uint8Array(out);
  };
}

function credentials(p, name, groups, limit) {
  const next = drng(p, "test vector seed");
  const skip = (plan) => { const r = next(plan); for (let i = 0; i < plan.length; i++) r(48); };
  const join = (g, ...fields) => bytes(fields.map((f) => g[f]).join(""));
  const { ServerKey: k, CredentialRequest: q, CredentialResponse: a, Credential: c } = groups;
  skip("ssss");
  const { secrets, request } = p.arc.newRequest(bytes(q.request_context), next("sssnnnn"));
  same(`${name}, secrets`, secrets, join(q, "m1", "m2", "r1", "r2"));
  same(`${name}, request`, request, join(q, "m1_enc", "m2_enc", "proof"));
  skip("snnnnnnn");
  const response = join(a, "U", "enc_U_prime", "X0_aux", "X1_aux", "X2_aux", "H_aux", "proof");
  const key = join(k, "X0", "X1", "X2");
  const credential = p.arc.finalize(key, secrets, request, response);
  same(`${name}, credential`, credential, join(c, "m1", "U", "U_prime", "X1"));
  for (const at of [40, response.length - 1]) {
    const changed = response.slice();
    changed[at] ^= 1;
    refused("an answer that is not proved", () => p.arc.finalize(key, secrets, request, changed));
  }
  refused("an answer of another key", () => p.arc.finalize(join(k, "X0", "X2", "X1"), secrets, request, response));
  for (let nonce = 0; nonce < limit; nonce++) {
    const v = groups[`Presentation${nonce + 1}`];
    const context = bytes(v.presentation_context), binding = bytes(v.binding ?? "");
    const made = p.arc.present(credential, context, limit, nonce, binding, next(limit === 1 ? "sssnnn" : "ssssnnnnnnnn"));
    const fields = limit === 1 ? ["U", "U_prime_commit", "m1_commit", "tag"] : ["U", "U_prime_commit", "m1_commit", "tag", "nonce_commit"];
    same(`${name}, presentation ${nonce}`, made, join(v, ...fields, "proof"));
    same(`${name}, length`, made.length, p.arc.presentationSize(limit));
    same(`${name}, tag ${nonce}`, p.arc.tag(credential, context, limit, nonce), bytes(v.tag));
  }
  refused("a nonce that is not below the limit", () => p.arc.tag(credential, new Uint8Array(), limit, limit));
}

async function quorum(p, v) {
  const task = bytes(v.task_id), epoch = Number(v.epoch), material = bytes(v.material);
  same("quorum, input", p.shares.quorumInput(task, epoch, material), bytes(v.input));
  const value = await p.shares.quorumValue(task, epoch, Number(v.shares), material, bytes(v.output));
  same("quorum, crowd tag", value.crowd, bytes(v.crowd_tag));
  // The sealed record begins with a random nonce, which is not in the file: tag and share are compared.
  const content = await value.content(bytes(v.credential_tag), bytes(v.payload), bytes(v.content).length + 1);
  same("quorum, tag and share", content.subarray(0, 48), bytes(v.content).subarray(0, 48));
  same("quorum, length", content.length, bytes(v.content).length);
}

async function shares(p, list) {
  for (const v of list) {
    for (const want of v.shares.map(bytes)) {
      const content = await p.shares.share(bytes(v.binding), v.threshold, bytes(v.message), () => want.slice(0, 16));
      same("secret sharing", hex(content), v.ciphertext + hex(want));
    }
  }
}

/** Throws where a primitive does not give the value of its vectors. */
export async function vectors(p, v) {
  binaryHTTP(p, v.bhttp);
  await oblivious(p, v.ohttp, v.interop);
  oprf(p, v.voprf);
  credentials(p, "draft-ietf-privacypass-arc-crypto-01", v.arc["ARCV1-P256"], 2);
  credentials(p, "ARC with a limit of one", v.one["ARCV1-P256-N1-shoal"], 1);
  await shares(p, v.shares);
  await quorum(p, v.quorum);
}
