package discovery

import (
	"strings"
)

// A digitRun is a stretch of digits of a text.
type digitRun struct{ start, end int }

func (d digitRun) len() int { return d.end - d.start }

// digitRuns returns the stretches of ASCII digits of s.
func digitRuns(s string) []digitRun {
	var runs []digitRun
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		start := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		runs = append(runs, digitRun{start, i})
	}
	return runs
}

// publicNumbers replaces by 'd' the numbers that describe the world and not a
// person: years, dates, times, error codes, numbers of books and journals, round
// numbers. years counts the years.
func publicNumbers(s string) (rest string, years int) {
	if !hasDigit(s) {
		return s, 0
	}
	b := []byte(s)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			b[i] = 'd'
		}
	}
	for i := 0; i < len(s); {
		if s[i] < '0' || s[i] > '9' {
			i++
			continue
		}
		n, year := publicNumber(s, i)
		if year {
			years++
		}
		if n == 0 {
			for i < len(s) && s[i] >= '0' && s[i] <= '9' {
				i++
			}
			continue
		}
		blank(i, i+n)
		i += n
	}
	return string(b), years
}

// publicNumber returns the length of the number at s[i], if it is one that
// identifies no person, and whether it is a year. No digit precedes it.
func publicNumber(s string, i int) (n int, year bool) {
	if strings.HasPrefix(s[i:], "0x") {
		j := i + 2
		for j < len(s) && hexDigit(s[j]) >= 0 {
			j++
		}
		if size := j - i - 2; size > 0 && size <= 8 {
			return j - i, false
		}
		return 0, false
	}
	for _, number := range []func(string, int) int{bookNumber, calendarDate, clockTime, roundNumber} {
		if n := number(s, i); n > 0 {
			return n, false
		}
	}
	if yearAt(s, i) {
		return 4, true
	}
	return publishedNumber(s, i), false
}

// publishedNumber returns the length of the number of an update, a standard or a
// published fault: kb5034441, cve-2024-12345.
func publishedNumber(s string, i int) int {
	n, _ := span(s, i)
	before := s[:i]
	if strings.HasSuffix(before, "kb") && n <= 7 || len(before) >= 9 && before[len(before)-9:len(before)-5] == "cve-" && before[len(before)-1] == '-' && n <= 6 {
		return n
	}
	return 0
}

// span returns the number of digits at s[i], and their value if it is small.
func span(s string, i int) (n, value int) {
	for i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '9' {
		if n < 9 {
			value = value*10 + int(s[i+n]-'0')
		}
		n++
	}
	return n, value
}

// yearAt reports whether s[i] begins a year of history or of the near future. What
// is joined to another number is a year only beside a year or a month: of
// 078-05-1120 no part is one.
func yearAt(s string, i int) bool {
	n, value := span(s, i)
	if n != 4 || value < 1000 || value > 2100 {
		return false
	}
	if i+5 < len(s) && joins(s[i+4]) {
		if n, _ := span(s, i+5); n != 0 && n != 4 && n > 2 {
			return false
		}
	}
	if i < 2 || !joins(s[i-1]) {
		return true
	}
	before := i - 1
	for before > 0 && s[before-1] >= '0' && s[before-1] <= '9' {
		before--
	}
	size := i - 1 - before
	return size == 0 || size == 4 || size <= 2 && (before < 2 || !joins(s[before-1]))
}

func joins(c byte) bool { return c == '-' || c == '/' || c == '.' }

// calendarDate returns the length of a date with day, month and year, in any of
// their usual orders, or as one number, 0 if there is no date.
func calendarDate(s string, i int) int {
	n, _ := fullDate(s, i)
	return n
}

