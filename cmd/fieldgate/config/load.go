package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"fieldgate/gateway"
)

// MaxFile is the largest configuration file, in bytes.
const MaxFile = 4 << 20

// Load reads and checks a configuration file and the files it names
// (certificates, password files). The error is Mistakes, also if the file cannot
// be read.
func Load(path string) (*Config, error) {
	data, mode, err := read(path)
	if err != nil {
		return nil, Mistakes{{File: path, Problem: "cannot be read (" + cause(err) + ")", Remedy: "name a configuration file that the gateway's user may read"}}
	}
	r := &reader{file: path, files: true}
	c := r.config(data)
	if r.secrets && mode.Perm()&0o004 != 0 {
		value{r: r}.warn("holds passwords or keys and can be read by every user of this machine", "chmod o-rwx "+path)
	}
	return r.result(c)
}

// Parse checks a configuration as Load does, without a look at the files that
// it names. The error is Mistakes; name stands for the file in them.
func Parse(name string, data []byte) (*Config, error) {
	r := &reader{file: name}
	return r.result(r.config(data))
}

// Default is the configuration of an empty file.
func Default() *Config {
	return (&reader{}).defaults()
}

func read(path string) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = errors.New("larger than " + formatSize(MaxFile))
	}
	return data, info.Mode(), err
}

func (r *reader) result(c *Config) (*Config, error) {
	r.mistakes.sort()
	r.warnings.sort()
	if len(r.mistakes) > 0 {
		return nil, r.mistakes
	}
	c.Warnings = r.warnings
	return c, nil
}

func (r *reader) defaults() *Config {
	host, _ := os.Hostname()
	return &Config{
		File:   r.file,
		ID:     host,
		Data:   "/var/lib/fieldgate",
		Listen: Listen{MQTT: "127.0.0.1:1883", HTTP: "127.0.0.1:8080"},
		Store:  Store{MaxSize: 256 << 20, CommitEvery: 20 * time.Millisecond},
		Limits: Limits{
			Clients:        1000,
			Pending:        100,
			ConnectRate:    500,
			Sessions:       2000,
			Filters:        1000,
			FiltersTotal:   50_000,
			Retained:       10_000,
			RetainedBytes:  32 << 20,
			PacketSize:     2 << 20,
			QueueBytes:     4 << 20,
			QueueMessages:  1000,
			ConnectTimeout: 10 * time.Second,
			WriteTimeout:   10 * time.Second,
		},
		Log: Log{Level: slog.LevelInfo, Format: "text"},
	}
}

// config decodes the whole file. What it gives is only good if there are no
// mistakes.
func (r *reader) config(data []byte) *Config {
	c := r.defaults()
	root := r.parse(data)
	if len(r.mistakes) > 0 {
		return c
	}
	t := root.table()
	id := t.get("id")
	id.text(&c.ID)
	if err := gateway.CheckID(c.ID); err != nil {
		if id.present() {
			id.mistake(reason(err), "a name such as gw-1")
		} else {
			id.mistake(fmt.Sprintf("the host name %.40q is no id (%s)", c.ID, reason(err)), "set id")
		}
	}
	if data := t.get("data"); data.text(&c.Data) {
		c.Data = r.path(c.Data)
		r.folder(data, c.Data)
	}
	c.listen(t.get("listen").table(), t.get("tls").table())
	c.access(t.get("access").table())
	c.devices(t.get("devices"))
	t.get("auto_create").boolean(&c.AutoCreate)
	taken := newClaims()
	c.sensors(t.get("sensors"), taken)
	c.actuators(t.get("actuators"), taken)
	c.radios(t.get("radios"), t.get("lorawan"), t.get("lora"), taken)
	c.uplinks(t.get("uplink"))
	c.store(t.get("store").table())
	c.limits(t.get("limits").table())
	c.log(t.get("log").table())
	t.close()
	return c
}

