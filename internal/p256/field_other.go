//go:build !amd64 || purego

package p256

const useADX = false

func mulADX(z, x, y *Element)             { mulGeneric(z, x, y) }
func sqrADX(z, x *Element, n int)         { sqrGeneric(z, x, n) }
func doubleADX(z, p *Point, n int)        { doubleGeneric(z, p, n) }
func doublePairADX(p, q *Point, n int)    { doubleGeneric(p, p, n); doubleGeneric(q, q, n) }
func addAffineADX(z, p *Point, q *Affine) { addAffineGeneric(z, p, q) }
func addADX(z, p, q *Point)               { addGeneric(z, p, q) }

func selectADX(z *Affine, table *[ctEntries]Affine, index uint64) { selectGeneric(z, table, index) }
