package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"fieldgate/gateway/access"
)

func TestCurrentGetsOverAClockThatWasAhead(t *testing.T) {
	f := newFixture(t, declared())
	right := f.clock.s
	submit := func(value string, at time.Time) {
		t.Helper()
		b := reading("Open", "TC1", value)
		b.Readings[0].Time = at
		if err := f.hub.Submit(b); err != nil {
			t.Fatal(err)
		}
		f.log.commit()
	}
	ahead := right
	ahead.Wall, ahead.Quality = right.Wall.AddDate(9, 0, 0), ClockUnsynced
	for _, given := range []time.Time{{}, right.Wall.Add(-time.Second)} {
		f.clock.s = ahead
		submit("1", time.Time{})
		f.clock.s = right
		submit("2", given)
		if r, _ := f.hub.Current("Open", "TC1", KindSensor); string(r.Value) != "2" {
			t.Errorf("the value of a clock nine years ahead stays, after one of %v", given)
		}
	}
}

// TestRestoreGoesOnPastWhatIsGone: values of devices that are gone do not count
// for those that are wanted.
func TestRestoreGoesOnPastWhatIsGone(t *testing.T) {
	f := newFixture(t, declared())
	at := f.clock.s.Wall
	records := []Record{{Kind: KindSensor, Device: "Open", Channel: "TC1", Value: []byte("7"), At: at}}
	for range 10 {
		id := newID()
		records = append(records, Record{Kind: KindSensor, Device: id, Channel: "S", Value: []byte("1"), At: at})
	}
	if err := f.hub.Restore(func(fn func(Record) bool) error {
		for i := len(records) - 1; i >= 0 && fn(records[i]); i-- {
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if r, _ := f.hub.Current("Open", "TC1", KindSensor); string(r.Value) != "7" {
		t.Errorf("restored %q, want 7", r.Value)
	}
	if _, ok := f.hub.Current(records[1].Device, "S", KindSensor); ok {
		t.Error("a device that is gone has a value")
	}
}

// TestRestoreOfTheSilent: a rain gauge that has counted nothing for a season goes
// on from its total, however much others have recorded since.
func TestRestoreOfTheSilent(t *testing.T) {
	f := newFixture(t, declared())
	at := f.clock.s.Wall
	asked := 0
	err := f.hub.Restore(func(fn func(Record) bool) error {
		busy := Record{Kind: KindSensor, Device: "Open", Channel: "nobody's", Value: []byte("1"), At: at}
		for n := 0; fn(busy); n++ {
			if n > 10_000_000 {
				t.Fatal("all of the log is walked")
			}
		}
		return nil
	}, func(_ context.Context, q HistoryQuery, fn func(Record) error) error {
		asked++
		if q.Device != "Open" || q.Channel != "TC1" || !q.Backward {
			return nil
		}
		if q.To.IsZero() || q.To.After(at) {
			t.Errorf("values from the future are asked for: %+v", q)
		}
		for i, v := range []string{"41", "40"}[:2-q.Limit] {
			if err := fn(Record{Kind: q.Kind, Device: q.Device, Channel: q.Channel, Value: []byte(v), At: at.AddDate(0, -i-1, 0)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := f.hub.Current("Open", "TC1", KindSensor); string(r.Value) != "41" {
		t.Errorf("restored %q, want 41, after %d questions", r.Value, asked)
	}
}

func TestGapIsToldTheNextTime(t *testing.T) {
	f := newFixture(t, declared())
	f.log.refuse = ErrNotKept
	miss := func() {
		t.Helper()
		if err := f.hub.Submit(reading("Open", "TC1", "3")); !errors.Is(err, ErrNotKept) {
			t.Fatal(err)
		}
	}
	first := f.clock.s.Wall
	miss()
	if err := f.hub.Recovered([]string{"cloud"}); !errors.Is(err, ErrNotKept) {
		t.Fatalf("Recovered = %v, want ErrNotKept", err)
	}
	f.clock.s.Wall = first.Add(time.Minute)
	miss()
	f.log.refuse = nil
	if err := f.hub.Recovered([]string{"cloud"}); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	if len(f.log.records) != 1 {
		t.Fatalf("%d gap records", len(f.log.records))
	}
	l := f.log.records[0].Lost
	if l.Count != 2 || l.Counts["Open/TC1"] != 2 || !l.First.Equal(first) || !l.Last.Equal(first.Add(time.Minute)) {
		t.Errorf("gap %+v", l)
	}
}

func TestChangesAreNotCountedAsMessages(t *testing.T) {
	f := newFixture(t, declared())
	b := &Batch{From: ann, Source: "test"}
	if err := f.hub.Change(b, ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "New"}}); err != nil {
		t.Fatal(err)
	}
	if err := f.hub.Submit(&Batch{From: access.System, Source: "test", Carrier: &Message{Topic: "a"}}); err != nil {
		t.Fatal(err)
	}
	if s := f.hub.Stats(); s.Changes != 1 || s.Messages != 1 || s.Readings != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestSensorThatLeftTheFileIsGone(t *testing.T) {
	d := declared()
	d.Devices[0].Sensors = append(d.Devices[0].Sensors, Sensor{ID: "old"})
	f := newFixture(t, d)
	for _, req := range []ChangeRequest{
		{Op: SetName, Device: "Open", Name: "Renamed"},
		{Op: CreateSensor, Device: "Open", NewSensor: &Sensor{ID: "made"}},
	} {
		if _, _, err := f.reg.Apply(req, "ann"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.reg.Declare(declared()); err != nil {
		t.Fatal(err)
	}
	dev, _ := f.reg.Device("Open")
	if _, ok := dev.Sensor("old"); ok {
		t.Error("a sensor is there that was taken out of the file")
	}
	if _, ok := dev.Sensor("made"); !ok {
		t.Error("a sensor made at run time is gone")
	}
}