// fullDate reads a date at s[i]. It returns its length, 0 without one, and its
// year.
func fullDate(s string, i int) (n, year int) {
	size, value := span(s, i)
	if size == 8 {
		year = value / 10000
		if year < 1900 || year > 2100 || !monthDay(value/100%100, value%100) {
			return 0, 0
		}
		return 8, year
	}
	if size != 4 && size > 2 || i+size >= len(s) {
		return 0, 0
	}
	mark := s[i+size]
	if strings.IndexByte("./-", mark) < 0 {
		return 0, 0
	}
	j := i + size + 1
	second, two := span(s, j)
	k := j + second
	if second == 0 || second > 2 || k >= len(s) || s[k] != mark {
		return 0, 0
	}
	third, three := span(s, k+1)
	end := k + 1 + third
	switch {
	case size == 4 && third > 0 && third <= 2 && value >= 1000 && value <= 2100 && monthDay(two, three):
		return end - i, value
	case size <= 2 && third == 4 && three >= 1000 && three <= 2100 && (monthDay(two, value) || monthDay(value, two)):
		return end - i, three
	}
	return 0, 0
}

func monthDay(month, day int) bool { return month >= 1 && month <= 12 && day >= 1 && day <= 31 }

// clockTime returns the length of a time such as 18:30 or 06:15:00, 0 if none.
func clockTime(s string, i int) int {
	n := 0
	for part := range 3 {
		size, value := span(s, i+n)
		if size == 0 || size > 2 || part > 0 && (size != 2 || value > 59) || part == 0 && value > 24 {
			return 0
		}
		n += size
		if i+n >= len(s) || s[i+n] != ':' {
			if part == 0 {
				return 0
			}
			return n
		}
		n++
	}
	return 0
}

// roundNumber returns the length of a number that has at most four digits before
// its zeros, and of one that is grouped in threes by commas.
func roundNumber(s string, i int) int {
	n, _ := span(s, i)
	if n <= 3 && i+n < len(s) && (s[i+n] == ',' || s[i+n] == '.') {
		if g := grouped(s, i, n); g > 0 {
			return g
		}
	}
	zeros := 0
	for zeros < n && s[i+n-1-zeros] == '0' {
		zeros++
	}
	if n >= 5 && n <= 15 && zeros >= 3 && n-zeros <= 4 && zeros < n {
		return n
	}
	return 0
}

// grouped returns the length of a number such as 100,000,000: two groups or more.
func grouped(s string, i, first int) int {
	mark := s[i+first]
	j, groups := i+first, 0
	for j < len(s) && s[j] == mark {
		n, _ := span(s, j+1)
		if n != 3 {
			break
		}
		j += 4
		groups++
	}
	if groups < 2 {
		return 0
	}
	// All but the first two groups are zeros: an amount, not a number of somebody.
	for k, at := 1, i+first+4; k < groups; k, at = k+1, at+4 {
		if s[at+1:at+4] != "000" {
			return 0
		}
	}
	return j - i
}

// bookNumber returns the length of an ISBN of 13 digits, or of an ISSN written
// with its hyphen, whose check digit is right.
func bookNumber(s string, i int) int {
	var digits [13]int
	n, j := 0, i
	for j < len(s) && n < len(digits) {
		c := s[j]
		if c >= '0' && c <= '9' {
			digits[n] = int(c - '0')
			n++
		} else if c != '-' && c != ' ' {
			break
		}
		j++
	}
	if n == 13 && digits[0] == 9 && digits[1] == 7 && digits[2] >= 8 && (j >= len(s) || s[j] < '0' || s[j] > '9') {
		sum := 0
		for k, d := range digits {
			sum += d * (1 + k%2*2)
		}
		if sum%10 == 0 {
			return j - i
		}
	}
	return issn(s, i)
}

func issn(s string, i int) int {
	if n, _ := span(s, i); n != 4 || i+9 > len(s) || s[i+4] != '-' {
		return 0
	}
	sum := 0
	for k, at := 8, i; at < i+9; at++ {
		if at == i+4 {
			continue
		}
		d := int(s[at]) - '0'
		if at == i+8 && s[at] == 'x' {
			d = 10
		} else if d < 0 || d > 9 {
			return 0
		}
		sum += d * k
		k--
	}
	if n, _ := span(s, i+9); n > 0 || sum%11 != 0 {
		return 0
	}
	return 9
}
