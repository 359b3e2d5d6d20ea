package frame

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// hexBytes is a string of hexadecimal digits in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b)+"\n", "%x\n", (*[]byte)(h))
	if len(b) == 0 {
		*h, err = nil, nil
	}
	return err
}

type witnessJoin struct {
	Key             Key
	JoinEUI, DevEUI EUI
	DevNonce        uint16
	Frame           hexBytes
}

type witnessAccept struct {
	Key                             Key
	JoinNonce, NetID                uint32
	DevAddr                         DevAddr
	RX1Offset, RX2DataRate, RxDelay uint8
	CFList, Frame                   hexBytes
}

type witnessData struct {
	NwkSKey, AppSKey                     Key
	Kind                                 Kind
	DevAddr                              DevAddr
	ADR, ADRACKReq, ACK, Pending, ClassB bool
	FCnt                                 uint32
	FPort                                int
	FOpts, Payload, Frame                hexBytes
}

// testdata/frames.json is made by another implementation, whose name and version
// are in it.
func TestWitnessFrames(t *testing.T) {
	file, err := os.ReadFile("testdata/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var w struct {
		Joins   []witnessJoin
		Accepts []witnessAccept
		Data    []witnessData
	}
	if err := json.Unmarshal(file, &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Joins) < 8 || len(w.Accepts) < 12 || len(w.Data) < 40 {
		t.Fatalf("%d joins, %d accepts, %d data", len(w.Joins), len(w.Accepts), len(w.Data))
	}
	for i, c := range w.Joins {
		j := Join{JoinEUI: c.JoinEUI, DevEUI: c.DevEUI, DevNonce: c.DevNonce}
		if got := j.Append(nil, c.Key); !bytes.Equal(got, c.Frame) {
			t.Errorf("join %d: %x, want %x", i, got, c.Frame)
		}
		if got, err := ParseJoin(c.Frame); err != nil || got != j || !CheckJoin(c.Frame, c.Key) {
			t.Errorf("join %d: %+v, %v, want %+v", i, got, err, j)
		}
	}
	for i, c := range w.Accepts {
		a := Accept{c.JoinNonce, c.NetID, c.DevAddr, c.RX1Offset, c.RX2DataRate, c.RxDelay, c.CFList}
		if got, err := a.Append(nil, c.Key); err != nil || !bytes.Equal(got, c.Frame) {
			t.Errorf("accept %d: %x, %v, want %x", i, got, err, c.Frame)
		}
		if got, err := ParseAccept(c.Frame, c.Key); err != nil || fmt.Sprint(got) != fmt.Sprint(a) {
			t.Errorf("accept %d: %+v, %v, want %+v", i, got, err, a)
		}
	}
	for i, c := range w.Data {
		d := Data{c.Kind, c.DevAddr, c.ADR, c.ADRACKReq, c.ACK, c.Pending, c.ClassB, uint16(c.FCnt), c.FOpts, c.FPort, c.Payload}
		if got, err := d.Append(nil, c.NwkSKey, c.AppSKey, c.FCnt); err != nil || !bytes.Equal(got, c.Frame) {
			t.Errorf("data %d: %x, %v, want %x", i, got, err, c.Frame)
		}
		got, err := ParseData(c.Frame)
		if err != nil || !CheckData(c.Frame, c.NwkSKey, c.FCnt) {
			t.Errorf("data %d: %v, or its MIC", i, err)
			continue
		}
		k := c.AppSKey
		if got.FPort == 0 {
			k = c.NwkSKey
		}
		got.Payload = Decrypt(&got, k, c.FCnt)
		sameData(t, got, d, c.Payload)
	}
}

// testdata/commands.txt is made by another implementation, whose name and version
// are in it.
func TestWitnessCommands(t *testing.T) {
	file, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(file)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(strings.TrimSpace(line), " ", 3)
		b, parse := unhex(t, parts[1]), ParseDown
		if parts[0] == "up" {
			parse = ParseUp
		}
		cs, err := parse(b)
		if err != nil || len(cs) != 1 {
			t.Errorf("%s: %v, %v", line, cs, err)
			continue
		}
		if got := strings.TrimPrefix(fmt.Sprintf("%T%+v", cs[0], cs[0]), "frame."); got != parts[2] {
			t.Errorf("%s: got %s", line, got)
		}
		if got := AppendCommands([]byte{1}, cs[0]); !bytes.Equal(got[1:], b) || CommandLen(cs[0]) != len(b) {
			t.Errorf("%s: appended %x, said to be of %d bytes", line, got[1:], CommandLen(cs[0]))
		}
		if cs[0].ID() != b[0] || cs[0].Uplink() != (parts[0] == "up") {
			t.Errorf("%s: CID %#x, uplink %v", line, cs[0].ID(), cs[0].Uplink())
		}
		seen[fmt.Sprintf("%T", cs[0])] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 commands seen: %v", len(seen), seen)
	}
}
