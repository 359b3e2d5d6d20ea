package store

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fieldgate/gateway"
)

func TestInspectAndVerify(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20, Uplinks: []string{"cloud"}})
	r.close()
	r.plain = true
	r.open()
	r.fill(0, 3000)
	r.SetCursor("cloud", gateway.Cursor{Next: 100})
	r.arranged()
	live, err := r.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Verify(t.Context())
	if err != nil || !v.OK || v.Records != 3000 {
		t.Fatalf("%+v %v", v, err)
	}
	r.close()
	dead, err := Inspect(r.path)
	if err != nil {
		t.Fatal(err)
	}
	live.UsedBytes, dead.UsedBytes = 0, 0 // the cursor was written since
	live.FileBytes, dead.FileBytes = 0, 0
	if !reflect.DeepEqual(live, dead) || dead.Records != 3000 || dead.Cursors["cloud"].Next != 100 || len(dead.Segments) < 2 || len(dead.Boots) != 1 || dead.Opened != 2 {
		t.Fatalf("%+v\n%+v", live, dead)
	}
	v, err = Verify(t.Context(), r.path)
	if err != nil || !v.OK || v.Records != 3000 {
		t.Fatalf("%+v %v", v, err)
	}
	before, _ := os.ReadFile(r.path)
	// Damaged files are looked into as they are, and not touched.
	for name, damage := range damages {
		b := damage(bytes.Clone(before))
		if err := os.WriteFile(r.path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := Verify(t.Context(), r.path)
		if err != nil || !bytes.Equal(b, before) && v.OK && !sameUsed(t, b, before) {
			t.Errorf("%s: %+v %v", name, v, err)
		}
		i, err := Inspect(r.path)
		if err != nil || i.Records != v.Records {
			t.Errorf("%s: %+v %+v %v", name, i, v, err)
		}
		if after, _ := os.ReadFile(r.path); !bytes.Equal(after, b) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// sameUsed says whether two files differ in bytes only that nothing depends
// on: pages that were given up, the rest of a page.
func sameUsed(t *testing.T, a, b []byte) bool {
	x, y := blobsOf(t, a), blobsOf(t, b)
	return reflect.DeepEqual(x, y)
}

func exportRecords(r *rig) []gateway.Record {
	now := r.clock.Now()
	odd := r.reading(2)
	odd.Value, odd.Device, odd.Time = json.RawMessage(`{"a": "x,\"y\"", "b": [1]}`), "d\"é", epoch
	return []gateway.Record{
		r.reading(1), odd,
		{Kind: gateway.KindMessage, Topic: "a/b", Value: json.RawMessage("not json"), QoS: 1, Retain: true, Uplink: "cloud", Stamp: now},
		{Kind: gateway.KindMessage, Topic: "a/b", Value: json.RawMessage{0xFF, 0}, Uplink: "cloud", Stamp: now},
		{Kind: gateway.KindGap, Uplink: "cloud", Lost: &gateway.Lost{Reason: "disk", From: 1, To: 2, Count: 2}, Stamp: now},
		{Kind: gateway.KindChange, Topic: "devices/x", Stamp: now},
	}
}

func TestExport(t *testing.T) {
	r := newRig(t, Options{})
	r.put(exportRecords(r)...)
	var lines, table bytes.Buffer
	if err := ExportJSONLines(&lines, "gw-1", r.Export()); err != nil {
		t.Fatal(err)
	}
	if err := ExportCSV(&table, "gw-1", r.Export()); err != nil {
		t.Fatal(err)
	}
	const first = `{"id":"gw-1/1","seq":1,"kind":"sensor","device":"MyDevice","channel":"TC1","value":1,"time":"2026-11-20T08:00:00.000000Z","clock":"synced","wall":"2026-11-20T08:00:00.000000Z","wall_clock":"synced","boot":"01000000000000000000000000000000","mono_us":1000000}`
	got := strings.Split(strings.TrimSpace(lines.String()), "\n")
	if got[0] != first || len(got) != 6 {
		t.Fatalf("%d lines\n%s", len(got), got[0])
	}
	for i, want := range []string{`"value":1`, `"value":{"a":"x,\"y\"","b":[1]}`, `"text":"not json","qos":1,"retain":true`, `"base64":"/wA="`, `"lost":{"reason":"disk","from":1,"to":2,"count":2}`, `"topic":"devices/x"`} {
		if !json.Valid([]byte(got[i])) || !strings.Contains(got[i], want) {
			t.Errorf("line %d is %s, want %s in it", i, got[i], want)
		}
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatal(err, len(rows))
	}
	if rows[2][3] != `d"é` || rows[2][7] != `{"a": "x,\"y\"", "b": [1]}` || rows[3][6] != "text" || rows[4][7] != "/wA=" || rows[0][0] != "id" {
		t.Fatalf("%q", rows)
	}
	// After the gateway has ended, and after it has died.
	for _, damage := range []bool{false, true} {
		r.close()
		if damage {
			b, _ := os.ReadFile(r.path)
			clear(b[:2*ourPageSize])
			if err := os.WriteFile(r.path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		rd, err := OpenReader(r.path)
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if err := ExportJSONLines(&again, "gw-1", rd.Next); err != nil {
			t.Fatal(err)
		}
		if again.String() != lines.String() || (rd.Damage() != nil) != damage {
			t.Fatalf("damage %v\n%s\n%s", rd.Damage(), again.String(), lines.String())
		}
		if err := rd.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReaderWhileDamaged ends a reading of a damaged file half way.
func TestReaderOfDamagedFileEndsEarly(t *testing.T) {
	r := newRig(t, Options{})
	r.fill(0, 3000)
	r.close()
	b, _ := os.ReadFile(r.path)
	clear(b[:ourPageSize])
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	rd, err := OpenReader(r.path)
	if err != nil {
		t.Fatal(err)
	}
	if recs, err := rd.Next(); err != nil || len(recs) == 0 {
		t.Fatal(err)
	}
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
}
