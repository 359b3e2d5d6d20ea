package config

import (
	"strconv"
	"time"
)

// Limits of the log's size.
const (
	MinStoreSize = 1 << 20
	MaxStoreSize = 448 << 20
)

const whyStoreSize = ": the file is mapped into memory, which a 32-bit board has little of"

func (c *Config) store(t *table) {
	t.get("max_size").size(&c.Store.MaxSize, MinStoreSize, MaxStoreSize, whyStoreSize)
	t.get("max_age").duration(&c.Store.MaxAge, 0, 36500*24*time.Hour)
	t.get("commit_every").duration(&c.Store.CommitEvery, time.Millisecond, 10*time.Second)
	var failing string
	t.get("when_failing").choice(&failing, "hold", "acknowledge")
	c.Store.Acknowledge = failing == "acknowledge"
	t.close()
}

func (c *Config) limits(t *table) {
	l := &c.Limits
	t.get("clients").integer(&l.Clients, 1, 100000)
	t.get("pending").integer(&l.Pending, 1, 100000)
	t.get("connect_rate").integer(&l.ConnectRate, 1, 100000)
	sessions := t.get("sessions")
	if sessions.integer(&l.Sessions, 1, 200000); !sessions.present() {
		l.Sessions = max(l.Sessions, 2*l.Clients)
	} else if l.Sessions < l.Clients {
		sessions.mistake(strconv.Itoa(l.Clients)+" clients need as many sessions", "sessions must be at least clients")
	}
	t.get("subscriptions").integer(&l.Filters, 1, 100000)
	t.get("subscriptions_total").integer(&l.FiltersTotal, 1, 1000000)
	t.get("retained").integer(&l.Retained, 1, 1000000)
	retained := int64(l.RetainedBytes)
	t.get("retained_bytes").size(&retained, 4<<10, 256<<20, "")
	l.RetainedBytes = int(retained)
	packet, queue := int64(l.PacketSize), int64(l.QueueBytes)
	packetAt, queueAt := t.get("packet_size"), t.get("queue_bytes")
	packetAt.size(&packet, 1<<10, 64<<20, "")
	queueAt.size(&queue, 4<<10, 256<<20, "")
	l.PacketSize, l.QueueBytes = int(packet), int(queue)
	if queue < packet {
		at := queueAt
		if !at.present() {
			at = packetAt
		}
		at.mistake("a packet of "+formatSize(packet)+" does not fit a queue of "+formatSize(queue),
			"queue_bytes must be at least packet_size")
	}
	t.get("queue_messages").integer(&l.QueueMessages, 1, 100000)
	t.get("connect_timeout").duration(&l.ConnectTimeout, time.Second, time.Minute)
	t.get("write_timeout").duration(&l.WriteTimeout, 100*time.Millisecond, time.Minute)
	t.close()
}

func (c *Config) log(t *table) {
	level := "info"
	t.get("level").choice(&level, "debug", "info", "warn", "error")
	_ = c.Log.Level.UnmarshalText([]byte(level))
	t.get("format").choice(&c.Log.Format, "text", "json")
	t.close()
}
