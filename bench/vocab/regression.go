package vocab

import (
	"cmp"
	"math"
	"slices"
)

const (
	// penalty of the LASSO, in standard errors of a coefficient: below what
	// the test asks for in the end, above what most noise reaches.
	penalty = 3
	// maxPicked bounds the columns that the LASSO may pick.
	maxPicked = 700
	sweeps    = 100  // of coordinate descent, at most
	still     = 0.01 // a move that ends it, in standard errors
)

// lasso returns the columns with a positive coefficient in the non-negative
// LASSO with intercept, weighted, by cyclic coordinate descent.
func lasso(columns [][]uint16, y, w []float64) []int {
	d := newDescent(columns, y, w)
	for range sweeps {
		moved := d.centre()
		var positive []int
		for i := range columns {
			moved = max(moved, d.step(i))
			if d.beta[i] > 0 {
				positive = append(positive, i)
			}
		}
		if moved < still {
			break
		}
		for range sweeps { // among these alone, which are few
			moved = d.centre()
			for _, i := range positive {
				moved = max(moved, d.step(i))
			}
			if moved < still {
				break
			}
		}
	}
	var picked []int
	for i, b := range d.beta {
		if b > 0 {
			picked = append(picked, i)
		}
	}
	slices.SortStableFunc(picked, func(a, b int) int { return cmp.Compare(d.beta[b], d.beta[a]) })
	return picked[:min(len(picked), maxPicked, len(y)/2)]
}

// A descent is the state of a coordinate descent over 0/1 columns.
type descent struct {
	columns [][]uint16
	w       []float64
	weight  float64   // sum of w
	pull    []float64 // residuals times weights
	norm    []float64 // by column, the sum of its weights
	beta    []float64
}

func newDescent(columns [][]uint16, y, w []float64) *descent {
	d := &descent{columns: columns, w: w, pull: make([]float64, len(y)), norm: make([]float64, len(columns)), beta: make([]float64, len(columns))}
	for r, v := range y {
		d.pull[r] = v * w[r]
		d.weight += w[r]
	}
	for i, rows := range columns {
		for _, r := range rows {
			d.norm[i] += w[r]
		}
	}
	return d
}

// centre fits the intercept, which represents all words too rare to see, and
// returns by how much it moved.
func (d *descent) centre() float64 {
	var mean float64
	for _, v := range d.pull {
		mean += v
	}
	mean /= d.weight
	for r, w := range d.w {
		d.pull[r] -= w * mean
	}
	return math.Abs(mean) * math.Sqrt(d.weight)
}

// step minimises over one coefficient, and returns by how much it moved.
func (d *descent) step(i int) float64 {
	var pull float64
	for _, r := range d.columns[i] {
		pull += d.pull[r]
	}
	unit := math.Sqrt(d.norm[i]) // a standard error is 1/unit
	next := max(0, d.beta[i]+(pull-penalty*unit)/d.norm[i])
	move := next - d.beta[i]
	if move == 0 {
		return 0
	}
	for _, r := range d.columns[i] {
		d.pull[r] -= d.w[r] * move
	}
	d.beta[i] = next
	return math.Abs(move) * unit
}

// leastSquares returns the coefficients of the picked columns, next to an
// intercept, and their standard errors. These grow with what the picked columns
// leave unexplained beyond the known noise. A column that depends on others has
// standard error 0.
func leastSquares(columns [][]uint16, picked []int, y, w []float64) ([]float64, []float64) {
	n := len(picked) + 1
	l, rhs := normalEquations(columns, picked, y, w)
	dependent := cholesky(l)
	inverse := invertLower(l)
	half := make([]float64, n) // L^-1 rhs
	for i := range n {
		for j := range i + 1 {
			half[i] += inverse[i][j] * rhs[j]
		}
	}
	beta, se := make([]float64, n), make([]float64, n)
	for i := range n {
		if dependent[i] {
			continue
		}
		var variance float64
		for k := i; k < n; k++ {
			beta[i] += inverse[k][i] * half[k]
			variance += inverse[k][i] * inverse[k][i]
		}
		se[i] = math.Sqrt(variance)
	}
	scale := misfit(columns, picked, beta, y, w)
	for i := range se {
		se[i] *= scale
	}
	return beta[:n-1], se[:n-1]
}

// normalEquations returns the lower half of X'WX and X'Wy for the picked columns
// and, last, a column of ones.
func normalEquations(columns [][]uint16, picked []int, y, w []float64) ([][]float64, []float64) {
	n := len(picked) + 1
	xx, xy := make([][]float64, n), make([]float64, n)
	dense := make([]float64, len(y))
	for i, c := range picked {
		for _, r := range columns[c] {
			dense[r] = w[r]
			xy[i] += w[r] * y[r]
		}
		xx[i] = make([]float64, n)
		for j := range i + 1 {
			for _, r := range columns[picked[j]] {
				xx[i][j] += dense[r]
			}
		}
		for _, r := range columns[c] {
			dense[r] = 0
		}
	}
	xx[n-1] = make([]float64, n)
	for r, v := range w {
		xx[n-1][n-1] += v
		xy[n-1] += v * y[r]
	}
	for j, c := range picked {
		for _, r := range columns[c] {
			xx[n-1][j] += w[r]
		}
	}
	return xx, xy
}

// misfit returns the root mean square of the residuals in units of the known
// noise, or 1 if that is less. The intercept is the last coefficient.
func misfit(columns [][]uint16, picked []int, beta, y, w []float64) float64 {
	residual := slices.Clone(y)
	for i, c := range picked {
		for _, r := range columns[c] {
			residual[r] -= beta[i]
		}
	}
	var squares float64
	for r, v := range residual {
		v -= beta[len(picked)]
		squares += w[r] * v * v
	}
	return math.Sqrt(max(1, squares/float64(len(y)-len(picked)-1)))
}

// cholesky factorises the symmetric matrix in the lower half of a in place and
// reports which columns depend on earlier ones; those are removed.
func cholesky(a [][]float64) []bool {
	dependent := make([]bool, len(a))
	for j := range a {
		diagonal := a[j][j]
		for k := range j {
			a[j][j] -= a[j][k] * a[j][k]
		}
		if a[j][j] <= 1e-9*diagonal {
			dependent[j] = true
			clear(a[j][:j])
			a[j][j] = 1
			for i := j + 1; i < len(a); i++ {
				a[i][j] = 0
			}
			continue
		}
		a[j][j] = math.Sqrt(a[j][j])
		for i := j + 1; i < len(a); i++ {
			for k := range j {
				a[i][j] -= a[i][k] * a[j][k]
			}
			a[i][j] /= a[j][j]
		}
	}
	return dependent
}

// invertLower returns the inverse of a lower triangular matrix.
func invertLower(l [][]float64) [][]float64 {
	inverse := make([][]float64, len(l))
	for i := range l {
		inverse[i] = make([]float64, len(l))
		inverse[i][i] = 1 / l[i][i]
		for j := range i {
			var sum float64
			for k := j; k < i; k++ {
				sum += l[i][k] * inverse[k][j]
			}
			inverse[i][j] = -sum / l[i][i]
		}
	}
	return inverse
}
