package feeds

import (
	"context"
	"errors"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestLocationIsWhatTheClientAsked(t *testing.T) {
	r := newRig(t)
	for id, tc := range map[string]struct{ base, want string }{
		"a": {"", "http://gw-1:8080/v2/feeds/504/datastreams/a"},
		"b": {"https://field.example:8443", "https://field.example:8443/v2/feeds/504/datastreams/b"},
	} {
		resp := r.api.Serve(context.Background(), gateway.Request{Door: "http", Method: "POST", Path: "/v2/feeds/504/datastreams",
			Key: "master", Base: tc.base, Body: []byte(`{"datastreams":[{"id":"` + id + `"}]}`)})
		if resp.Status != 201 || resp.Location != tc.want {
			t.Errorf("%s: %d %s", tc.base, resp.Status, resp.Location)
		}
	}
}

func TestReasonsArePlain(t *testing.T) {
	for _, tc := range []struct {
		key, method, target, body string
		is                        error
		want                      string
	}{
		{"", "GET", "/v2/feeds/504", "", access.ErrBadCredentials, "a good API key is needed"},
		{"", "PUT", "/v2/feeds/504.csv", "0,1", access.ErrBadCredentials, "a good API key is needed"},
		{"wrong", "GET", "/v2/feeds/504", "", gateway.ErrDenied, "a good API key is needed"},
		{"expired", "GET", "/v2/feeds/504", "", access.ErrBadCredentials, "a good API key is needed"},
		{"master", "GET", "/v2/feeds/999", "", gateway.ErrUnknownDevice, "there is no feed 999"},
		{"master", "PUT", "/v2/feeds/999.csv", "0,1", gateway.ErrUnknownDevice, "there is no feed 999"},
		{"master", "GET", "/v2/feeds/504/datastreams/nope", "", gateway.ErrUnknownSensor, `there is no datastream "nope" in feed 504`},
		{"master", "DELETE", "/v2/feeds/504", "", gateway.ErrDeclared, gateway.ErrDeclared.Error()},
	} {
		r := newRig(t)
		resp := r.ask(tc.key, tc.method, tc.target, tc.body)
		if !errors.Is(resp.Err, tc.is) || resp.Err.Error() != tc.want || r.last().Error != tc.want {
			t.Errorf("%s %s with %s: %v, want %s", tc.method, tc.target, tc.key, resp.Err, tc.want)
		}
	}
}
