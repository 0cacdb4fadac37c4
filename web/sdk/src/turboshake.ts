// TurboSHAKE128 (RFC 9861): Keccak-p[1600, 12] with a rate of 168 bytes. Lanes are
// pairs of 32-bit words, since 64-bit integers are slow in JavaScript. No branch or
// index depends on the input.

const rate = 168;

// The round constants, low and high words, and the rotations and places of the steps
// rho and pi, all computed: a table is easily mistyped.
const constants: number[] = [];
const rotations: number[] = [];
const places: number[] = [];

let register = 1;
for (let round = 0; round < 24; round++) {
  const words = [0, 0];
  for (let j = 0; j < 7; j++) {
    if (register & 1) {
      const bit = (1 << j) - 1;
      words[bit >> 5]! |= 1 << (bit & 31);
    }
    register = register << 1 ^ (register >> 7) * 0x171;
  }
  constants.push(...(words as [number, number]));
}
for (let t = 0, x = 1, y = 0; t < 24; t++) {
  rotations.push(((t + 1) * (t + 2) / 2) % 64);
  [x, y] = [y, (2 * x + 3 * y) % 5];
  places.push(x + 5 * y);
}

function permute(s: Int32Array): void {
  const c = new Int32Array(10);
  const row = new Int32Array(10);
  for (let round = 24; round < 48; round += 2) {
    for (let x = 0; x < 10; x++) c[x] = s[x]! ^ s[x + 10]! ^ s[x + 20]! ^ s[x + 30]! ^ s[x + 40]!;
    for (let x = 0; x < 5; x++) {
      const l = (x + 4) % 5 * 2, r = (x + 1) % 5 * 2;
      const low = c[l]! ^ (c[r]! << 1 | c[r + 1]! >>> 31), high = c[l + 1]! ^ (c[r + 1]! << 1 | c[r]! >>> 31);
      for (let y = 2 * x; y < 50; y += 10) {
        s[y]! ^= low;
        s[y + 1]! ^= high;
      }
    }
    let low = s[2]!, high = s[3]!;
    for (let t = 0; t < 24; t++) {
      let n = rotations[t]!;
      const at = places[t]! * 2;
      const nextLow = s[at]!, nextHigh = s[at + 1]!;
      if (n >= 32) {
        [low, high] = [high, low];
        n -= 32;
      }
      s[at] = n ? low << n | high >>> (32 - n) : low;
      s[at + 1] = n ? high << n | low >>> (32 - n) : high;
      low = nextLow;
      high = nextHigh;
    }
    for (let y = 0; y < 50; y += 10) {
      for (let i = 0; i < 10; i++) row[i] = s[y + i]!;
      for (let i = 0; i < 10; i++) s[y + i] = row[i]! ^ (~row[(i + 2) % 10]! & row[(i + 4) % 10]!);
    }
    s[0]! ^= constants[round]!;
    s[1]! ^= constants[round + 1]!;
  }
}

/** The output for one message, as a stream. The domain is a byte from 1 to 127. */
export function turboShake128(message: Uint8Array, domain: number): (n: number) => Uint8Array<ArrayBuffer> {
  const s = new Int32Array(50);
  const padded = new Uint8Array(Math.floor(message.length / rate + 1) * rate);
  padded.set(message);
  padded[message.length] = domain;
  padded[padded.length - 1]! ^= 0x80;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += rate) {
    for (let i = 0; i < rate / 4; i++) s[i]! ^= view.getInt32(at + 4 * i, true);
    permute(s);
  }
  let used = 0;
  return (n) => {
    const out = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      if (used === rate) {
        permute(s);
        used = 0;
      }
      out[i] = s[used >> 2]! >>> (8 * (used & 3));
      used++;
    }
    return out;
  };
}
