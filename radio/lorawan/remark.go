package lorawan

import (
	"context"
	"log/slog"
	"time"
)

// remark is a sort of message that a device can cause.
type remark uint8

const (
	saidJoin remark = iota
	saidUnsent
	saidSetting
	saidCounter
	saidKeys
	remarks
)

// The same of a device is said once in remarkEvery; of all devices together at
// most remarkBurst messages at once, and one more each remarkRefill. The others are
// there at the level debug.
const (
	remarkEvery  = 10 * time.Minute
	remarkBurst  = 60
	remarkRefill = time.Second
)

// chatter keeps devices, and whoever plays one, from filling the log.
type chatter struct {
	room   time.Duration // of the messages that may come, remarkRefill each
	at     time.Duration
	hidden uint64 // that were not said since the last one
}

// say logs what a device has caused. It needs mu.
func (s *Server) say(d *device, r remark, msg string, args ...any) {
	now, c := s.tick(), &s.chatter
	c.room, c.at = min(c.room+now-c.at, remarkBurst*remarkRefill), now
	level := slog.LevelInfo
	if last := d.said[r]; last != 0 && now < time.Duration(last)*time.Second+remarkEvery || c.room < remarkRefill {
		level = slog.LevelDebug
		c.hidden++
	} else {
		d.said[r] = uint32(now/time.Second) + 1
		c.room -= remarkRefill
	}
	if !s.cfg.Log.Enabled(context.Background(), level) {
		return
	}
	args = append([]any{"device", d.cfg.Device}, args...)
	if level == slog.LevelInfo && c.hidden > 0 {
		args = append(args, "not_shown", c.hidden)
		c.hidden = 0
	}
	s.cfg.Log.Log(context.Background(), level, msg, args...)
}
