package xively

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	day := func(h, m, s, micros int) time.Time { return time.Date(2013, 5, 10, h, m, s, micros*1000, time.UTC) }
	for s, want := range map[string]time.Time{
		"2013-05-10T00:18:07.703576Z":      day(0, 18, 7, 703576),
		"2013-05-10T00:18:07Z":             day(0, 18, 7, 0),
		"2013-05-10T00:18:07.7Z":           day(0, 18, 7, 700000),
		"2013-05-10T00:18:07,7Z":           day(0, 18, 7, 700000),
		"2013-05-10T00:18:07.703576999Z":   day(0, 18, 7, 703576),
		"2013-05-10T02:18:07+02:00":        day(0, 18, 7, 0),
		"2013-05-10T02:18:07+0200":         day(0, 18, 7, 0),
		"2013-05-10T02:18:07+02":           day(0, 18, 7, 0),
		"2013-05-09T20:48:07.000001-03:30": day(0, 18, 7, 1),
		"2013-05-10T00:18:07":              day(0, 18, 7, 0),
		"2013-05-10t00:18:07z":             day(0, 18, 7, 0),
		"2013-05-10T00:18Z":                day(0, 18, 0, 0),
		"2013-05-10T00:18":                 day(0, 18, 0, 0),
		"2013-05-10":                       day(0, 0, 0, 0),
		"2013-05-10 00:18:07 UTC":          day(0, 18, 7, 0),
		"2013-05-10 00:18:07 +0000":        day(0, 18, 7, 0),
		"2012-02-29T00:00:00Z":             time.Date(2012, 2, 29, 0, 0, 0, 0, time.UTC),
		"1066-10-14T00:00:00Z":             time.Date(1066, 10, 14, 0, 0, 0, 0, time.UTC),
	} {
		got, err := ParseTime(s)
		if err != nil || !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "12", "yesterday", "2013", "2013-05", "2013-5-10", "2013-13-10", "2013-00-10", "2013-05-32", "2013-02-29",
		"2013-05-10T", "2013-05-10T24:00:00Z", "2013-05-10T00:60:00Z", "2013-05-10T00:00:60Z", "2013-05-10T00:18:07.Z", "2013-05-10T00:18:07.1234567890Z",
		"2013-05-10T00:18:07 ", "2013-05-10T00:18:07Zx", "2013-05-10T00:18:07+24:00", "2013-05-10T00:18:07+02:60", "2013-05-10T00:18:07+2",
		"2013-05-10T00:18:07X", "2013-05-10x00:18:07Z", "-013-05-10T00:18:07Z", "12013-05-10T00:18:07Z", "2013-05-10T00", "2013-05-10T00:18:07Z2013-05-10T00:18:07Z2013-05-10"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestAppendTime(t *testing.T) {
	at := time.Date(2013, 5, 10, 0, 18, 7, 465267999, time.UTC)
	for want, at := range map[string]time.Time{
		"x2013-05-10T00:18:07.465267Z":      at,
		"x2013-05-10T00:18:07.000000Z":      at.Truncate(time.Second),
		"x2013-05-09T20:48:07.465267-03:30": at.In(time.FixedZone("", -12600)),
		"x2013-05-10T02:18:07.465267+02:00": at.In(time.FixedZone("CEST", 7200)),
	} {
		if got := string(AppendTime([]byte("x"), at)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// What is read is what time.Parse reads of it, and comes back the same.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2013-05-10T00:18:07.703576Z", "2013-05-10T02:18:07+0200", "2013-05-10 00:18:07 UTC", "2013-05-10", "2013-02-30T00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s)
		if err != nil {
			if want, err := time.Parse(timeLayout, s); err == nil && want.Format(timeLayout) == s { // it takes "T0:00" too
				t.Fatalf("%q is not read, but it is %v", s, want)
			}
			return
		}
		if want, err := time.Parse(time.RFC3339Nano, s); err == nil && !got.Equal(want.Truncate(time.Microsecond)) {
			t.Fatalf("%q is read as %v, but it is %v", s, got, want)
		}
		if y := got.Year(); y < 0 || y > 9999 {
			return // an offset moved it out of what four digits hold
		}
		text := string(AppendTime(nil, got))
		if again, err := ParseTime(text); err != nil || !again.Equal(got) {
			t.Fatalf("%q is written as %s and read as %v, %v", s, text, again, err)
		}
	})
}
