package region

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMasks has channel masks as devices get them: ChMaskCntl of sections 2.4.5
// and 2.5.5.
func TestMasks(t *testing.T) {
	us := get(t, "US915")
	second, ok := us.Block(2)
	if !ok || !slices.Equal(second.List(), []int{8, 9, 10, 11, 12, 13, 14, 15, 65}) {
		t.Fatal(second.List())
	}
	allButOne := us.DefaultChannels()
	allButOne.Remove(20)
	for _, c := range []struct {
		region string
		want   ChannelSet
		masks  []ChannelMask
	}{
		{"EU868", SetOf(0, 1, 2), []ChannelMask{{0x0007, 0}}},
		{"EU868", SetOf(0, 15), []ChannelMask{{0x8001, 0}}},
		{"US915", second, []ChannelMask{{0x0002, 7}, {0xff00, 0}}},
		{"US915", us.DefaultChannels(), []ChannelMask{{0x00ff, 6}}},
		{"US915", allButOne, []ChannelMask{{0x00ff, 6}, {0xffef, 1}}},
		{"AU915", SetOf(0, 63, 64), []ChannelMask{{0x0001, 7}, {0x0001, 0}, {0x8000, 3}}},
		{"US915", SetOf(71), []ChannelMask{{0x0080, 7}}},
		{"US915", SetOf(0), []ChannelMask{{0, 7}, {1, 0}}},
	} {
		masks, err := get(t, c.region).Masks(c.want)
		if err != nil || !slices.Equal(masks, c.masks) {
			t.Errorf("%s %v: %v, %v", c.region, c.want.List(), masks, err)
		}
	}
	for _, c := range []struct {
		region string
		want   ChannelSet
	}{{"EU868", ChannelSet{}}, {"EU868", SetOf(16)}, {"US915", SetOf(72)}, {"US915", ChannelSet{}}} {
		if masks, err := get(t, c.region).Masks(c.want); !errors.Is(err, ErrMask) {
			t.Errorf("%s %v: %v, %v", c.region, c.want.List(), masks, err)
		}
	}
}

// TestMasksApply: after Masks a device has the wanted channels, whatever it had.
func TestMasksApply(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all(t, func(t *testing.T, r *Region) {
		for range 500 {
			defined, want, now := ChannelSet{}, ChannelSet{}, ChannelSet{}
			for c := range r.MaxChannels() {
				if r.Fixed() || c < len(r.Channels()) || rnd.IntN(2) == 0 {
					defined.Add(c)
				}
			}
			often := 1 + rnd.IntN(20)
			for _, c := range defined.List() {
				if rnd.IntN(often) == 0 {
					want.Add(c)
				}
				if rnd.IntN(3) == 0 {
					now.Add(c)
				}
			}
			if want.Len() == 0 {
				want.Add(defined.List()[0])
			}
			masks, err := r.Masks(want)
			if err != nil || len(masks) > 5 {
				t.Fatal(len(masks), err)
			}
			got, err := r.Apply(now, defined, masks)
			if err != nil || got != want {
				t.Fatalf("%v by %v: %v, %v", want.List(), masks, got.List(), err)
			}
		}
	})
}

// TestApply has what Masks does not make, and what a device refuses.
func TestApply(t *testing.T) {
	us := get(t, "US915")
	first, _ := us.Block(1)
	eighth, _ := us.Block(8)
	both := first
	for i := range both {
		both[i] |= eighth[i]
	}
	for _, c := range []struct {
		region       string
		now, defined ChannelSet
		masks        []ChannelMask
		want         ChannelSet // empty: refused
	}{
		{"US915", SetOf(20), us.DefaultChannels(), []ChannelMask{{0x81, 5}}, both},
		{"US915", SetOf(20), us.DefaultChannels(), []ChannelMask{{0x101, 5}}, ChannelSet{}},
		{"US915", SetOf(20), us.DefaultChannels(), []ChannelMask{{0x100, 7}, {1, 0}}, ChannelSet{}},
		{"US915", SetOf(20), us.DefaultChannels(), []ChannelMask{{0, 7}}, ChannelSet{}},
		{"US915", SetOf(20), us.DefaultChannels(), []ChannelMask{{3, 4}}, SetOf(20, 64, 65)},
		{"EU868", SetOf(0), SetOf(0, 1, 2, 3), []ChannelMask{{0, 6}}, SetOf(0, 1, 2, 3)},
		{"EU868", SetOf(0), SetOf(0, 1, 2), []ChannelMask{{9, 0}}, ChannelSet{}},
		{"EU868", SetOf(0), SetOf(0, 1, 2), []ChannelMask{{1, 1}}, ChannelSet{}},
		{"EU868", SetOf(0), SetOf(0, 1, 2), []ChannelMask{{1, 5}}, ChannelSet{}},
		{"EU868", SetOf(0), SetOf(0, 1, 2), []ChannelMask{{1, 7}}, ChannelSet{}},
		{"EU868", SetOf(0), SetOf(0, 1, 2), []ChannelMask{{0, 0}}, ChannelSet{}},
		{"EU868", SetOf(0), SetOf(0, 1, 2), nil, SetOf(0)},
	} {
		got, err := get(t, c.region).Apply(c.now, c.defined, c.masks)
		if got != c.want || errors.Is(err, ErrMask) != (c.want == ChannelSet{}) {
			t.Errorf("%s %v: %v, %v", c.region, c.masks, got.List(), err)
		}
	}
	for _, n := range []int{0, 9, -1} {
		if _, ok := us.Block(n); ok {
			t.Error("block", n)
		}
	}
	if _, ok := get(t, "EU868").Block(1); ok {
		t.Error("EU868 has no blocks")
	}
}

