package nbd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// TestCut: what was flushed survives, of the rest a share, by whole sectors.
func TestCut(t *testing.T) {
	for seed := range uint64(20) {
		d := NewDisk(make([]byte, 64*SectorSize))
		old, young := bytes.Repeat([]byte{1}, 32*SectorSize), bytes.Repeat([]byte{2}, 32*SectorSize)
		if err := errors.Join(d.WriteAt(old, 0, false), d.Flush(), d.WriteAt(young, 16*SectorSize, false), d.WriteAt([]byte{9}, 5, true)); err != nil {
			t.Fatal(err)
		}
		all := make([]byte, d.Size())
		d.ReadAt(all, 0)
		if all[5] != 9 || all[16*SectorSize] != 2 || all[47*SectorSize] != 2 || all[48*SectorSize] != 0 {
			t.Fatal("the cache is not read")
		}
		d.Cut(rand.New(rand.NewPCG(seed, 0)))
		d.ReadAt(all, 0)
		lost := uint64(0)
		for n := range 64 {
			s := all[n*SectorSize:][:SectorSize]
			if n == 0 {
				s = append([]byte{}, s...)
				if s[5] != 9 {
					t.Error("FUA was lost")
				}
				s[5] = 1
			}
			if bytes.Count(s, s[:1]) != SectorSize {
				t.Fatalf("sector %d is torn", n)
			}
			switch {
			case n < 16 && s[0] != 1, n >= 16 && n < 32 && s[0] == 0, n >= 48 && s[0] != 0:
				t.Fatalf("sector %d is %d", n, s[0])
			case n >= 16 && n < 48 && s[0] != 2:
				lost++
			}
		}
		if lost != d.Counts().Dropped {
			t.Errorf("%d lost, counted %d", lost, d.Counts().Dropped)
		}
	}
}

func TestFaults(t *testing.T) {
	d := NewDisk(make([]byte, 8*SectorSize))
	write := func() error { return d.WriteAt(make([]byte, SectorSize), 0, false) }
	d.FailFrom(3, false)
	if err := errors.Join(write(), d.Flush()); err != nil {
		t.Fatal(err)
	}
	if write() == nil || d.Flush() != nil {
		t.Error("the third one has to fail, and no other")
	}
	d.FailFrom(1, true)
	if write() == nil || d.Flush() == nil || write() == nil {
		t.Error("all have to fail")
	}
	d.Mend()
	if err := errors.Join(write(), d.Flush()); err != nil || d.Counts().Failed != 4 {
		t.Errorf("%v %+v", err, d.Counts())
	}
}

// session is a client's side of a conversation.
func session(requests ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 3)
	b = binary.BigEndian.AppendUint64(b, magicOption)
	b = binary.BigEndian.AppendUint32(b, 8) // structured replies: not here
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint64(b, magicOption)
	b = binary.BigEndian.AppendUint32(b, optGo)
	b = binary.BigEndian.AppendUint32(b, 6)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, bytes.Join(requests, nil)...)
}

func ask(kind, flags uint16, handle, offset uint64, length uint32, data ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magicRequest)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint64(b, handle)
	b = binary.BigEndian.AppendUint64(b, offset)
	b = binary.BigEndian.AppendUint32(b, length)
	return append(b, data...)
}

// converse gives the server's side.
func converse(d *Disk, in []byte) ([]byte, error) {
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- Serve(server, d); server.Close() }()
	go func() { _, _ = client.Write(in) }()
	var out bytes.Buffer
	_, _ = io.Copy(&out, client)
	client.Close()
	return out.Bytes(), <-done
}

func TestServe(t *testing.T) {
	d := NewDisk(make([]byte, 8*SectorSize))
	out, err := converse(d, session(
		ask(cmdWrite, 0, 1, 100, 3, 'a', 'b', 'c'),
		ask(cmdFlush, 0, 2, 0, 0),
		ask(cmdRead, 0, 3, 99, 5),
		ask(cmdRead, 0, 4, 1<<40, 5),
		ask(cmdWrite, 0, 5, 8*SectorSize-1, 2, 'x', 'y'),
		ask(99, 0, 6, 0, 0),
		ask(cmdDisconnect, 0, 7, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	reply := func(code uint32, handle uint64, data string) []byte {
		b := binary.BigEndian.AppendUint32(nil, magicReply)
		b = binary.BigEndian.AppendUint32(b, code)
		return append(binary.BigEndian.AppendUint64(b, handle), data...)
	}
	want := bytes.Join([][]byte{reply(0, 1, ""), reply(0, 2, ""), reply(0, 3, "\x00abc\x00"),
		reply(errnoInvalid, 4, ""), reply(errnoInvalid, 5, ""), reply(errnoInvalid, 6, "")}, nil)
	if !bytes.HasSuffix(out, want) {
		t.Errorf("%q, want at the end %q", out, want)
	}
	if c := d.Counts(); c.Writes != 1 || c.Flushes != 1 || c.Sectors != 1 {
		t.Errorf("%+v", c)
	}
}

// FuzzServe: no client can do more than end its connection.
func FuzzServe(f *testing.F) {
	f.Add(session(ask(cmdWrite, 0, 1, 100, 3, 'a', 'b', 'c'), ask(cmdDisconnect, 0, 7, 0, 0)))
	f.Add(session(ask(cmdRead, 0, 4, 1<<63, 5)))
	f.Add([]byte{0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDisk(make([]byte, 4*SectorSize))
		r, w := bufio.NewReader(bytes.NewReader(in)), bufio.NewWriter(io.Discard)
		if negotiate(r, w, d.Size()) != nil {
			return
		}
		for {
			q, err := readRequest(r)
			if err != nil || q.kind == cmdDisconnect || answer(r, w, d, q) != nil {
				return
			}
		}
	})
}
