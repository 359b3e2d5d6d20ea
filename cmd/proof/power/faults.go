package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// faults lets a request of the disk, a write or a flush, fail while the gateway
// works: each of the first ones in turn, or all from a number on; and it stalls
// the disk for 30 s.
func (h *host) faults(single int) error {
	for nth := range uint64(single) {
		if err := h.fault(fmt.Sprintf("request %d fails", nth+1), nth+1, false, 0); err != nil {
			return err
		}
	}
	for _, from := range []uint64{1, 4} {
		if err := h.fault(fmt.Sprintf("all requests from %d on fail", from), from, true, 0); err != nil {
			return err
		}
	}
	return h.fault("a flush takes 30 s", 0, false, 30*time.Second)
}

func (h *host) fault(name string, nth uint64, lasting bool, stall time.Duration) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	l := newLife(h.content, false)
	b, err := h.start(l)
	if err != nil {
		return err
	}
	defer b.cut(h.rnd)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.await(ctx, "acknowledgements", func() bool { return b.acks >= 200 }); err != nil {
		return err
	}
	if stall > 0 {
		l.disk.Stall(stall)
	} else {
		l.disk.FailFrom(nth, lasting)
	}
	bad := func() bool {
		return b.health != "" && !strings.HasPrefix(b.health, "200") && strings.Contains(b.health, "store")
	}
	reported, on := "not reported", "it went on by itself"
	// One failed request may be one that the kernel tries again, or that of a
	// journal: then there is nothing to report.
	if err := b.await(ctx, "report", func() bool { return bad() || !lasting && stall == 0 && l.disk.Counts().Failed > 0 && b.acks > 2000 }); err != nil {
		return err
	}
	b.mu.Lock()
	if bad() {
		reported = b.health
	}
	during := b.acks
	b.mu.Unlock()
	if lasting {
		wait, stop := context.WithTimeout(ctx, 3*time.Second)
		_ = b.await(wait, "", func() bool { return false }) // time for acknowledgements that must not come
		stop()
		b.mu.Lock()
		more := b.acks - during
		b.mu.Unlock()
		if more > 200 {
			return fmt.Errorf("%d were acknowledged while no request succeeded", more)
		}
		l.disk.Mend()
	}
	b.mu.Lock()
	now := b.acks
	b.mu.Unlock()
	wait, stop := context.WithTimeout(ctx, 12*time.Second+stall)
	err = b.await(wait, "acknowledgements after the fault", func() bool { return b.acks > now+100 })
	stop()
	if err != nil {
		on = "it goes on after a boot (the kernel has given the file system up)"
		b.mu.Lock()
		if !bad() {
			err = fmt.Errorf("it does not go on and does not say why: %s", b.health)
		} else {
			err = nil
		}
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
	b.cut(h.rnd)
	l.disk.Mend()
	h.total = sum{}
	if err := h.look(l); err != nil {
		return err
	}
	fmt.Printf("fault: %s: %s; %s; looked for %d, lost %d\n", name, firstLine(reported), on, h.total.checked, h.total.lost)
	if h.total.lost > 0 || h.total.checked == 0 {
		return fmt.Errorf("%d of %d were lost", h.total.lost, h.total.checked)
	}
	return nil
}
