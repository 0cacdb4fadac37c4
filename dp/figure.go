package dp

import (
	"math"
	"strconv"
	"strings"
)

// Assumption is what every epsilon and every threshold of the crowd and of the
// aggregate route rests on. It is written beside each of them.
const Assumption = "assumes that no client exceeds its caps"

// DropAssumption is what a threshold rests on that drops reports at random: unreadable
// ones are dropped with the others and leave less noise.
const DropAssumption = Assumption + ", and that the reports of a crowd can be read"

// Assumptions returns what a threshold and its epsilon rest on: [Assumption] or
// [DropAssumption].
func Assumptions(t Threshold) string {
	if _, drops := t.(*noisyDrop); drops {
		return DropAssumption
	}
	return Assumption
}

// figureDigits is how many digits [Figure] writes.
const figureDigits = 4

// slack is the relative size of what this package adds to a figure for the
// errors of its own float64 arithmetic, at most. A figure that exceeds a number
// of few digits by no more is that number.
const slack = 1e-12

// Figure writes an epsilon or a delta for people: rounded up to four digits,
// so that no printed figure promises more than was computed. All texts of this
// project that state an epsilon or a delta use it. Infinity is "none".
func Figure(x float64) string {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return "none"
	}
	if x == 0 {
		return "0"
	}
	if x < 0 {
		return strconv.FormatFloat(x, 'g', figureDigits, 64) // no epsilon and no delta
	}
	v, err := strconv.ParseFloat(roundedUp(x*(1-slack)), 64)
	if err != nil || math.IsInf(v, 0) {
		return "none"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// roundedUp returns the least number of 4 digits that is not below x > 0.
func roundedUp(x float64) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', 60, 64), "e")
	digits := []byte(strings.Replace(mantissa, ".", "", 1))
	kept, rest := digits[:figureDigits], digits[figureDigits:]
	power, _ := strconv.Atoi(exponent)
	power -= figureDigits - 1
	n, _ := strconv.ParseUint(string(kept), 10, 64)
	if strings.Trim(string(rest), "0") != "" {
		n++
	}
	return strconv.FormatUint(n, 10) + "e" + strconv.Itoa(power)
}
