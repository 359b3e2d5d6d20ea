package xively

import (
	"strings"
	"testing"
)

func TestSplitTopic(t *testing.T) {
	key := strings.Repeat("k", 128)
	for _, c := range []struct {
		topic string
		want  Topic
	}{
		{"/v2/feeds/504.json", Topic{Path: "/v2/feeds/504.json"}},
		{"v2/feeds/504.json", Topic{Path: "/v2/feeds/504.json"}},
		{"v1/feeds", Topic{Path: "/v1/feeds"}},
		{"/v1/feeds/504/datastreams/0.csv", Topic{Path: "/v1/feeds/504/datastreams/0.csv"}},
		{"KEY-_1/v2/feeds/504.csv", Topic{Key: "KEY-_1", Path: "/v2/feeds/504.csv"}},
		{"/KEY/v2/feeds/504.csv", Topic{Key: "KEY", Path: "/v2/feeds/504.csv"}},
		{"K%45Y/v2/feeds", Topic{Key: "KEY", Path: "/v2/feeds"}},
		{"/v2/feeds/504.json?duration=6hours&interval=60", Topic{Path: "/v2/feeds/504.json", Query: "duration=6hours&interval=60"}},
		{"KEY/v2/triggers?feed_id=504", Topic{Key: "KEY", Path: "/v2/triggers", Query: "feed_id=504"}},
		{"/v2/feeds.csv", Topic{Path: "/v2/feeds.csv"}},
		{"/v2/keys", Topic{Path: "/v2/keys"}}, {"/v2/users/ann", Topic{Path: "/v2/users/ann"}},
		{"/v2/products/p/devices/s", Topic{Path: "/v2/products/p/devices/s"}},
		{"/v2/devices/CODE/activate.csv", Topic{Path: "/v2/devices/CODE/activate.csv"}},
		{"/v2/feeds/504/datastreams/a%2Bb", Topic{Path: "/v2/feeds/504/datastreams/a%2Bb"}},
		{"/v3/feeds/504.json", Topic{Path: "/v3/feeds/504.json"}},
		{"/v2", Topic{Path: "/v2"}}, {"/v2/", Topic{Path: "/v2/"}}, {"/v2//feeds", Topic{Path: "/v2//feeds"}},
		{"/v2/feed/504.csv", Topic{Path: "/v2/feed/504.csv"}}, {"/v22/x", Topic{Path: "/v22/x"}},
		{key[:20] + "/v2/feed/504.csv", Topic{Key: key[:20], Path: "/v2/feed/504.csv"}},
		{"v2/v2/feeds", Topic{Key: "v2", Path: "/v2/feeds"}},
		{key + "/v2/feeds", Topic{Key: key, Path: "/v2/feeds"}},
		{"/v2/feeds" + strings.Repeat("/x", 200), Topic{Path: "/v2/feeds" + strings.Repeat("/x", 200)}},
	} {
		if got, ok := SplitTopic(c.topic); !ok || got != c.want {
			t.Errorf("%.60s: %+v, %v", c.topic, got, ok)
		}
	}
	for _, topic := range []string{
		"", "/", "//", "v2", "v2/other", "v2/feedsx", "KEY/v2/other", "/v2/feeds+", "//v2/feeds",
		"/v2/feeds/+", "/v2/feeds/#", "+/v2/feeds", "/v2/feeds/504?a=+", "#", "+",
		"devices/v2/feeds/504", "gateways/v2/feeds", "$SYS/v2/feeds", "$share/v2/feeds", "%64evices/v2/feeds",
		"KEY/x/v2/feeds", "/x/KEY/v2/feeds", "a b/v2/feeds", "a%2Fb/v2/feeds", "a%zz/v2/feeds", "ü/v2/feeds",
		key + "k/v2/feeds", strings.Repeat("%6b", 129) + "/v2/feeds",
		"devices/MyDevice/sensors/TC1/value", "gateways/gw-1/status", "factory/line/1", "V2/feeds", "vx/feeds", "v123/feeds", "v/feeds",
	} {
		if got, ok := SplitTopic(topic); ok {
			t.Errorf("%.60s is taken for the API's: %+v", topic, got)
		}
	}
}

func TestSplitTopicAllocatesNothingForOthers(t *testing.T) {
	for _, topic := range []string{"devices/MyDevice/sensors/TC1/value", "factory/line/1/temperature", "$SYS/broker/uptime", "/KEY/v2/feeds/504.json", "/v2/feeds/504/datastreams/0.csv"} {
		if n := testing.AllocsPerRun(100, func() { SplitTopic(topic) }); n != 0 {
			t.Errorf("%s: %v allocations", topic, n)
		}
	}
}

func BenchmarkSplitTopic(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		SplitTopic("devices/MyDevice/sensors/TC1/value")
	}
}
