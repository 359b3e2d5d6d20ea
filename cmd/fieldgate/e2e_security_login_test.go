package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestNobodyIsLetInWithoutCredentials: every form of CONNECT that lacks
// something is refused and then closed, by MQTT 3.1.1 and 5.
func TestNobodyIsLetInWithoutCredentials(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	for name, c := range map[string]struct {
		login
		codes [2]byte // of MQTT 3.1.1 and 5
	}{
		"no user":                           {login{}, [2]byte{5, 0x87}},
		"no user, no client id":             {login{id: ""}, [2]byte{5, 0x87}},
		"an empty user, an empty password":  {login{emptyFields: true}, [2]byte{4, 0x86}},
		"an empty user, a password":         {login{emptyFields: true, pass: "password"}, [2]byte{4, 0x86}},
		"a user, no password flag":          {login{user: "ann", noPassword: true}, [2]byte{4, 0x86}},
		"an administrator, no password":     {login{user: "boss", noPassword: true}, [2]byte{4, 0x86}},
		"a user, an empty password":         {login{user: "ann"}, [2]byte{4, 0x86}},
		"a user, a wrong password":          {login{user: "ann", pass: "passwor"}, [2]byte{4, 0x86}},
		"an unknown user":                   {login{user: "nobody", pass: "password"}, [2]byte{4, 0x86}},
		"an unknown user, no password flag": {login{user: "nobody", noPassword: true}, [2]byte{4, 0x86}},
		"a user of another case":            {login{user: "Ann", pass: "password"}, [2]byte{4, 0x86}},
	} {
		for i, v := range []byte{4, 5} {
			l := c.login
			l.v, l.id = v, "c"
			if name == "no user, no client id" {
				l.id = ""
			}
			who, code := connectRaw(t, g.mqtt, l)
			if code != c.codes[i] {
				t.Errorf("%s, protocol %d: CONNACK %#x, not %#x", name, v, code, c.codes[i])
			}
			who.mustEnd()
		}
		// Ten wrong passwords would block this machine, see TestGuessing.
		if metric(t, g, `fieldgate_logins_total{result="failed"}`) > 7 {
			g, _ = startSecurity(t, "", "")
		}
	}
	mustConnect(t, g.mqtt, ann("c")).silent()
}

// TestGuessing: ten failed logins block the address they came from, whatever it
// offers then, over MQTT and HTTP; other addresses do not notice, and
// connections that are there stay. Guesses from many addresses cost no more
// memory than one at a time.
func TestGuessing(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	const attacker, owner = "127.0.0.66", "127.0.0.77"
	from := func(ip string, l login) (*rawClient, byte) {
		c := dialRaw(t, g.mqtt, ip)
		return c, c.hello(l)
	}
	inside, code := from(attacker, ann("inside"))
	if code != 0 {
		t.Fatal(code)
	}
	for i := range 10 { // each with a name of its own: guesses at one name are slowed down besides
		if _, code := from(attacker, login{v: 5, id: "c", user: fmt.Sprint("name ", i), pass: "password"}); code != 0x86 {
			t.Fatalf("guess %d: CONNACK %#x", i, code)
		}
	}
	for _, l := range []login{{v: 5, id: "c", user: "ann", pass: "guess"}, {v: 5, id: "c", user: "ann", pass: "password"}, {v: 5, id: "c", user: "bob", pass: "password"}} {
		if _, code := from(attacker, l); code != 0x9f {
			t.Errorf("after ten wrong passwords: CONNACK %#x", code)
		}
	}
	inside.silent()
	if c, code := from(owner, ann("c")); code != 0 {
		t.Errorf("the owner of the name: CONNACK %#x", code)
	} else {
		c.silent()
	}
	stillThere(t, g) // asks from 127.0.0.1

	// The same over HTTP, from this address.
	for i := range 12 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.http+"/devices", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(fmt.Sprint("other ", i), "password")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if want := map[bool]int{true: http.StatusUnauthorized, false: http.StatusTooManyRequests}[i < 10]; res.StatusCode != want {
			t.Errorf("guess %d over HTTP: status %d", i, res.StatusCode)
		}
	}
	if _, code := connectRaw(t, g.mqtt, ann("c")); code == 0 {
		t.Error("an address that is blocked for HTTP is not for MQTT")
	}

	// Many addresses at once.
	before := procKiB(t, g.process, "VmHWM")
	hashed := metric(t, g, "fieldgate_login_hashes_total")
	var wg sync.WaitGroup
	for worker := range 100 {
		wg.Go(func() {
			for i := range 1 {
				c := dialRaw(t, g.mqtt, fmt.Sprintf("127.1.%d.%d", worker, i+1))
				c.say(login{id: "c", user: "ann", pass: fmt.Sprint("guess ", worker, i)}.packet())
				_, _, _ = c.hear() // refused, or too many at once
				c.conn.Close()
			}
		})
	}
	wg.Wait()
	// One hash takes 19 MiB, and one is computed at a time.
	if grown := procKiB(t, g.process, "VmHWM") - before; grown > 40<<10 {
		t.Errorf("guesses from 100 addresses cost %d KiB", grown)
	}
	failed, busy := metric(t, g, `fieldgate_logins_total{result="failed"}`), metric(t, g, `fieldgate_logins_total{result="busy"}`)
	t.Logf("%v refused for the password, %v for the number at once, %v hashes", failed, busy, metric(t, g, "fieldgate_login_hashes_total")-hashed)
	if c, code := from(owner, ann("c")); code != 0 {
		t.Errorf("the owner of the name after all these guesses: CONNACK %#x", code)
	} else {
		c.silent()
	}
	inside.silent()

	// API keys are compared without such work; thousands of addresses guess them,
	// and what the gateway remembers of each is small and bounded.
	before = procKiB(t, g.process, "VmHWM")
	for i := range 6000 {
		c := dialRaw(t, g.mqtt, fmt.Sprintf("127.2.%d.%d", i/250, i%250+1))
		c.say(login{id: "c", user: fmt.Sprint("guessed-key-", i), noPassword: true}.packet())
		if code := c.must(2)[1]; code != 4 {
			t.Fatalf("guess %d: CONNACK %#x", i, code)
		}
		c.conn.Close()
	}
	if grown := procKiB(t, g.process, "VmHWM") - before; grown > 16<<10 {
		t.Errorf("guesses of keys from 6,000 addresses cost %d KiB", grown)
	}
	inside.silent()
	stillThere(t, g)
}

// TestUnknownNamesCostTheSame: a name that nobody has takes the same hash as one
// that somebody has, so that the time an answer takes tells neither from the
// other. What both cost is counted; BenchmarkLogin has the times.
func TestUnknownNamesCostTheSame(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	hashes := func(ip string, l login) float64 {
		before := metric(t, g, "fieldgate_login_hashes_total")
		c := dialRaw(t, g.mqtt, ip)
		if code := c.hello(l); code == 0 {
			t.Errorf("%q is let in", l.user)
		}
		return metric(t, g, "fieldgate_login_hashes_total") - before
	}
	for i, user := range []string{"ann", "boss", "nobody", "#", "ANN", strings.Repeat("x", 60_000)} {
		if n := hashes(fmt.Sprintf("127.0.1.%d", i+1), login{id: "c", user: user, pass: "wrong"}); n != 1 {
			t.Errorf("%.20q: %v hashes", user, n)
		}
	}
	for i, user := range []string{"ann", "nobody"} { // and without a password none
		if n := hashes(fmt.Sprintf("127.0.2.%d", i+1), login{id: "c", user: user}); n != 0 {
			t.Errorf("%q without a password: %v hashes", user, n)
		}
	}
}
