package field

// The functions of this file are Field128 on vectors with AVX512-IFMA. Their
// kernels multiply by way of Montgomery with the radix 2^156, so a factor that
// stands in a table is multiplied by 2^156 beforehand and the product is plain.

// radix156 is 2^156 modulo the prime.
var radix156 = F128{lo: 0xfffffffff0000000, hi: 0x1bfffffff}

// radix312 is its square.
var radix312 = F128{lo: 0xf0ffffffffffffab, hi: 0x8800000000000948}

const (
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

// wireScratch is the number of words that rangeWiresVector needs for a row.
const wireScratch = 30

// putLimbs writes x as three limbs, stride words apart.
func putLimbs(dst []uint64, stride int, x F128) {
	const limb = 1<<52 - 1
	dst[0] = x.lo & limb
	dst[stride] = (x.lo>>52 | x.hi<<12) & limb
	dst[2*stride] = x.hi >> 40
}

// rangeWiresVector is RangeWires, eight columns at a time. The eight powers of
// each row are kept, as limbs, from one block of columns to the next.
func rangeWiresVector(w *Wires[F128]) {
	rows := len(w.Coeff)
	q, rest := w.Scratch[:24*rows], w.Scratch[24*rows:]
	coeff, step := rest[:3*rows], rest[3*rows:][:3*rows]
	for k, r := range w.Rand[:rows] {
		x := w.Coeff[k]
		putLimbs(coeff[3*k:], 1, x)
		row := q[24*k:][:24]
		for e := range blockLen {
			x = x.Mul(r)
			putLimbs(row[laneOf(e):], blockLen, x)
		}
		r = r.Mul(r)
		r = r.Mul(r)
		r = r.Mul(r)
		putLimbs(step[3*k:], 1, r.Mul(radix156))
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
	full := to
	if to == len(w.Coeff) {
		full--
	}
	if n := full - from; n > 0 {
		wiresIFMA(acc, &q[24*from], &w.Meas[from*w.Chunk+i], &coeff[3*from], &step[3*from], n, 16*w.Chunk, 1<<(2*width)-1)
	}
	if at := full*w.Chunk + i; full < to && at < len(w.Meas) {
		valid := min(width, len(w.Meas)-at)
		wiresIFMA(acc, &q[24*full], &w.Meas[at], &coeff[3*full], &step[3*full], 1, 16*w.Chunk, 1<<(2*valid)-1)
	}
}

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
