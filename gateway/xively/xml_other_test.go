package xively

import (
	"reflect"
	"testing"
	"time"
)

// xmlKey is a key with all that a key can have.
func xmlKey(t testing.TB) Key {
	return Key{ID: "k1", Key: "CeWz", Label: "field node", PrivateAccess: true, ExpiresAt: xmlAt(t, "2030-01-01T00:00:00Z"),
		Permissions: []Permission{
			{Label: "rw", Methods: []string{"get", "put"}, SourceIP: "10.0.0.7", Referer: "example.com", MinimumInterval: 60,
				Resources: []KeyResource{{Feed: 504, Datastream: "soil-1"}, {Feed: 505}, {Trigger: 3}}},
			{Methods: []string{"get"}},
		}}
}

func xmlTrigger(t testing.TB) Trigger {
	return Trigger{ID: 21962, URL: "http://h/x?a=1&b=2", Type: TriggerLT, Threshold: "15.0", User: "ann", Feed: 504,
		Datastream: "soil-1", NotifiedAt: xmlAt(t, "2013-05-06T20:08:17.5Z")}
}

func xmlUser() User {
	return User{Login: "ann", FullName: "Ann Ada", FirstName: "Ann", LastName: "Ada", Email: "a@b.c", About: "<b>me</b>",
		Website: "http://x/", Organisation: "O & P", TimeZone: "UTC", Roles: []string{"default", "admin"}, Feeds: 2, Datastreams: 9}
}

func TestAppendKeysTriggersUsersXML(t *testing.T) {
	must := mustXML(t)
	key, trigger, user := xmlKey(t), xmlTrigger(t), xmlUser()
	goldenXML(t, "key.xml", must(AppendKey(nil, XML, &key)))
	bare := Key{ID: "k2", ExpiresAt: time.Date(2030, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))}
	goldenXML(t, "keys.xml", must(AppendKeys(nil, XML, []Key{key, bare})))
	goldenXML(t, "keys_none.xml", must(AppendKeys(nil, XML, nil)))

	short := key
	short.Permissions = []Permission{{Referer: "example.com", SourceIP: "10.0.0.7", Methods: []string{"get"},
		Resources: []KeyResource{{Feed: 504, Datastream: "soil-1"}}}}
	sameXML(t, "reference_keys.xml", must(AppendKeys(nil, XML, []Key{short})))

	goldenXML(t, "trigger.xml", must(AppendTrigger(nil, XML, &trigger)))
	never := Trigger{ID: 2, URL: "http://h/y", Type: TriggerFrozen, Feed: 504, Datastream: "0"}
	goldenXML(t, "triggers.xml", must(AppendTriggers(nil, XML, []Trigger{trigger, never})))
	goldenXML(t, "user.xml", must(AppendUser(nil, XML, &user)))
	goldenXML(t, "users.xml", must(AppendUsers(nil, XML, []User{user, {Login: "bob"}})))
}

