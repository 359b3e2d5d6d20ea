package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJournalOnAFullDisk: commits to the journal, which has its room already, do
// not hide that the disk is nearly full.
func TestJournalOnAFullDisk(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{MaxSize: 64 << 20})
	frames := func() int { return len(r.readJournal().frames) }
	recs := r.trickle(0, 5)
	before := frames()
	if before < 4 {
		t.Fatalf("%d commits in the journal", before)
	}
	free := ballast(t, dir, journalMinSpare/2)
	recs = append(recs, r.trickle(5, 5)...)
	if n := frames(); n > before {
		t.Errorf("%d commits in the journal though the disk is nearly full", n-before)
	}
	free()
	recs = append(recs, r.trickle(10, 5)...)
	if n := frames(); n < 4 {
		t.Errorf("%d commits in the journal", n)
	}
	got := values(r.openAt(t, r.copied()).all())
	for seq, value := range values(recs) {
		if got[seq] != value {
			t.Errorf("record %d is %q, was %s", seq, got[seq], value)
		}
	}
}

// TestJournalHeals: a record that is damaged in the log's file is taken from the
// journal while that has it.
func TestJournalHeals(t *testing.T) {
	r := newRig(t, Options{})
	recs := r.trickle(0, 3)
	mark := strings.Repeat("of the journal", 20)
	marked := r.reading(3)
	marked.Value = json.RawMessage(`"` + mark + `"`)
	recs = append(recs, r.put(marked)...)
	r.fill(4, 500) // takes the journal's records into the file
	file, err := os.OpenFile(r.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for at := 0; ; n++ {
		i := bytes.Index(content[at:], []byte(mark))
		if i < 0 {
			break
		}
		at += i + len(mark)
		if _, err := file.WriteAt([]byte("x"), int64(at-1)); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Fatal("the record is not in the file")
	}
	settle(r)
	got := values(r.all())
	for seq, value := range values(recs) {
		if got[seq] != value {
			t.Errorf("record %d is %q, was %s", seq, got[seq], value)
		}
	}
	if len(got) != len(recs)+500 {
		t.Errorf("%d records", len(got))
	}
}
