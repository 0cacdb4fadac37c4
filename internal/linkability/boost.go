package linkability

import (
	"math"
	"slices"
)

// The sizes of a model. They are enough to find each planted leak, and small enough that
// features that mean nothing are hardly learned.
const (
	trees     = 40
	depth     = 3
	bins      = 64
	binLimit  = bins + 4 // with those of the extremes
	rate      = 0.2
	leastGain = 12 // of a split, in units of the loss: what chance gives with so many features
	ridge     = 20
)

// A Matrix has one row of features for each pair, stored by columns.
type Matrix struct {
	Rows    int
	Columns [][]float32
}

// A Boost is a classifier: gradient boosted trees of logistic loss.
type Boost struct {
	edges  [][]float32 // upper bounds of the bins of each feature
	forest [][]node
}

// A node of a tree, a heap of 2^(depth+1) - 1 nodes: the children of i are 2i+1, 2i+2.
type node struct {
	feature int // -1: a leaf
	bin     uint8
	value   float64
}

// Train fits a classifier to rows and their classes.
func Train(m Matrix, same []bool) *Boost {
	b := &Boost{}
	for _, column := range m.Columns {
		b.edges = append(b.edges, quantiles(column))
	}
	binned := b.bin(m)
	score := make([]float64, m.Rows)
	gradient, hessian := make([]float64, m.Rows), make([]float64, m.Rows)
	at := make([]uint8, m.Rows) // the node of each row
	for range trees {
		for i := range score {
			p := 1 / (1 + math.Exp(-score[i]))
			y := 0.0
			if same[i] {
				y = 1
			}
			gradient[i], hessian[i] = y-p, p*(1-p)
		}
		tree := grow(binned, gradient, hessian, at)
		if tree[0].feature < 0 {
			break
		}
		b.forest = append(b.forest, tree)
		for i := range score {
			score[i] += tree[at[i]].value
		}
	}
	return b
}

// Classify returns for each row whether it is of the first class more likely than not.
func (b *Boost) Classify(m Matrix) []bool {
	binned := b.bin(m)
	same := make([]bool, m.Rows)
	for i := range same {
		score := 0.0
		for _, tree := range b.forest {
			n := 0
			for tree[n].feature >= 0 {
				n = 2*n + 1 + step(binned[tree[n].feature][i], tree[n].bin)
			}
			score += tree[n].value
		}
		// Without evidence, rows fall to either side alike.
		same[i] = score > 0 || score == 0 && uint32(i)*2654435769>>31 == 0
	}
	return same
}

func step(have, bin uint8) int {
	if have > bin {
		return 1
	}
	return 0
}

// quantiles returns bounds that divide the values of a column into bins of about equal
// size, each distinct value in one bin only.
func quantiles(column []float32) []float32 {
	sample := slices.Clone(column)
	slices.Sort(sample)
	var edges []float32
	for i := 1; i < bins; i++ {
		v := sample[i*(len(sample)-1)/bins]
		if len(edges) == 0 || v > edges[len(edges)-1] {
			edges = append(edges, v)
		}
	}
	// The rare extremes are where equal keys are: bounds next to them, too.
	for _, i := range []int{len(sample) / 500, len(sample) - 1 - len(sample)/500, len(sample) - 1 - len(sample)/5000} {
		edges = append(edges, sample[max(0, min(i, len(sample)-1))])
	}
	slices.Sort(edges)
	return slices.Compact(edges)
}

// bin returns the bins of all values, by feature.
func (b *Boost) bin(m Matrix) [][]uint8 {
	binned := make([][]uint8, len(m.Columns))
	for f, column := range m.Columns {
		binned[f] = make([]uint8, len(column))
		for i, v := range column {
			at, _ := slices.BinarySearch(b.edges[f], v)
			binned[f][i] = uint8(at)
		}
	}
	return binned
}

// sums are of the rows in one bin.
type sums struct{ g, h float64 }

func (s sums) plus(o sums) sums  { return sums{s.g + o.g, s.h + o.h} }
func (s sums) minus(o sums) sums { return sums{s.g - o.g, s.h - o.h} }
func (s sums) gain() float64     { return s.g * s.g / (s.h + ridge) }

// grow makes one tree and leaves in at the leaf of each row.
func grow(binned [][]uint8, gradient, hessian []float64, at []uint8) []node {
	tree := make([]node, 1<<(depth+1)-1)
	clear(at)
	for i := range tree {
		tree[i].feature = -1
	}
	open := []int{0}
	for level := 0; level <= depth && len(open) > 0; level++ {
		totals := make([]sums, len(tree))
		for i, n := range at {
			totals[n] = totals[n].plus(sums{gradient[i], hessian[i]})
		}
		for _, n := range open {
			tree[n].value = rate * totals[n].g / (totals[n].h + ridge)
		}
		if level == depth {
			break
		}
		split(tree, open, totals, binned, gradient, hessian, at)
		var next []int
		for _, n := range open {
			if tree[n].feature >= 0 {
				next = append(next, 2*n+1, 2*n+2)
			}
		}
		for i, n := range at {
			if f := tree[n].feature; f >= 0 {
				at[i] = 2*n + 1 + uint8(step(binned[f][i], tree[n].bin))
			}
		}
		open = next
	}
	return tree
}

// split finds the best split of each open node.
func split(tree []node, open []int, totals []sums, binned [][]uint8, gradient, hessian []float64, at []uint8) {
	best := make([]float64, len(tree))
	for i := range best {
		best[i] = leastGain
	}
	histogram := make([][binLimit]sums, len(tree))
	for f, column := range binned {
		for _, n := range open {
			histogram[n] = [binLimit]sums{}
		}
		for i, bin := range column {
			s := &histogram[at[i]][bin]
			s.g += gradient[i]
			s.h += hessian[i]
		}
		for _, n := range open {
			var left sums
			for bin := range binLimit - 1 {
				left = left.plus(histogram[n][bin])
				right := totals[n].minus(left)
				if left.h < 1 || right.h < 1 {
					continue
				}
				if gain := left.gain() + right.gain() - totals[n].gain(); gain > best[n] {
					best[n] = gain
					tree[n].feature, tree[n].bin = f, uint8(bin)
				}
			}
		}
	}
}
