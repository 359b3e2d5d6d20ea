package codec

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// appendDecimal appends n / 10^places as a decimal number, without the zeros
// at its end: -41 and 1 place make -4.1.
func appendDecimal(dst []byte, n int64, places int) []byte {
	for places > 0 && n%10 == 0 {
		n, places = n/10, places-1
	}
	if places == 0 {
		return strconv.AppendInt(dst, n, 10)
	}
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	s := strconv.FormatInt(n, 10)
	if len(s) <= places {
		s = strings.Repeat("0", places-len(s)+1) + s
	}
	dst = append(dst, s[:len(s)-places]...)
	dst = append(dst, '.')
	return append(dst, s[len(s)-places:]...)
}

// appendSteps appends n / scale as a decimal number. Scale is 2 or a power of
// 10.
func appendSteps(dst []byte, n, scale int64) []byte {
	if scale == 2 {
		return appendDecimal(dst, 5*n, 1)
	}
	places := 0
	for scale > 1 {
		scale, places = scale/10, places+1
	}
	return appendDecimal(dst, n, places)
}

// steps gives how many steps of 1 / scale a JSON number is, rounded to the next,
// halves away from zero; false if that is no int64. It calculates in decimals:
// 1.005 are 101 hundredths.
func steps(number string, scale int64) (int64, bool) {
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n > math.MaxInt64/scale || n < math.MinInt64/scale {
			return 0, false
		}
		return n * scale, true
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.Abs(f) > math.MaxInt64/float64(scale) {
		return 0, false
	}
	// Through float64, because the exponent of a number as it is written has no bound.
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'f', -1, 64))
	if !ok {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(scale))
	twice := new(big.Int).Lsh(r.Denom(), 1)
	n := new(big.Int).Lsh(new(big.Int).Abs(r.Num()), 1)
	n.Quo(n.Add(n, r.Denom()), twice)
	if r.Sign() < 0 {
		n.Neg(n)
	}
	return n.Int64(), n.IsInt64()
}

// appendFloat appends f as the shortest decimal that says which number it is; of
// one that is a float32 the shortest that says which float32. NaN and the
// infinities, for which JSON has no word, become null, and -0 becomes 0.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == 0 {
		return append(dst, '0')
	}
	bits := 64
	if float64(float32(f)) == f && f != math.Trunc(f) {
		bits = 32 // a whole number has all of its digits
	}
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}
