package xively

import (
	"reflect"
	"testing"
	"time"
)

// The decoders of keys, triggers, accounts, products and serials.
var (
	jsonDecodeKey     = func(b []byte) (any, error) { return DecodeKey(JSON, b) }
	jsonDecodeTrigger = func(b []byte) (any, error) { return DecodeTrigger(JSON, b) }
	jsonDecodeUser    = func(b []byte) (any, error) { return DecodeUser(JSON, b) }
	jsonDecodeProduct = func(b []byte) (any, error) { return DecodeProduct(JSON, b) }
	jsonDecodeSerials = func(b []byte) (any, error) { return DecodeSerials(JSON, b) }
)

func TestDecodeOtherJSON(t *testing.T) {
	get := []Permission{{Methods: []string{"get"}}}
	for _, c := range []struct {
		name   string
		decode func([]byte) (any, error)
		body   string
		want   any
	}{
		{"key", jsonDecodeKey, `{"key":{"label":"a","private_access":"true","permissions":[{"access_methods":["GET"]}]}}`,
			KeyWrite{Label: jsonPtr("a"), PrivateAccess: jsonPtr(true), Permissions: get}},
		{"key without wrapper", jsonDecodeKey, `{"label":"a","private_access":false,"permissions":[{"access_methods":"Get"}]}`,
			KeyWrite{Label: jsonPtr("a"), PrivateAccess: jsonPtr(false), Permissions: get}},
		{"part of a key", jsonDecodeKey, `{"key":{"label":"a","api_key":"x","id":"y"}}`, KeyWrite{Label: jsonPtr("a")}},
		{"key that never expires", jsonDecodeKey, `{"key":{"expires_at":null}}`, KeyWrite{ExpiresAt: &time.Time{}}},
		{"key that never expires either", jsonDecodeKey, `{"key":{"expires_at":""}}`, KeyWrite{ExpiresAt: &time.Time{}}},
		{"key as Ruby writes times", jsonDecodeKey, `{"key":{"expires_at":"2013-05-10 00:18:07 UTC"}}`,
			KeyWrite{ExpiresAt: &jsonAt}},
		{"resources", jsonDecodeKey, `{"key":{"permissions":[{"access_methods":["put","POST"," delete "],"minimum_interval":"60",
			"resources":[{"feed_id":"504","datastream_id":0},{"feed_id":505,"datastream_id":null},{"datastream_trigger_id":"7"}]},
			{"access_methods":["get"],"resources":null,"source_ip":null,"minimum_interval":null}]}}`,
			KeyWrite{Permissions: []Permission{{Methods: []string{"put", "post", "delete"}, MinimumInterval: 60,
				Resources: []KeyResource{{Feed: 504, Datastream: "0"}, {Feed: 505}, {Trigger: 7}}}, get[0]}}},
		{"trigger", jsonDecodeTrigger, `{"url":"http://h/x","trigger_type":"gt","threshold_value":15.0,"environment_id":"504",
			"stream_id":0}`, TriggerWrite{URL: jsonPtr("http://h/x"), Type: jsonPtr("gt"), Threshold: jsonPtr("15.0"),
			Feed: jsonPtr(uint64(504)), Datastream: jsonPtr("0")}},
		{"trigger in a wrapper", jsonDecodeTrigger, `{"trigger":{"threshold_value":"15","environment_id":504}}`,
			TriggerWrite{Threshold: jsonPtr("15"), Feed: jsonPtr(uint64(504))}},
		{"trigger in the other wrapper", jsonDecodeTrigger, `{"datastream_trigger":{"threshold_value":null,"environment_id":null}}`,
			TriggerWrite{}},
		{"trigger of changes", jsonDecodeTrigger, `{"trigger_type":"change","threshold_value":"","notified_at":""}`,
			TriggerWrite{Type: jsonPtr("change"), Threshold: jsonPtr("")}},
		{"user", jsonDecodeUser, `{"user":{"login":"ann","password":"secret","about":null,"website":"","roles":["admin"],
			"deliver_email":false}}`,
			UserWrite{Login: jsonPtr("ann"), Password: jsonPtr("secret"), About: jsonPtr(""), Website: jsonPtr("")}},
		{"user without wrapper", jsonDecodeUser, `{"full_name":"Ann Agbo","password":null}`, UserWrite{FullName: jsonPtr("Ann Agbo")}},
		{"product", jsonDecodeProduct, `{"product":{"name":"Weather","secret":"x","feed_defaults":{"title":"t","tags":"hut,farm",
			"private":"true","datastreams":[{"id":"a"},"b",{"id":7}]}}}`,
			ProductWrite{Name: jsonPtr("Weather"), Defaults: &FeedDefaults{Title: "t", Tags: []string{"farm", "hut"},
				Private: true, Datastreams: []string{"a", "b", "7"}}}},
		{"product without wrapper", jsonDecodeProduct, `{"description":"","state":"deploy","feed_defaults":{}}`,
			ProductWrite{Description: jsonPtr(""), State: jsonPtr("deploy"), Defaults: &FeedDefaults{Private: true}}},
		{"product with nothing", jsonDecodeProduct, `{"product":{"feed_defaults":null}}`, ProductWrite{}},
		{"serials", jsonDecodeSerials, `{"devices":[{"serial":"a"},{"serial":17}]}`, []string{"a", "17"}},
		{"serials as texts", jsonDecodeSerials, `{"devices":["a","b"]}`, []string{"a", "b"}},
		{"serials in an array", jsonDecodeSerials, `[{"serial":"a"},"b"]`, []string{"a", "b"}},
		{"one serial", jsonDecodeSerials, `{"device":{"serial":"a"}}`, []string{"a"}},
		{"one bare serial", jsonDecodeSerials, `{"serial":"a"}`, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.decode([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestDecodeOtherJSONRefuses(t *testing.T) {
	permission := func(members string) string {
		return `{"key":{"permissions":[{"access_methods":["get"],` + members + `}]}}`
	}
	for _, c := range []struct {
		name   string
		decode func([]byte) (any, error)
		body   string
		status int
		want   string
	}{
		{"array of keys", jsonDecodeKey, `[]`, 400, "no object"},
		{"key text", jsonDecodeKey, `{"key":"a"}`, 400, "no object"},
		{"malformed key", jsonDecodeKey, `{"key":{`, 400, "ends"},
		{"label object", jsonDecodeKey, `{"key":{"label":{}}}`, 422, "label"},
		{"private access", jsonDecodeKey, `{"key":{"private_access":"perhaps"}}`, 422, "private_access"},
		{"expiry", jsonDecodeKey, `{"key":{"expires_at":"soon"}}`, 422, "expires_at"},
		{"no permission", jsonDecodeKey, `{"key":{"permissions":[]}}`, 422, "permissions"},
		{"permissions object", jsonDecodeKey, `{"key":{"permissions":{}}}`, 422, "permissions"},
		{"permission text", jsonDecodeKey, `{"key":{"permissions":["get"]}}`, 422, "permissions"},
		{"methods object", jsonDecodeKey, `{"key":{"permissions":[{"access_methods":{"get":1}}]}}`, 422, "permissions_access_methods"},
		{"method", jsonDecodeKey, `{"key":{"permissions":[{"access_methods":["patch"]}]}}`, 422, "permissions_access_methods"},
		{"interval", jsonDecodeKey, permission(`"minimum_interval":1.5`), 422, "permissions_minimum_interval"},
		{"negative interval", jsonDecodeKey, permission(`"minimum_interval":-1`), 422, "permissions_minimum_interval"},
		{"long interval", jsonDecodeKey, permission(`"minimum_interval":99999999999999999999`), 422, "permissions_minimum_interval"},
		{"resources object", jsonDecodeKey, permission(`"resources":{}`), 422, "permissions_resources"},
		{"feed text", jsonDecodeKey, permission(`"resources":[{"feed_id":"mine"}]`), 422, "permissions_resources_feed_id"},
		{"feed zero", jsonDecodeKey, permission(`"resources":[{"feed_id":0}]`), 422, "permissions_resources_feed_id"},
		{"feed negative", jsonDecodeKey, permission(`"resources":[{"feed_id":-1}]`), 422, "permissions_resources_feed_id"},
		{"trigger of a key", jsonDecodeKey, permission(`"resources":[{"datastream_trigger_id":[1]}]`), 422,
			"permissions_resources_datastream_trigger_id"},
		{"trigger text", jsonDecodeTrigger, `"a"`, 400, "no object"},
		{"wrapped trigger text", jsonDecodeTrigger, `{"trigger":"a"}`, 400, "no object"},
		{"threshold bool", jsonDecodeTrigger, `{"threshold_value":true}`, 422, "threshold_value"},
		{"threshold text", jsonDecodeTrigger, `{"threshold_value":"high"}`, 422, "threshold_value"},
		{"environment", jsonDecodeTrigger, `{"environment_id":1.5}`, 422, "environment_id"},
		{"url array", jsonDecodeTrigger, `{"url":["http://h/"]}`, 422, "url"},
		{"type object", jsonDecodeTrigger, `{"trigger_type":{}}`, 422, "trigger_type"},
		{"stream array", jsonDecodeTrigger, `{"stream_id":[]}`, 422, "stream_id"},
		{"user text", jsonDecodeUser, `{"user":"ann"}`, 400, "no object"},
		{"login object", jsonDecodeUser, `{"user":{"login":{"a":1}}}`, 422, "login"},
		{"password array", jsonDecodeUser, `{"user":{"password":[]}}`, 422, "password"},
		{"product array", jsonDecodeProduct, `{"product":[]}`, 400, "no object"},
		{"name array", jsonDecodeProduct, `{"product":{"name":[]}}`, 422, "name"},
		{"defaults text", jsonDecodeProduct, `{"product":{"feed_defaults":"a"}}`, 422, "feed_defaults"},
		{"defaults' privacy", jsonDecodeProduct, `{"product":{"feed_defaults":{"private":7}}}`, 422, "feed_defaults_private"},
		{"defaults' datastreams", jsonDecodeProduct, `{"product":{"feed_defaults":{"datastreams":"a"}}}`, 422, "feed_defaults_datastreams"},
		{"serials text", jsonDecodeSerials, `"a"`, 400, "devices"},
		{"devices text", jsonDecodeSerials, `{"devices":"a"}`, 400, "devices"},
		{"serial array", jsonDecodeSerials, `{"devices":[{"serial":[]}]}`, 422, "serial"},
		{"no serial", jsonDecodeSerials, `{"devices":[{}]}`, 422, "serial"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.decode([]byte(c.body))
			checkJSONRefusal(t, err, c.status, c.want)
		})
	}
}
