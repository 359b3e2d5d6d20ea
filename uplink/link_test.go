package uplink

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/uplink/fakecloud"
)

func TestIdleHalfDeadLinkIsGivenUp(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.KeepAlive, c.AckTimeout = time.Second, 100*ms }, nil)
	b.eventually("connected", func() bool { return b.State().Connected })
	cloud.StopReading(true)
	b.eventually("the silence is noticed", func() bool { return !b.State().Connected })
	cloud.StopReading(false)
	b.eventually("connected again", func() bool { return b.State().Connected })
}

// silent accepts connections and says nothing.
func silent(t *testing.T) (url string, accepted <-chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := make(chan struct{}, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			in <- struct{}{}
		}
		for _, c := range conns {
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), in
}

func TestBrokerThatNeverAnswersConnect(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			addr, accepted := silent(t)
			b := startAt(t, scheme+"://"+addr, func(c *Config) { c.ConnectWait = 50 * ms })
			<-accepted
			<-accepted // the first attempt has been given up
			if s := b.State(); s.Connected || s.LastError == "" {
				t.Errorf("state %+v", s)
			}
			b.stop()
		})
	}
}

func TestStopInTheMiddleOfConnecting(t *testing.T) {
	for _, scheme := range []string{"mqtt", "mqtts", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			addr, accepted := silent(t)
			b := startAt(t, scheme+"://"+addr, func(c *Config) { c.ConnectWait = time.Hour })
			<-accepted
			b.stop() // fails the test if it takes longer than patience
		})
	}
}

func TestStopOnAStalledLink(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.AckTimeout = time.Hour }, nil)
	b.eventually("connected", func() bool { return b.State().Connected })
	cloud.StopReading(true)
	b.log.add(readingsOf(1000, 2)...)
	b.eventually("a full window", func() bool { return b.State().InFlight == 100 })
	b.stop()
	cloud.StopReading(false)
	b.until("the will, since nobody could say offline", func() bool { s, _ := statusOf(cloud); return s == "offline" })
}

func TestCloudThatSendsNonsense(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// CONNACK, then a SUBACK for more filters than anybody asked for.
			_, _ = c.Write(append([]byte{0x20, 2, 0, 0}, suback(0, 0, 0, 0)...))
			_, _ = c.Read(make([]byte, 1000))
			wg.Go(func() { // until the uplink gives up
				var err error
				buf := make([]byte, 1000)
				for err == nil {
					_, err = c.Read(buf)
				}
				c.Close()
			})
		}
	})
	b := startAt(t, "mqtt://"+l.Addr().String(), nil)
	b.eventually("an error", func() bool { return strings.Contains(b.State().LastError, errFrame.Error()) })
	b.stop()
	l.Close()
	wg.Wait()
}
