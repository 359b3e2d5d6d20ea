package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway/access"
)

var uplinkName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ReadPassword gives the password: that of the file, read anew each time, or the
// one in the configuration.
func (u *Uplink) ReadPassword() (string, error) {
	if u.PasswordFile == "" {
		return string(u.Password), nil
	}
	password, err := readPassword(u.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("config: uplink %s: password_file: %w", u.Name, err)
	}
	return string(password), nil
}

// uplinks decodes the list of clouds.
func (c *Config) uplinks(v value) {
	names, clients := map[string]int{}, map[string]int{}
	for _, t := range v.tables() {
		c.uplink(t, names, clients)
	}
}

func (c *Config) uplink(t *table, names, clients map[string]int) {
	u := Uplink{
		ClientID:    c.ID,
		Dialect:     DialectWaziup,
		Window:      100,
		CatchUp:     CatchUpOrdered,
		CatchUpRate: 100,
		IDs:         true,
		AckTimeout:  20 * time.Second,
		Keepalive:   30 * time.Second,
	}
	name := t.get("name")
	if !name.present() {
		name.missing("a name such as cloud, under which its place in the log is kept")
	} else if name.text(&u.Name) {
		if !uplinkName.MatchString(u.Name) {
			name.mistake(fmt.Sprintf("%.40q is no name", u.Name), "1 to 64 letters, digits, '_' and '-'")
		}
		unique(name, "uplink", u.Name, names)
	}
	u.URL = uplinkURL(t.get("url"))
	client := t.get("client_id")
	if client.text(&u.ClientID) && u.ClientID == "" {
		u.ClientID = c.ID
	}
	if len(u.ClientID) > 256 || strings.ContainsFunc(u.ClientID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		client.mistake("no MQTT client id", "at most 256 bytes without control characters")
	}
	if u.URL != nil {
		key := u.URL.Host + "\x00" + u.ClientID
		if line, twice := clients[key]; twice {
			client.mistake(fmt.Sprintf("the uplink in line %d has the same client id at %s", line, u.URL.Host),
				"set a client_id of its own, the broker would end the other's connection")
		} else {
			clients[key] = t.at.Line
		}
	}
	t.login(&u)
	dialect := t.get("dialect").choice(&u.Dialect, DialectWaziup, DialectXively, DialectNone) || !t.get("dialect").present()
	for _, f := range t.get("forward").tables() {
		u.Forward = append(u.Forward, forward(f))
	}
	t.get("window").integer(&u.Window, 1, 10000)
	t.get("catch_up").choice(&u.CatchUp, CatchUpOrdered, CatchUpFreshFirst, CatchUpBatches)
	t.get("catch_up_rate").integer(&u.CatchUpRate, 1, 100000)
	t.get("ids").boolean(&u.IDs)
	if dialect {
		c.xively(t, &u)
	} else {
		t.get("xively") // which dialect was meant is not known
	}
	for _, f := range t.get("filter").list() {
		var filter string
		if f.text(&filter) && f.filter(filter) {
			u.Filter = append(u.Filter, filter)
		}
	}
	t.uplinkTLS(&u)
	t.get("ack_timeout").duration(&u.AckTimeout, time.Second, 10*time.Minute)
	keepalive := t.get("keepalive")
	if keepalive.duration(&u.Keepalive, time.Second, 18*time.Hour) && u.Keepalive%time.Second != 0 {
		keepalive.mistake("is not in whole seconds", "MQTT counts it in seconds: 30s")
	}
	t.close()
	c.Uplinks = append(c.Uplinks, u)
}

// uplinkURL checks the address of a broker.
func uplinkURL(v value) *url.URL {
	const example = "such as mqtts://broker.example:8883"
	var text string
	if !v.present() {
		v.missing("the broker's address, " + example)
		return nil
	}
	if !v.text(&text) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil { // its text would show a password
		v.mistake("is no URL", example)
		return nil
	}
	switch u.Scheme {
	case "mqtt", "mqtts", "ws", "wss":
	default:
		v.mistake(fmt.Sprintf("the scheme %.20q is not possible", u.Scheme), "mqtt, mqtts, ws or wss, "+example)
		return nil
	}
	port, err := strconv.Atoi(u.Port())
	switch {
	case u.User != nil:
		v.mistake("holds a user or password", "set username and password")
	case u.Hostname() == "":
		v.mistake("names no host", example)
	case u.Port() != "" && (err != nil || port < 1 || port > 65535), strings.HasSuffix(u.Host, ":"):
		v.mistake("the port is not possible", "a number from 1 to 65535")
	case u.Fragment != "", strings.HasPrefix(u.Scheme, "mqtt") && (strings.Trim(u.Path, "/") != "" || u.RawQuery != ""):
		v.mistake("goes on after the port", "only ws and wss take a path, "+example)
	default:
		return u
	}
	return nil
}