// TestChannelSet: what is outside is no channel.
func TestChannelSet(t *testing.T) {
	s := SetOf(-1, 0, 79, 80)
	if !slices.Equal(s.List(), []int{0, 79}) || s.Len() != 2 || s.Has(-1) || s.Has(80) || !s.Has(79) {
		t.Error(s.List())
	}
	s.Remove(79)
	s.Remove(80)
	s.Remove(-1)
	if s != SetOf(0) {
		t.Error(s.List())
	}
}

// TestCFList has the two forms of sections 2.3.1 and 2.3.2.
func TestCFList(t *testing.T) {
	eight := []uint32{}
	us := get(t, "US915")
	block, _ := us.Block(2)
	for _, c := range block.List() {
		eight = append(eight, us.Channels()[c].Frequency)
	}
	for _, c := range []struct {
		region   string
		channels []uint32
		want     []byte
	}{
		{"EU868", nil, nil},
		{"EU868", []uint32{868100000, 868300000}, nil},
		// 8671000 is 0x844f18
		{"EU868", []uint32{868100000, 867100000}, []byte{0x18, 0x4f, 0x84, 15: 0}},
		// as The Things Network sends it: 867.1, 867.3, 867.5, 867.7, 867.9 MHz
		{"EU868", []uint32{867100000, 867300000, 867500000, 867700000, 867900000},
			[]byte{0x18, 0x4f, 0x84, 0xe8, 0x56, 0x84, 0xb8, 0x5e, 0x84, 0x88, 0x66, 0x84, 0x58, 0x6e, 0x84, 0}},
		{"US915", eight, []byte{0x00, 0xff, 8: 0x02, 15: 1}},
		{"AU915", []uint32{915200000, 927800000, 927100000}, []byte{0x01, 7: 0x80, 8: 0x80, 15: 1}},
	} {
		got, err := get(t, c.region).CFList(c.channels)
		if err != nil || !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s %v: %x, %v", c.region, c.channels, got, err)
		}
	}
	for _, c := range []struct {
		region   string
		channels []uint32
	}{
		{"EU868", []uint32{868650000}}, {"EU868", []uint32{867100050}}, {"EU868", []uint32{0}},
		{"EU868", []uint32{867100000, 867300000, 867500000, 867700000, 867900000, 866100000}},
		{"US915", []uint32{868100000}},
	} {
		if got, err := get(t, c.region).CFList(c.channels); !errors.Is(err, ErrCFList) {
			t.Errorf("%s %v: %x, %v", c.region, c.channels, got, err)
		}
	}
	for _, c := range []struct {
		region string
		list   []byte
	}{
		{"EU868", nil}, {"EU868", make([]byte, 15)}, {"EU868", []byte{15: 1}}, {"US915", []byte{15: 0}},
		{"EU868", []byte{1, 15: 0}}, {"US915", []byte{9: 1, 15: 1}},
	} {
		if got, err := get(t, c.region).ParseCFList(c.list); !errors.Is(err, ErrCFList) {
			t.Errorf("%s %x: %v, %v", c.region, c.list, got, err)
		}
	}
}

// TestCFListRoundTrip: a device reads what was written.
func TestCFListRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	all(t, func(t *testing.T, r *Region) {
		for range 200 {
			var want []uint32
			if r.Fixed() {
				for _, c := range r.Channels() {
					if rnd.IntN(3) == 0 {
						want = append(want, c.Frequency)
					}
				}
			} else {
				bands := r.SubBands()
				for len(want) < r.MaxCFList() {
					b := bands[rnd.IntN(len(bands))]
					f := (b.Low + rnd.Uint32N(b.High-b.Low)) / 100 * 100
					if _, usual := r.ChannelAt(f); !usual && r.Contains(f) {
						want = append(want, f)
					}
				}
			}
			list, err := r.CFList(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.ParseCFList(list)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v became %v, %v", want, got, err)
			}
		}
	})
}

// FuzzCFList: no list panics, and one that is read is written as the same, but for
// gaps.
func FuzzCFList(f *testing.F) {
	f.Add("EU868", []byte{0x18, 0x4f, 0x84, 15: 0})
	f.Add("US915", []byte{0x00, 0xff, 8: 0x02, 15: 1})
	f.Add("AS923", []byte{})
	f.Fuzz(func(t *testing.T, name string, list []byte) {
		r, err := Get(name)
		if err != nil {
			return
		}
		channels, err := r.ParseCFList(list)
		if err != nil {
			if !errors.Is(err, ErrCFList) {
				t.Fatal(err)
			}
			return
		}
		channels = slices.DeleteFunc(channels, func(f uint32) bool {
			_, usual := r.ChannelAt(f)
			return f == 0 || usual && !r.Fixed()
		})
		again, err := r.CFList(channels)
		if err != nil {
			t.Fatal(err)
		}
		if again == nil {
			return
		}
		back, err := r.ParseCFList(again)
		back = slices.DeleteFunc(back, func(f uint32) bool { return f == 0 })
		if err != nil || !slices.Equal(back, channels) {
			t.Fatalf("%v became %v, %v", channels, back, err)
		}
	})
}
