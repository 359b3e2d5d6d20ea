package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Files beside the one at path.
const (
	newSuffix   = ".new"     // what is being saved from a damaged file
	spareSuffix = ".spare"   // gives way when the disk is full
	asideInfix  = ".damaged" // a damaged file, with the time at which it was set aside

	spareBytes = 256 << 10
	mostAside  = 2
)

// finishRename ends a repair that was cut off between its two renamings, and
// removes what one left that was cut off before.
func finishRename(path string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		_ = os.Remove(path + newSuffix)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.Rename(path+newSuffix, path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDir(path)
}

// setAside renames what is at path and gives its new name. Of those that were
// set aside before, only the newest stays.
func setAside(path, stamp string) (string, error) {
	name := path + asideInfix + "-" + stamp
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s%s-%s-%d", path, asideInfix, stamp, i)
	}
	if err := os.Rename(path, name); err != nil {
		return "", err
	}
	removeAside(path, mostAside, filepath.Clean(name))
	return name, syncDir(path)
}

// removeAside removes the oldest files that were set aside, until keep are
// left, and says whether there were any. The one called newest counts as such
// whatever the clock said. Folders stay.
func removeAside(path string, keep int, newest string) (removed bool) {
	dir, base := filepath.Dir(path), filepath.Base(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	type old struct {
		name string
		info fs.FileInfo
	}
	var all []old
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && strings.HasPrefix(e.Name(), base+asideInfix+"-") {
			all = append(all, old{filepath.Join(dir, e.Name()), info})
		}
	}
	slices.SortFunc(all, func(a, b old) int { // oldest first
		switch {
		case a.name == newest:
			return 1
		case b.name == newest:
			return -1
		case !a.info.ModTime().Equal(b.info.ModTime()):
			return a.info.ModTime().Compare(b.info.ModTime())
		}
		return strings.Compare(a.name, b.name)
	})
	for len(all) > keep {
		removed = os.Remove(all[0].name) == nil || removed
		all = all[1:]
	}
	return removed
}

// freeDisk is how many bytes are left for this user on path's disk, -1 if that
// cannot be told.
func freeDisk(path string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// makeSpare makes the file whose blocks are given up when the disk is full, so
// that dropping old records, which needs a few new pages, is still possible.
// Without it that may fail; nothing else does.
func makeSpare(path string) {
	name := path + spareSuffix
	if st, err := os.Stat(name); err == nil && st.Size() == spareBytes {
		return
	}
	b := make([]byte, spareBytes)
	for i := range b {
		b[i] = byte(i) | 1 // some file systems store no zeros
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(name)
	}
}

// dropSpare reports whether there was a spare file to remove.
func dropSpare(path string) bool { return os.Remove(path+spareSuffix) == nil }
