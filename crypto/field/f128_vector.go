package field

// The functions of this file are Field128 on vectors with AVX512-IFMA. Their
// kernels multiply by way of Montgomery with the radix 2^156, so a factor that is
// in a table is multiplied by 2^156 beforehand and the product is plain.

// radix156 is 2^156 modulo the prime.
var radix156 = F128{lo: 0xfffffffff0000000, hi: 0x1bfffffff}

// radix312 is its square.
var radix312 = F128{lo: 0xf0ffffffffffffab, hi: 0x8800000000000948}

const (
	minChunk = 6   // columns from which on the vector form is faster
	blockLen = 8   // elements that a kernel works on at once
	maxRows  = 512 // rows that wiresIFMA may add up: 5*512 terms of 52 bits
	maxDot   = 100 // blocks that dotIFMA may add up, so that lanes can be added
)

// foldColumns returns the sum of c[j]*2^(52*j).
func foldColumns(c *[6]uint64) F128 {
	const limb = 1<<52 - 1
	for j := range 5 {
		c[j+1] += c[j] >> 52
		c[j] &= limb
	}
	s := acc128{
		w0: c[0] | c[1]<<52,
		w1: c[1]>>12 | c[2]<<40,
		w2: c[2]>>24 | c[3]<<28,
		w3: c[3]>>36 | c[4]<<16,
		w4: c[4]>>48 | c[5]<<4,
	}
	return s.reduce()
}

// laneOf returns the lane of element e of a block, see ifma_amd64.s.
func laneOf(e int) int { return e&3<<1 | e>>2 }

// dotVector is Dot of whole blocks.
func dotVector(a, b []F128) F128 {
	var sum F128
	for len(a) > 0 {
		n := min(len(a)/blockLen, maxDot)
		var acc [48]uint64
		dotIFMA(&acc, &a[0], &b[0], n)
		var c [6]uint64
		for i, x := range acc {
			c[i/blockLen] += x
		}
		sum = sum.Add(foldColumns(&c))
		a, b = a[n*blockLen:], b[n*blockLen:]
	}
	return sum
}

// wireScratch is the number of words that rangeWiresVector needs for a row, of
// which there is a whole number of blocks.
const wireScratch = 30

// rangeWiresVector is RangeWires, eight columns at a time. The eight powers of
// each row are kept, as limbs, from one block of columns to the next.
func rangeWiresVector(w *Wires[F128]) {
	rows := len(w.Coeff)
	pad := padded(rows)
	q, coeff, step := w.Scratch[:24*pad], w.Scratch[24*pad:27*pad], w.Scratch[27*pad:30*pad]
	square := radix312
	for k := 0; k < rows; k += blockLen {
		mask := uint64(1)<<(2*min(blockLen, rows-k)) - 1
		powersIFMA(&q[24*k], &coeff[k], &step[k], 8*pad, &w.Coeff[k], &w.Rand[k], &square, mask)
	}
	for i := 0; i < w.Chunk; i += blockLen {
		width := min(blockLen, w.Chunk-i)
		for k := 0; k < rows; k += maxRows {
			var acc [96]uint64
			wireBlock(w, &acc, q, coeff, step, i, width, k, min(rows, k+maxRows))
			for e := range width {
				var even, odd [6]uint64
				for j := range 6 {
					even[j] = acc[j*blockLen+laneOf(e)]
					odd[j] = acc[(6+j)*blockLen+laneOf(e)]
				}
				d := w.Dst[2*(i+e):][:2]
				d[0] = d[0].Add(foldColumns(&even))
				d[1] = d[1].Add(foldColumns(&odd))
			}
		}
	}
}

// wireBlock adds up columns i to i+width of the rows from to to. The last row of
// the measurement may end before.
func wireBlock(w *Wires[F128], acc *[96]uint64, q, coeff, step []uint64, i, width, from, to int) {
	full, pad := to, padded(len(w.Coeff))
	if to == len(w.Coeff) {
		full--
	}
	if n := full - from; n > 0 {
		wiresIFMA(acc, &q[24*from], &w.Meas[from*w.Chunk+i], &coeff[from], &step[from], 8*pad, n, 16*w.Chunk, 1<<(2*width)-1)
	}
	if at := full*w.Chunk + i; full < to && at < len(w.Meas) {
		valid := min(width, len(w.Meas)-at)
		wiresIFMA(acc, &q[24*full], &w.Meas[at], &coeff[full], &step[full], 8*pad, 1, 16*w.Chunk, 1<<(2*valid)-1)
	}
}

// padded is the number of rows in whole blocks.
func padded(rows int) int { return (rows + blockLen - 1) &^ (blockLen - 1) }

// oddVector is OddRows with rows of eight polynomials.
func oddVector(v []F128, r *Roots[F128]) {
	n := len(v) / blockLen
	for m := n / 2; m >= 1; m /= 2 {
		for s := 0; s < n; s += 2 * m {
			difIFMA(&v[s*blockLen], &v[(s+m)*blockLen], &r.fast.inverse[m], m)
		}
	}
	scaleIFMA(&v[0], &r.fast.twist[n], n)
	for m := 1; m < n; m *= 2 {
		for s := 0; s < n; s += 2 * m {
			ditIFMA(&v[s*blockLen], &v[(s+m)*blockLen], &r.fast.forward[m], m)
		}
	}
}
