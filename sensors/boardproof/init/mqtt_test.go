package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
)

func TestPacket(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 200_000} {
		want := packet{kind: publish, flags: 3, body: bytes.Repeat([]byte{7}, n)}
		in := bufio.NewReader(bytes.NewReader(want.encode()))
		if got, err := readPacket(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := readPacket(in); err != io.EOF {
			t.Errorf("%d bytes: then %v", n, err)
		}
	}
	// The lengths of MQTT 3.1.1 table 2.4.
	if got := (packet{kind: publish, body: make([]byte, 128)}).encode()[:3]; !bytes.Equal(got, []byte{0x30, 0x80, 0x01}) {
		t.Errorf("% x", got)
	}
}

func TestBrokenPacket(t *testing.T) {
	for name, raw := range map[string]string{
		"no length":     "\x30",
		"endless":       "\x30\xff\xff\xff\xff\x01",
		"torn":          "\x30\x05\x00\x01",
		"as long as it": "\x30\xff\xff\xff\x7f",
	} {
		if _, err := readPacket(bufio.NewReader(strings.NewReader(raw))); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParsePublish(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     packet
		want  message
		fails bool
	}{
		{"QoS 0", packet{publish, 1, []byte("\x00\x03a/b24.5")}, message{topic: "a/b", payload: []byte("24.5"), retained: true}, false},
		{"QoS 1", packet{publish, 2, []byte("\x00\x03a/b\x01\x0224.5")}, message{topic: "a/b", payload: []byte("24.5"), qos: 1, id: 258}, false},
		{"no payload", packet{publish, 0, []byte("\x00\x03a/b")}, message{topic: "a/b", payload: []byte{}}, false},
		{"ends in its topic", packet{publish, 0, []byte("\x00\x04a/b")}, message{}, true},
		{"ends in its id", packet{publish, 2, []byte("\x00\x03a/b\x01")}, message{}, true},
		{"empty", packet{publish, 0, nil}, message{}, true},
		{"QoS 3", packet{publish, 6, []byte("\x00\x03a/b")}, message{}, true},
		{"no PUBLISH", packet{connack, 0, []byte("\x00\x00")}, message{}, true},
	} {
		got, err := parsePublish(c.p)
		if (err != nil) != c.fails || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestSession talks to a broker that sends a message before its SUBACK.
func TestSession(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		served <- func() error {
			conn, err := ln.Accept()
			if err != nil {
				return err
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for _, step := range []struct{ want, answer string }{
				{"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05board", "\x20\x02\x00\x00"},
				{"\x82\x08\x00\x01\x00\x03a/#\x01", "\x31\x07\x00\x03a/bon" + "\x90\x03\x00\x01\x01" + "\x32\x0a\x00\x03a/b\x00\x09off"},
				{"\x40\x02\x00\x09", ""},
			} {
				p, err := readPacket(in)
				if err != nil {
					return err
				}
				if got := string(p.encode()); got != step.want {
					return errors.New("the client sent " + got)
				}
				if _, err := io.WriteString(conn, step.answer); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	s, err := dial(ln.Addr().String(), "board")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.subscribe("a/#"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []message{
		{topic: "a/b", payload: []byte("on"), retained: true},
		{topic: "a/b", payload: []byte("off"), qos: 1, id: 9},
	} {
		if got, err := s.next(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := s.next(); err == nil {
		t.Error("a message from a broker that is gone")
	}
}

// TestRefused: a broker that refuses is an error, not silence.
func TestRefused(t *testing.T) {
	for name, answers := range map[string][2]string{
		"the connection":   {"\x20\x02\x00\x05", ""},
		"the subscription": {"\x20\x02\x00\x00", "\x90\x03\x00\x01\x80"},
	} {
		client, broker := net.Pipe()
		go func() {
			defer broker.Close()
			in := bufio.NewReader(broker)
			for _, answer := range answers {
				if _, err := readPacket(in); err != nil {
					return
				}
				if _, err := io.WriteString(broker, answer); err != nil {
					return
				}
			}
		}()
		s := &session{conn: client, in: bufio.NewReader(client)}
		err := s.connect("board")
		if err == nil {
			err = s.subscribe("a/#")
		}
		if err == nil {
			t.Errorf("%s was refused without an error", name)
		}
		s.close()
	}
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte("\x30\x07\x00\x03a/bon"))
	f.Add([]byte("\x32\x0a\x00\x03a/b\x00\x09off"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := readPacket(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		if m, err := parsePublish(p); err == nil && len(m.topic)+len(m.payload) > len(p.body) {
			t.Error("more than was sent")
		}
	})
}
