package store

import (
	"bytes"
	"os"
	"testing"

	"fieldgate/gateway"
)

// TestTreeCheckFindsEveryBranchDamage: any change of a page that bbolt walks
// over must be found before bbolt sees the file.
func TestTreeCheckFindsBranchDamage(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 1 << 20})
	for i := range 20 {
		r.fill(i*1000, 1000)
	}
	r.close()
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	live := withoutFreePages(t, b)
	checked := 0
	for id := 2; (id+1)*ourPageSize <= len(live); id++ {
		if live[id*ourPageSize+8] != pageBranch {
			continue
		}
		checked++
		for _, at := range []int{0, 8, 9, 10, 12, 13, pageHead + 4, pageHead + 8, pageHead + 9, pageHead + elementSize + 8} {
			for bit := range 8 {
				c := bytes.Clone(b)
				c[id*ourPageSize+at] ^= 1 << bit
				p, err := openPages(bytes.NewReader(c), int64(len(c)))
				if err != nil {
					t.Fatal(err)
				}
				if p.checkTree(true, nil) == nil {
					t.Errorf("page %d: bit %d of byte %d", id, bit, at)
				}
			}
		}
	}
	if checked == 0 {
		t.Fatal("no branch page")
	}
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil || p.checkTree(true, nil) != nil || p.checkTree(false, nil) != nil {
		t.Fatal("the sound file is found damaged", err)
	}
}

func FuzzDamagedFile(f *testing.F) {
	r := newRig(f, Options{MaxSize: 1 << 20, Uplinks: []string{"cloud"}})
	for i := range 10 {
		r.fill(i*20, 20)
	}
	r.SetCursor("cloud", gateway.Cursor{Next: 50})
	r.close()
	b, err := os.ReadFile(r.path)
	if err != nil {
		f.Fatal(err)
	}
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		f.Fatal(err)
	}
	b = b[:int(p.meta.pages)*ourPageSize]
	f.Add(uint32(100), []byte{1, 2, 3}, false)
	f.Add(uint32(p.meta.root*ourPageSize), make([]byte, 40), true)
	f.Add(uint32(p.meta.freelist*ourPageSize+8), []byte{0xFF, 0xFF, 0xFF}, false)
	f.Fuzz(func(t *testing.T, at uint32, with []byte, cut bool) {
		c := bytes.Clone(b)
		at %= uint32(len(c))
		copy(c[at:], with)
		if cut {
			c = c[:at]
		}
		if p, err := openPages(bytes.NewReader(c), int64(len(c))); err == nil {
			_ = p.checkTree(true, func([]byte, element) error { return nil })
			_ = p.checkTree(false, nil)
		}
		found := scanFile(bytes.NewReader(c), int64(len(c)), nil)
		last := uint64(0)
		_ = found.records(func(s *stored) error {
			if s.Seq <= last {
				t.Fatalf("%d after %d", s.Seq, last)
			}
			last = s.Seq
			return nil
		})
		pairs, _, _ := scanPairs(&scanner{r: bytes.NewReader(c), size: int64(len(c)), most: MaxRecord})
		if len(pairs) != 0 {
			t.Fatal("pairs in a log")
		}
	})
}

// FuzzGarbage reads anything at all as a file.
func FuzzGarbage(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{blobMagic, blobRecord}, 3000))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := openPages(bytes.NewReader(b), int64(len(b))); err == nil {
			_ = p.checkTree(true, nil)
		}
		found := scanFile(bytes.NewReader(b), int64(len(b)), nil)
		_ = found.records(func(*stored) error { return nil })
	})
}
