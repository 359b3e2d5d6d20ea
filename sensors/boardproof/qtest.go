package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// qtest is QEMU's protocol for tests (docs/devel/testing/qtest.rst): here it is
// the probe on the board's pins. It is for one goroutine.
type qtest struct {
	conn net.Conn
	in   *bufio.Reader
}

// ask sends a command and gives the words after OK.
func (q *qtest) ask(format string, args ...any) ([]string, error) {
	command := fmt.Sprintf(format, args...)
	if _, err := fmt.Fprintln(q.conn, command); err != nil {
		return nil, fmt.Errorf("qtest: %s: %w", command, err)
	}
	line, err := q.in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("qtest: %s: %w", command, err)
	}
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "OK" {
		return nil, fmt.Errorf("qtest: %s: %q", command, line)
	}
	return words[1:], nil
}

// register reads 32 bits of the board's memory.
func (q *qtest) register(address uint32) (uint32, error) {
	words, err := q.ask("readl 0x%x", address)
	if err != nil {
		return 0, err
	}
	return parseRegister(words)
}

func parseRegister(words []string) (uint32, error) {
	if len(words) != 1 {
		return 0, fmt.Errorf("qtest: %q is no register", words)
	}
	v, err := strconv.ParseUint(words[0], 0, 64)
	if err != nil || v > 0xffffffff {
		return 0, fmt.Errorf("qtest: %q is no register of 32 bits", words[0])
	}
	return uint32(v), nil
}

// drive sets the level of a pin of the device at that path of QEMU's object
// tree.
func (q *qtest) drive(path string, pin int, high bool) error {
	level := 0
	if high {
		level = 1
	}
	_, err := q.ask("set_irq_in %s unnamed-gpio-in %d %d", path, pin, level)
	return err
}
