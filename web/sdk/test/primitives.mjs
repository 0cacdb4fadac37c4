// Makes what private_test.go has made with the same randomness, and once more with
// randomness of its own. It runs in Node.js and in browsers.
import { from64, recorded, to64 } from "./suite.mjs";

const list = (items) => items.map(to64);

export async function makePrimitives(s, p) {
  const { arc: a, voprf: v, quorum: q, ohttp: o } = s;
  const random = recorded(a.random);
  const { secrets, request } = p.arc.newRequest(from64(a.context), random);
  random.end();
  const own = p.arc.newRequest(from64(a.context)).request;
  const credential = p.arc.finalize(from64(a.public), secrets, request, from64(a.response));
  const presentations = a.presentations.map((x) => {
    const random = recorded(x.random);
    const args = [credential, from64(x.context), x.limit, x.nonce, from64(x.binding)];
    const presentation = p.arc.present(...args, random);
    random.end();
    return { presentation: to64(presentation), own: to64(p.arc.present(...args)) };
  });

  const inputs = v.inputs.map(from64);
  const drawn = recorded(v.random);
  const pending = p.voprf.newRequest(inputs, v.size, drawn);
  drawn.end();
  const outputs = p.voprf.finalize(pending, from64(v.public), from64(v.response));
  const ownRequest = p.voprf.newRequest(inputs, v.size);

  const value = await p.shares.quorumValue(from64(q.task), q.epoch, q.shares, from64(q.material), from64(q.output));
  const nonce = recorded(q.random);
  const content = await value.content(from64(q.tags[0]), from64(q.payload), q.size, nonce);
  nonce.end();
  const ownContents = [];
  for (const t of q.tags) ownContents.push(to64(await value.content(from64(t), from64(q.payload), q.size)));

  const inner = p.bhttp.pad(p.bhttp.encodeRequest({ ...o.request, content: from64(o.request.content) }), o.size);
  const { message } = await p.ohttp.encapsulate(p.ohttp.chooseKey(from64(o.keys)), inner);
  return {
    arc: { secrets: to64(secrets), request: to64(request), credential: to64(credential), own: to64(own), presentations },
    voprf: { request: to64(pending.request), outputs: list(outputs), own: to64(ownRequest.request), blinds: list(ownRequest.blinds) },
    quorum: { crowd: to64(value.crowd), tag: to64(value.tag), content: to64(content), own: ownContents },
    ohttp: { inner: to64(inner), own: to64(message) },
  };
}

/** Throws where the results are not those of Go. */
export function comparePrimitives(s, r) {
  const same = (what, got, want) => {
    if (!want || JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: other bytes than Go's`);
  };
  for (const name of ["secrets", "request", "credential"]) same(name, r.arc[name], s.arc[name]);
  s.arc.presentations.forEach((x, i) => same(`presentation ${i}`, r.arc.presentations[i].presentation, x.presentation));
  for (const name of ["request", "outputs"]) same(name, r.voprf[name], s.voprf[name]);
  for (const name of ["crowd", "tag", "content"]) same(name, r.quorum[name], s.quorum[name]);
  same("binary HTTP", r.ohttp.inner, s.ohttp.inner);
}