// reason is the text of an error without the package it comes from.
func reason(err error) string {
	s := err.Error()
	for _, p := range []string{"access: ", "bad id: "} {
		s = strings.TrimPrefix(s, p)
	}
	return s
}

var yamlLine = regexp.MustCompile(`^line (\d+): `)

// parse reads the YAML. The value is absent for an empty file, and after a
// mistake.
func (r *reader) parse(data []byte) value {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !r.characters(data) {
		return value{r: r}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	err := dec.Decode(&doc)
	if err == nil {
		err = dec.Decode(&next)
		if err == nil {
			value{r: r, at: &next}.mistake("a second document begins here", "one file holds one document, remove the line ---")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.syntax(data, err)
		return value{r: r}
	}
	if len(doc.Content) == 0 {
		return value{r: r}
	}
	return value{r: r}.sub(doc.Content[0], "")
}

// characters reports what no YAML file may hold, with its line, which the YAML
// parser does not tell.
func (r *reader) characters(data []byte) bool {
	ok := true
	for i, line := range bytes.Split(data, []byte("\n")) {
		at := value{r: r, at: &yaml.Node{Line: i + 1}}
		switch {
		case !utf8.Valid(line):
			at.mistake("not UTF-8", "save the file as UTF-8")
			ok = false
		case bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' && c != '\r' || c == 0x7f }):
			at.mistake("holds a control character", "remove it")
			ok = false
		}
	}
	return ok
}

// The parser tells where the list or table began that it could not go on with.
// That is right for a bracket that is not closed, but not for lines of which
// one has the wrong indentation.
var (
	flowError  = regexp.MustCompile(`^did not find expected (',' or|node content)`)
	blockError = regexp.MustCompile(`^did not find expected (key|'-'|<)`)
)

// offending finds the line that an error of the parser is about: the last one
// of the shortest beginning of the file that fails in the same way. The parser
// stops at its first error, so each longer beginning fails so too.
func offending(data []byte, err error) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, 0, len(lines)) // of those with content
	numbers := make([]int, 0, len(lines))
	at := 0
	for i, line := range lines {
		at += len(line)
		if len(bytes.TrimSpace(line)) > 0 {
			ends, numbers = append(ends, at), append(numbers, i+1)
		}
	}
	i := sort.Search(len(ends), func(i int) bool {
		var doc yaml.Node
		again := yaml.Unmarshal(data[:ends[i]], &doc)
		return again != nil && again.Error() == err.Error()
	})
	if i == len(numbers) {
		return len(lines)
	}
	return numbers[i]
}

// syntax reports an error of the YAML parser.
func (r *reader) syntax(data []byte, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // what the parser leaves out is line 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	switch {
	case blockError.MatchString(text):
		line = offending(data, err)
	case flowError.MatchString(text):
		line++ // counted from 0
	}
	remedy := "check quotes, brackets and the indentation here and just above"
	switch {
	case strings.Contains(text, "tab character"), strings.Contains(text, "cannot start any token"):
		remedy = "indent with spaces, not with tabs, and put text with special characters in quotes"
	case strings.Contains(text, "mapping values are not allowed"):
		remedy = "put text that holds ': ' in quotes, and give keys of one level the same indentation"
	case strings.Contains(text, "',' or"):
		remedy = "put a comma between the items and close the bracket"
	case strings.Contains(text, "unexpected end of stream"):
		remedy = "close the quotes"
	case strings.Contains(text, "alphabetic or numeric character"):
		remedy = "put text that begins with * or & in quotes"
	case strings.Contains(text, "unknown anchor"):
		remedy = "put text that begins with * in quotes"
		if _, name, ok := strings.Cut(text, "'"); ok {
			name, _, _ = strings.Cut(name, "'")
			if i := bytes.Index(data, []byte("*"+name)); i >= 0 {
				line = 1 + bytes.Count(data[:i], []byte("\n"))
			}
		}
	}
	value{r: r, at: &yaml.Node{Line: line}}.mistake("YAML: "+text, remedy)
}
