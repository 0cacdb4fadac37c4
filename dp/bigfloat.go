package dp

import "math/big"

// prec is the precision of the analysis in bits. Each function of this file
// has an absolute or, for exp, relative error below 2^-200 on the arguments
// that the package passes: series are summed until a term no longer counts,
// all their terms are positive or shrink at least geometrically, and the some
// thousand roundings of relative size 2^-256 each cost less than 2^-230.
const prec = 256

func newFloat() *big.Float           { return new(big.Float).SetPrec(prec) }
func intFloat(x int64) *big.Float    { return newFloat().SetInt64(x) }
func float(x float64) *big.Float     { return newFloat().SetFloat64(x) }
func bigFloat(x *big.Int) *big.Float { return newFloat().SetInt(x) }

// exp returns e^x, |x| < 2^20.
func exp(x *big.Float) *big.Float {
	// e^x = (e^(x/2^s))^(2^s): the argument is brought below 2^-16, and the s
	// squarings lose as many bits, for which the inner precision allows.
	const inner = prec + 64
	if x.Sign() == 0 {
		return intFloat(1)
	}
	s := max(0, x.MantExp(nil)+16)
	y := new(big.Float).SetPrec(inner).SetMantExp(x, -s)
	sum := new(big.Float).SetPrec(inner).SetInt64(1)
	term := new(big.Float).SetPrec(inner).SetInt64(1)
	for i := int64(1); term.MantExp(nil) > -inner; i++ { // |y| < 2^-16: every term is far smaller than the one before
		term.Mul(term, y)
		term.Quo(term, new(big.Float).SetPrec(inner).SetInt64(i))
		sum.Add(sum, term)
	}
	for range s {
		sum.Mul(sum, sum)
	}
	return newFloat().Set(sum)
}

// pi returns pi by Machin's formula.
func pi() *big.Float {
	// arctan(1/n) = sum (-1)^k / ((2k+1) n^(2k+1)), in units of 2^-unit.
	const unit = prec + 64
	arctan := func(n int64) *big.Int {
		power := new(big.Int).Lsh(big.NewInt(1), unit)
		power.Quo(power, big.NewInt(n))
		sum := new(big.Int)
		for k := int64(0); power.Sign() != 0; k++ {
			term := new(big.Int).Quo(power, big.NewInt(2*k+1))
			if k%2 == 1 {
				term.Neg(term)
			}
			sum.Add(sum, term)
			power.Quo(power, big.NewInt(n*n))
		}
		return sum
	}
	a := arctan(5)
	a.Mul(a, big.NewInt(16))
	b := arctan(239)
	a.Sub(a, b.Lsh(b, 2))
	return newFloat().SetMantExp(bigFloat(a), -unit)
}

// normalCDF returns Phi(y), the standard normal distribution function, 0 <= y < 32:
//
//	Phi(y) = 1/2 + e^(-y^2/2)/sqrt(2 pi) (y + y^3/3 + y^5/(3*5) + ...)
//
// whose terms are all positive.
func normalCDF(y, pi *big.Float) *big.Float {
	square := newFloat().Mul(y, y)
	sum, term := newFloat().Set(y), newFloat().Set(y)
	// Once 2k+1 > 2y^2 the terms at least halve, so the rest is below the last.
	for k := int64(1); term.MantExp(nil) > sum.MantExp(nil)-prec || float(float64(k)).Cmp(square) < 0; k++ {
		term.Mul(term, square)
		term.Quo(term, intFloat(2*k+1))
		sum.Add(sum, term)
	}
	density := exp(square.Quo(square, intFloat(-2)))
	density.Quo(density, newFloat().Sqrt(newFloat().Add(pi, pi)))
	return sum.Add(intFloat(0).SetMantExp(intFloat(1), -1), sum.Mul(sum, density))
}

// roundToInt returns the integer nearest to x >= 0.
func roundToInt(x *big.Float) *big.Int {
	i, _ := newFloat().Add(x, float(0.5)).Int(nil)
	return i
}

// probability returns the float64 nearest to x/2^128.
func probability(x *big.Int) float64 {
	f, _ := newFloat().SetMantExp(bigFloat(x), -tableBits).Float64()
	return f
}

// complement returns 2^128 - x.
func complement(x *big.Int) *big.Int {
	one := new(big.Int).Lsh(big.NewInt(1), tableBits)
	return one.Sub(one, x)
}
