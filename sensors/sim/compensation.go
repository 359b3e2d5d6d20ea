package sim

// bme280Calibration are the numbers dig_T1 to dig_H6 of a BME280, and what a
// driver computes with them (datasheet BST-BME280-DS002, the formulas in floating
// point of the appendix). The simulation looks for the raw value for which they
// give what the world has.
type bme280Calibration struct {
	t [3]int
	p [9]int
	h [6]int
}

// fine is the temperature in 5120ths of a degree, which the other two need.
func (k *bme280Calibration) fine(raw int) float64 {
	x := float64(raw)
	t1, t2, t3 := float64(k.t[0]), float64(k.t[1]), float64(k.t[2])
	linear := x/16384 - t1/1024
	square := x/131072 - t1/8192
	return linear*t2 + square*square*t3
}

// temperature in °C; it grows with raw.
func (k *bme280Calibration) temperature(raw int) float64 { return k.fine(raw) / 5120 }

// pressure in Pa; it falls with raw.
func (k *bme280Calibration) pressure(raw int, fine float64) float64 {
	var p [10]float64 // numbered as in the datasheet
	for i, x := range k.p {
		p[i+1] = float64(x)
	}
	x := fine/2 - 64000
	offset := (x*x*p[6]/32768+x*p[5]*2)/4 + p[4]*65536
	scale := (1 + (p[3]*x*x/524288+p[2]*x)/524288/32768) * p[1]
	if scale == 0 {
		return 0
	}
	v := (1048576 - float64(raw) - offset/4096) * 6250 / scale
	return v + (p[9]*v*v/2147483648+v*p[8]/32768+p[7])/16
}

// humidity in percent, not held within 0 and 100; it grows with raw.
func (k *bme280Calibration) humidity(raw int, fine float64) float64 {
	var h [7]float64
	for i, x := range k.h {
		h[i+1] = float64(x)
	}
	x := fine - 76800
	v := float64(raw) - (h[4]*64 + h[5]/16384*x)
	v *= h[2] / 65536 * (1 + h[6]/67108864*x*(1+h[3]/67108864*x))
	return v * (1 - h[1]*v/524288)
}
