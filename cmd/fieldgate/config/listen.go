package config

import (
	"fmt"
	"net"
	"strconv"
)

// Beyond lists the addresses that other machines can reach.
func (l Listen) Beyond() []string {
	var out []string
	for _, a := range []string{l.MQTT, l.MQTTS, l.HTTP} {
		if a != "" && !loopback(a) {
			out = append(out, a)
		}
	}
	return out
}

// loopback reports whether only this machine can reach a "host:port".
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) listen(l, t *table) {
	taken := map[string]string{}
	for _, x := range []struct {
		key     string
		example string
		dst     *string
	}{
		{"mqtt", "127.0.0.1:1883 for this machine, 0.0.0.0:1883 for all", &c.Listen.MQTT},
		{"mqtts", "127.0.0.1:8883 for this machine, 0.0.0.0:8883 for all", &c.Listen.MQTTS},
		{"http", "127.0.0.1:8080 for this machine, 0.0.0.0:8080 for all", &c.Listen.HTTP},
	} {
		v := l.get(x.key)
		ok := v.text(x.dst)
		if *x.dst == "" {
			continue
		}
		if ok && !v.address(*x.dst, x.example) {
			continue
		}
		if other, twice := taken[*x.dst]; twice {
			v.mistake(*x.dst+" is the address of "+other+" too", "give each its own port, or \"\" to turn one off")
		} else if _, port, _ := net.SplitHostPort(*x.dst); port != "0" {
			taken[*x.dst] = "listen." + x.key
		}
	}
	l.close()

	cert, key, ca := t.get("cert"), t.get("key"), t.get("client_ca")
	cert.text(&c.TLS.Cert)
	key.text(&c.TLS.Key)
	ca.text(&c.TLS.ClientCA)
	t.close()
	r := l.r
	c.TLS = TLS{r.path(c.TLS.Cert), r.path(c.TLS.Key), r.path(c.TLS.ClientCA)}
	mqtts := l.get("mqtts")
	switch {
	case c.Listen.MQTTS != "" && (c.TLS.Cert == "" || c.TLS.Key == ""):
		mqtts.mistake("needs a certificate and its key", "set tls.cert and tls.key, or \"\" to turn it off")
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		t.mistake("a certificate and its key go together", "set both cert and key")
	}
	r.pair(cert, key, c.TLS.Cert, c.TLS.Key)
	r.authorities(ca, c.TLS.ClientCA)
}

// address checks a "host:port" to listen on.
func (v value) address(a, example string) bool {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		v.mistake(fmt.Sprintf("%.60q is not host:port", a), example)
		return false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || port != strconv.Itoa(n) {
		v.mistake(fmt.Sprintf("the port %.20q is not possible", port), "a number from 1 to 65535, or 0 for any free one")
		return false
	}
	if host != "" && net.ParseIP(host) == nil && !hostName(host) {
		v.mistake(fmt.Sprintf("%.60q is no address", host), example)
		return false
	}
	return true
}

// hostName reports whether s looks like a host name, or an IPv6 address with a
// zone.
func hostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == ':', c == '%':
		default:
			return false
		}
	}
	return true
}
