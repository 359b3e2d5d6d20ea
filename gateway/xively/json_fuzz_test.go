package xively

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonSeeds are the documents of the reference and some that are refused.
func jsonSeeds(f *testing.F) [][]byte {
	files, err := filepath.Glob(filepath.Join("testdata", "json", "reference", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	var seeds [][]byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	for _, s := range []string{``, `{}`, `[]`, `null`, `[{}]`, `{"datastreams":[{"id":0,"current_value":21.50,"tags":"a, \"b,c\""}]}`,
		`{"datastreams":{}}`, `{"datapoints":[{"value":1},{"value":[]}]}`, `[{"value":true,"at":"2013-05-10 00:18:07 UTC"}]`,
		`{"title":"\ud83d\ude00\u2028","private":"True","location":{"lat":"1e-7","lon":-0}}`, `{"a":"\ud800"}`,
		`{"devices":["a"]}`, `{"user":{"password":""}}`, strings.Repeat("[", 40), `{"version":"0.6","datastreams":[{"id":"a","values":[]}]}`} {
		seeds = append(seeds, []byte(s))
	}
	return seeds
}

// checkJSONError fails unless err is a refusal of the client's document.
func checkJSONError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status < 400 || e.Status > 499 {
		t.Fatalf("not a refusal: %#v", err)
	}
	if body := AppendError(nil, JSON, e); !json.Valid(body) {
		t.Fatalf("not JSON: %s", body)
	}
}

// FuzzParseJSON compares the parser with the standard library's: it takes
// nothing that is no JSON, and refuses only for the reasons that it names.
func FuzzParseJSON(f *testing.F) {
	for _, s := range jsonSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := parseJSON(body)
		if err != nil {
			checkJSONError(t, err)
			var e *Error
			errors.As(err, &e)
			own := !utf8.Valid(body) || strings.Contains(e.Text, "levels deep") || strings.Contains(e.Text, "elements") ||
				strings.Contains(e.Text, "surrogate")
			if json.Valid(body) && !own {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		var want any
		d := json.NewDecoder(strings.NewReader(string(body)))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("taken, but %v", err)
		}
		if got := jsonAny(&n); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// jsonAny is a node as the standard library gives it.
func jsonAny(n *jsonNode) any {
	switch n.kind {
	case jsonBool:
		return n.text == "true"
	case jsonNumber:
		return json.Number(n.text)
	case jsonString:
		return n.text
	case jsonArray:
		out := []any{}
		for i := range n.kids {
			out = append(out, jsonAny(&n.kids[i]))
		}
		return out
	case jsonObject:
		out := map[string]any{}
		for name, kid := range n.fields() {
			out[name] = jsonAny(kid)
		}
		return out
	}
	return nil
}

// FuzzDecodeFeedJSON: what is read of a feed, a datastream or datastreams and
// written again reads the same.
func FuzzDecodeFeedJSON(f *testing.F) {
	for _, s := range jsonSeeds(f) {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, body []byte, old bool) {
		v := V2
		if old {
			v = V1
		}
		if w, err := DecodeFeed(v, JSON, body); err != nil {
			checkJSONError(t, err)
		} else {
			first := jsonFeedOf(Feed{}, w)
			text := appendFeedJSON(nil, V2, first)
			again, err := decodeFeedJSON(V2, text)
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if second := jsonFeedOf(Feed{}, again); !reflect.DeepEqual(first, second) {
				t.Fatalf("%s\nbecame %s", text, appendFeedJSON(nil, V2, second))
			}
			text1 := appendFeedJSON(nil, V1, first)
			again1, err := decodeFeedJSON(V2, text1)
			if err != nil {
				t.Fatalf("%v in %s", err, text1)
			}
			if twice := appendFeedJSON(nil, V1, jsonFeedOf(Feed{}, again1)); string(twice) != string(text1) {
				t.Fatalf("%s\nbecame %s", text1, twice)
			}
		}
		if ds, err := DecodeDatastreams(v, JSON, body); err != nil {
			checkJSONError(t, err)
		} else if len(ds) == 0 {
			t.Fatal("no datastreams and no refusal")
		}
		if w, err := DecodeDatastream(v, JSON, "0", body); err != nil {
			checkJSONError(t, err)
		} else {
			first := jsonDatastreamOf(w)
			text := appendDatastreamJSON(nil, V2, &first)
			again, err := decodeDatastreamJSON(V2, text)
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if second := jsonDatastreamOf(again); !reflect.DeepEqual(first, second) {
				t.Fatalf("%s\nbecame %s", text, appendDatastreamJSON(nil, V2, &second))
			}
		}
	})
}

func FuzzDecodeDatapointsJSON(f *testing.F) {
	for _, s := range jsonSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := DecodeDatapoint(V2, JSON, body); err != nil {
			checkJSONError(t, err)
		} else if again, err := decodeDatapointJSON(appendDatapointJSON(nil, p)); err != nil || again != p {
			t.Fatalf("%v became %v, %v", p, again, err)
		}
		points, err := DecodeDatapoints(V2, JSON, body)
		if err != nil {
			checkJSONError(t, err)
			return
		}
		d := Datastream{Datapoints: points}
		again, err := decodeDatapointsJSON(appendDatastreamJSON(nil, V2, &d))
		if err != nil || !reflect.DeepEqual(again, points) {
			t.Fatalf("%v became %v, %v", points, again, err)
		}
	})
}