// login decodes user name and password.
func (t *table) login(u *Uplink) {
	t.get("username").text(&u.Username)
	password, file := t.get("password"), t.get("password_file")
	password.secret(&u.Password)
	var path string
	if file.text(&path) && path != "" {
		if u.Password != "" {
			file.mistake("there is a password too", "keep one of password and password_file")
			return
		}
		u.PasswordFile = t.r.path(path)
		t.r.password(file, u.PasswordFile)
	}
	if u.Username == "" && (u.Password != "" || path != "") {
		t.get("username").missing("a password needs a user name (MQTT 3.1.1 section 3.1.2.9)")
	}
	if u.URL != nil && (u.Password != "" || path != "") && inClear(u.URL) {
		t.get("url").warn("the password goes over the network in clear", "use mqtts or wss")
	}
}

// inClear reports whether what is sent to u can be read by others on its way.
func inClear(u *url.URL) bool {
	return (u.Scheme == "mqtt" || u.Scheme == "ws") && !loopback(net.JoinHostPort(u.Hostname(), "0"))
}

func (t *table) uplinkTLS(u *Uplink) {
	v := t.get("tls")
	tt := v.table()
	ca, cert, key := tt.get("ca"), tt.get("cert"), tt.get("key")
	ca.text(&u.TLS.CA)
	cert.text(&u.TLS.Cert)
	key.text(&u.TLS.Key)
	tt.get("server_name").text(&u.TLS.ServerName)
	tt.close()
	r := t.r
	u.TLS.CA, u.TLS.Cert, u.TLS.Key = r.path(u.TLS.CA), r.path(u.TLS.Cert), r.path(u.TLS.Key)
	if (u.TLS.Cert == "") != (u.TLS.Key == "") {
		v.mistake("a certificate and its key go together", "set both cert and key")
	}
	if u.TLS != (UplinkTLS{}) && u.URL != nil && (u.URL.Scheme == "mqtt" || u.URL.Scheme == "ws") {
		v.mistake("has no use with "+u.URL.Scheme, "use mqtts or wss in url")
	}
	r.authorities(ca, u.TLS.CA)
	r.pair(cert, key, u.TLS.Cert, u.TLS.Key)
}

func forward(t *table) Forward {
	f := Forward{Direction: ForwardOut}
	topic := t.get("topic")
	given := topic.text(&f.Topic)
	if !topic.present() {
		topic.missing("a topic filter such as alarms/#")
	}
	direction := t.get("direction")
	direction.choice(&f.Direction, ForwardIn, ForwardOut, ForwardBoth)
	var qos int
	t.get("qos").integer(&qos, 0, 2)
	f.QoS = byte(qos)
	local, remote := t.get("local_prefix"), t.get("remote_prefix")
	local.text(&f.LocalPrefix)
	remote.text(&f.RemotePrefix)
	t.close()
	prefix(local, f.LocalPrefix)
	prefix(remote, f.RemotePrefix)
	switch {
	case !given:
	case f.Topic == "" && (f.LocalPrefix == "" || f.RemotePrefix == ""):
		topic.mistake("is empty", `a topic filter; "" maps the one topic local_prefix to remote_prefix and needs both`)
	case f.Topic != "" && !access.ValidFilter(f.Topic):
		topic.filter(f.Topic)
	case !access.ValidFilter(f.LocalPrefix + f.Topic), !access.ValidFilter(f.RemotePrefix + f.Topic):
		topic.mistake("is no topic filter together with its prefixes", filterRemedy)
	}
	return f
}

func prefix(v value, s string) {
	if s != "" && !access.ValidTopic(s) {
		v.mistake(fmt.Sprintf("%.40q is no prefix", s), "the beginning of a topic, such as factory/, without '+' and '#'")
	}
}

var filterRemedy = fmt.Sprintf("a topic filter such as alarms/#: at most %d bytes and %d levels, '+' a whole level, '#' the last one",
	access.MaxTopic, access.MaxTopicLevels)

// filter checks a topic filter.
func (v value) filter(s string) bool {
	if !access.ValidFilter(s) {
		v.mistake(fmt.Sprintf("%.40q is no topic filter", s), filterRemedy)
		return false
	}
	return true
}
