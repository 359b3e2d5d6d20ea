package board

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
)

// socket is one that receives, from /proc/net.
type socket struct {
	Local netip.AddrPort
	Inode string
}

// maxSockets is how many are looked at.
const maxSockets = 1 << 16

// parseSockets reads /proc/net/tcp, tcp6, udp or udp6: the sockets in state, "0A"
// for TCP that listens and "07" for UDP without a peer (Linux
// Documentation/networking/proc_net_tcp.rst). Lines that are no sockets are left
// out.
func parseSockets(text, state string) []socket {
	var out []socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != state {
			continue
		}
		host, port, ok := strings.Cut(f[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		addr, valid := kernelAddress(host)
		if !ok || err != nil || !valid {
			continue
		}
		out = append(out, socket{netip.AddrPortFrom(addr, uint16(n)), f[9]})
		if len(out) == maxSockets {
			break
		}
	}
	return out
}

// kernelAddress reads an address as /proc/net has it: 32 bit numbers in
// hexadecimal, in the machine's byte order.
func kernelAddress(s string) (netip.Addr, bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	addr, ok := netip.AddrFromSlice(b)
	return addr.Unmap(), ok
}

// overlap reports whether two sockets of one port would be in each other's way:
// the same address, or one that stands for all; :: stands for those of IPv4 too.
func overlap(a, b netip.Addr) bool {
	all := func(a, b netip.Addr) bool { return a.IsUnspecified() && (a.Is6() || b.Is4()) }
	return a == b || all(a, b) || all(b, a)
}

// ports looks at whether the addresses of the configuration are free.
func (d *doctor) ports() {
	if len(d.Listen) == 0 {
		return
	}
	tables := map[string][]socket{}
	for _, p := range []struct{ network, state string }{{"tcp", "0A"}, {"udp", "07"}} {
		for _, file := range []string{p.network, p.network + "6"} {
			tables[p.network] = append(tables[p.network], parseSockets(d.root.text("/proc/net/"+file), p.state)...)
		}
	}
	for _, l := range d.Listen {
		d.port(l, tables)
	}
}

func (d *doctor) port(listen string, tables map[string][]socket) {
	network, address := "tcp", listen
	for _, n := range []string{"tcp", "udp"} {
		if rest, ok := strings.CutPrefix(listen, n+":"); ok {
			network, address = n, strings.TrimPrefix(rest, "//")
		}
	}
	host, portText, err := net.SplitHostPort(address)
	port, perr := strconv.ParseUint(portText, 10, 16)
	if err != nil || perr != nil || port == 0 {
		return // a port that the kernel chooses, or no address: the configuration's matter
	}
	what := network + " port " + portText
	addr := netip.IPv4Unspecified()
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			addr = netip.IPv4Unspecified() // a name: any address
		}
	}
	for _, s := range tables[network] {
		if s.Local.Port() != uint16(port) || !overlap(s.Local.Addr(), addr.Unmap()) {
			continue
		}
		pid, name := d.root.ownerOf(s.Inode)
		switch {
		case name == serviceUser: // the program has the name of its user
			d.find(OK, what, "", "the gateway that runs has it (process %s)", pid)
		case pid == "":
			d.find(Fault, what, fmt.Sprintf("sudo ss -lnp%c 'sport = :%s'", network[0], portText), "%s is taken, by a program that does not show to this user", s.Local)
		default:
			fix := "sudo kill " + pid
			if unit := d.root.unitOf(pid); unit != "" {
				fix = "sudo systemctl disable --now " + unit
			}
			d.find(Fault, what, fix, "%s is taken by %s (process %s): end that, or give the gateway another port", s.Local, name, pid)
		}
		return
	}
	least, err := strconv.ParseUint(d.root.text("/proc/sys/net/ipv4/ip_unprivileged_port_start"), 10, 16)
	if err != nil {
		least = 1024
	}
	if port < least && d.User != "root" {
		d.find(Warning, what, fmt.Sprintf("echo net.ipv4.ip_unprivileged_port_start=%d | sudo tee /etc/sysctl.d/60-fieldgate.conf && sudo sysctl --system", port),
			"free, but ports below %d are for root only", least)
		return
	}
	d.find(OK, what, "", "free")
}

// ownerOf finds the process that has a socket, and its name; "" if it does not
// show, as for processes of other users.
func (t tree) ownerOf(inode string) (pid, name string) {
	want := "socket:[" + inode + "]"
	for _, p := range t.names("/proc", "") {
		if digits(p) != len(p) {
			continue
		}
		dir := path.Join("/proc", p, "fd")
		for _, fd := range t.names(dir, "") {
			if target, err := os.Readlink(t.path(path.Join(dir, fd))); err == nil && target == want {
				return p, orElse(t.text(path.Join("/proc", p, "comm")), "a process without a name")
			}
		}
	}
	return "", ""
}

// unitOf is the systemd unit that a process belongs to, from its control group;
// "" if it has none.
func (t tree) unitOf(pid string) string {
	for line := range strings.Lines(t.text("/proc/" + pid + "/cgroup")) {
		if unit := path.Base(strings.TrimSpace(line)); strings.HasSuffix(unit, ".service") {
			return unit
		}
	}
	return ""
}