// FuzzDecodeOtherJSON is about keys, triggers, accounts, products and serials.
func FuzzDecodeOtherJSON(f *testing.F) {
	for _, s := range jsonSeeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if w, err := DecodeKey(JSON, body); err != nil {
			checkJSONError(t, err)
		} else {
			k := Key{Permissions: w.Permissions}
			if w.Label != nil {
				k.Label = *w.Label
			}
			if w.PrivateAccess != nil {
				k.PrivateAccess = *w.PrivateAccess
			}
			if w.ExpiresAt != nil {
				k.ExpiresAt = *w.ExpiresAt
			}
			text := appendKeyJSON(nil, &k)
			again, err := decodeKeyJSON(text)
			if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			second := Key{Permissions: again.Permissions, PrivateAccess: *again.PrivateAccess, Label: k.Label}
			if again.ExpiresAt != nil {
				second.ExpiresAt = *again.ExpiresAt
			}
			if twice := appendKeyJSON(nil, &second); string(twice) != string(text) {
				t.Fatalf("%s\nbecame %s", text, twice)
			}
		}
		if w, err := DecodeTrigger(JSON, body); err != nil {
			checkJSONError(t, err)
		} else if w.Feed != nil && w.Datastream != nil && w.Threshold != nil && w.Type != nil && w.URL != nil {
			text := appendTriggerJSON(nil, &Trigger{URL: *w.URL, Type: *w.Type, Threshold: *w.Threshold, Feed: *w.Feed, Datastream: *w.Datastream})
			if again, err := DecodeTrigger(JSON, text); err != nil || !reflect.DeepEqual(again, w) {
				t.Fatalf("%s became %+v, %v", text, again, err)
			}
		}
		if w, err := DecodeUser(JSON, body); err != nil {
			checkJSONError(t, err)
		} else if w.Login != nil && w.About != nil && *w.About != "" {
			text := appendUserJSON(nil, &User{Login: *w.Login, About: *w.About})
			again, err := DecodeUser(JSON, text)
			if err != nil || *again.Login != *w.Login || *again.About != *w.About {
				t.Fatalf("%s became %+v, %v", text, again, err)
			}
		}
		if w, err := DecodeProduct(JSON, body); err != nil {
			checkJSONError(t, err)
		} else if w.Defaults != nil {
			text := appendProductJSON(nil, &Product{Defaults: *w.Defaults})
			if again, err := decodeProductJSON(text); err != nil || !reflect.DeepEqual(again.Defaults, w.Defaults) {
				t.Fatalf("%s became %+v, %v", text, again.Defaults, err)
			}
		}
		if serials, err := DecodeSerials(JSON, body); err != nil {
			checkJSONError(t, err)
		} else {
			var devices []ProductDevice
			for _, s := range serials {
				devices = append(devices, ProductDevice{Serial: s})
			}
			text := appendProductDevicesJSON(nil, List{}, devices)
			if again, err := DecodeSerials(JSON, text); err != nil || !reflect.DeepEqual(again, serials) {
				t.Fatalf("%s became %v, %v", text, again, err)
			}
		}
	})
}