func TestDecodeKeysTriggersUsersXML(t *testing.T) {
	key, trigger, user := xmlKey(t), xmlTrigger(t), xmlUser()
	if got, err := DecodeKey(XML, readXML(t, "key.xml")); err != nil || !reflect.DeepEqual(got, KeyWrite{
		Label: &key.Label, PrivateAccess: &key.PrivateAccess, ExpiresAt: &key.ExpiresAt, Permissions: key.Permissions,
	}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := DecodeTrigger(XML, readXML(t, "trigger.xml")); err != nil || !reflect.DeepEqual(got, TriggerWrite{
		URL: &trigger.URL, Type: &trigger.Type, Threshold: &trigger.Threshold, Feed: &trigger.Feed, Datastream: &trigger.Datastream,
	}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := DecodeUser(XML, readXML(t, "user.xml")); err != nil || !reflect.DeepEqual(got, UserWrite{
		Login: &user.Login, FullName: &user.FullName, FirstName: &user.FirstName, LastName: &user.LastName, Email: &user.Email,
		About: &user.About, Website: &user.Website, Organisation: &user.Organisation, TimeZone: &user.TimeZone,
	}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeKeyXMLLeniency(t *testing.T) {
	end := xmlAt(t, "2030-01-01T00:00:00Z")
	for doc, want := range map[string]KeyWrite{
		`<key/>`:                        {},
		`<key><label> a </label></key>`: {Label: xmlPtr("a")},
		`<key><expires_at>2030-01-01T01:00:00+01:00</expires_at></key>`:            {ExpiresAt: &end},
		`<key><expires-at>2030-01-01T00:00:00Z</expires-at></key>`:                 {ExpiresAt: &end},
		`<key><expires-at> 2030-01-01 00:00:00 UTC </expires-at></key>`:            {ExpiresAt: &end},
		`<key><expires-at nil="true"/></key>`:                                      {ExpiresAt: &time.Time{}},
		`<key><private_access type="boolean">TRUE</private_access></key>`:          {PrivateAccess: xmlPtr(true)},
		`<key><private-access>0</private-access></key>`:                            {PrivateAccess: xmlPtr(false)},
		`<key><private-access/></key>`:                                             {PrivateAccess: xmlPtr(false)},
		`<key><id>9</id><api-key>x</api-key><other><label>b</label></other></key>`: {},
		`<k:key xmlns:k="urn:k"><k:label>a</k:label></k:key>`:                      {Label: xmlPtr("a")},
		`<key><permissions type="array"><permission><access_methods><access_method>GET</access_method><other/></access_methods>` +
			`<minimum_interval>60</minimum_interval><source_ip>10.0.0.7</source_ip>` +
			`<resources><resource><feed_id type="integer">504</feed_id><datastream_id>a</datastream_id><x/></resource>` +
			`<resource><feed-id/><datastream-trigger-id>7</datastream-trigger-id></resource></resources></permission></permissions></key>`: {
			Permissions: []Permission{{Methods: []string{"get"}, MinimumInterval: 60, SourceIP: "10.0.0.7",
				Resources: []KeyResource{{Feed: 504, Datastream: "a"}, {Trigger: 7}}}}},
	} {
		if got, err := DecodeKey(XML, []byte(doc)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", doc, got, err, want)
		}
	}
}

func TestDecodeTriggerAndUserXMLLeniency(t *testing.T) {
	for _, doc := range []string{
		`<datastream-trigger><environment-id type="integer">504</environment-id><stream-id>0</stream-id></datastream-trigger>`,
		`<datastream_trigger><stream_id>0</stream_id><environment_id>504</environment_id></datastream_trigger>`,
		`<trigger><stream_id>0</stream_id><environment_id> 504 </environment_id><id>3</id></trigger>`,
	} {
		want := TriggerWrite{Feed: xmlPtr(uint64(504)), Datastream: xmlPtr("0")}
		if got, err := DecodeTrigger(XML, []byte(doc)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", doc, got, err, want)
		}
	}
	got, err := DecodeUser(XML, []byte(`<user><login>ann</login><password> a b </password><full-name/>`+
		`<roles><role>admin</role></roles><feeds_count>7</feeds_count></user>`))
	want := UserWrite{Login: xmlPtr("ann"), Password: xmlPtr(" a b "), FullName: xmlPtr("")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAppendErrorXML(t *testing.T) {
	got := AppendError(nil, XML, Unprocessable(FieldError{"title", Blank}, FieldError{"datastreams_at", Invalid}))
	goldenXML(t, "error_fields.xml", got)
	goldenXML(t, "error_text.xml", AppendError(nil, XML, Malformed(XML, "line 1: %s", "<a> & \x00")))
	goldenXML(t, "error_title.xml", AppendError(nil, XML, &Error{Status: 500, Title: "Internal Server Error"}))
}
