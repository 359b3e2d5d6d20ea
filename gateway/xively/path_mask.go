package xively

import (
	"net/url"
	"strings"
)

// activationShown is how much of an activation code a log shows, in bytes.
const activationShown = 8

// surelyKey is the length in bytes from which a level is hidden wherever it
// stands.
const surelyKey = 32

// MaskPath is path without the text of an API key in it, for logs: what stands
// in the place of a key goes through name. That is the level after "keys", the
// one in front of the version if path is a whole topic, and a parameter that
// carries a key if it has a query. Of an activation code the first 8 characters
// stay. It does its best with paths and topics that name nothing, too.
func MaskPath(path string, name func(key string) string) string {
	path, query, asked := strings.Cut(path, "?")
	levels := strings.Split(path, "/")
	i := 0
	if levels[0] == "" && len(levels) > 1 {
		i = 1
	}
	if !versionLevel(levels[i]) && i+1 < len(levels) && versionLevel(levels[i+1]) {
		if maybeKey(levels[i]) {
			levels[i] = name(unescaped(levels[i]))
		}
		i++
	}
	if versionLevel(levels[i]) && i+2 < len(levels) && levels[i+2] != "" {
		root, _ := cutExt(unescaped(levels[i+1]))
		switch text, ext := cutExt(levels[i+2]); root {
		case "keys":
			levels[i+2] = name(unescaped(text)) + ext
		case "devices":
			if len(text) > activationShown {
				levels[i+2] = strings.ToValidUTF8(text[:activationShown], "") + "..." + ext
			}
		}
	}
	for j := i + 1; j < len(levels); j++ {
		// A key where none belongs. No id of that length and kind is worth a leak.
		if text, ext := cutExt(levels[j]); len(text) >= surelyKey && keyText(text) {
			levels[j] = name(text) + ext
		}
	}
	path = strings.Join(levels, "/")
	if asked {
		path += "?" + maskQuery(query, name)
	}
	return path
}

// keyText reports whether s has the characters of a key only.
func keyText(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// maybeKey reports whether the level of a topic in front of a version can be
// meant as a key.
func maybeKey(level string) bool {
	switch level {
	case "", "+", "devices", "gateways":
		return false
	}
	return level[0] != '$'
}

// cutExt takes a known extension, with its point, off level.
func cutExt(level string) (text, ext string) {
	for _, f := range []Format{JSON, XML, CSV} {
		if text, ok := strings.CutSuffix(level, "."+f.Ext()); ok {
			return text, level[len(text):]
		}
	}
	return level, ""
}

// unescaped is s without percent escapes, or s if those are bad.
func unescaped(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

// maskQuery replaces the keys in a query.
func maskQuery(query string, name func(key string) string) string {
	params := strings.Split(query, "&")
	for i, p := range params {
		k, v, ok := strings.Cut(p, "=")
		switch strings.ToLower(unescaped(k)) {
		case "key", "api_key", "apikey", "oauth_token", "access_token":
			if ok && v != "" {
				params[i] = k + "=" + name(unescaped(v))
			}
		}
	}
	return strings.Join(params, "&")
}
