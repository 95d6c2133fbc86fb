package portstest

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatehouse/ports"
)

// Devices holds a ports.Devices to its promises.
func Devices(t *testing.T, open func(t *testing.T) ports.Devices) { run(t, deviceChecks, open) }

var deviceChecks = []check[ports.Devices]{
	{"what people use is named", devicesKnown},
	{"a newer version is the same device", devicesVersions},
	{"what cannot be told has no name", devicesUnknown},
	{"nothing of the header is handed on", devicesRaw},
	{"any text is taken", devicesHostile},
	{"many at once", devicesAtOnce},
}

const (
	firefoxOnWindows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
	safariOnIPhone   = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1"
)

func devicesKnown(t tester, d ports.Devices) {
	want(t, d.Name(firefoxOnWindows), "Firefox on Windows", "Name(Firefox)")
	want(t, d.Name(safariOnIPhone), "Safari on iPhone", "Name(Safari)")
	want(t, d.Name("curl/8.7.1"), "curl", "Name(curl)")
}

// People are told of devices; to them an update makes no new one.
func devicesVersions(t tester, d ports.Devices) {
	for old, new := range map[string]string{
		firefoxOnWindows: strings.ReplaceAll(firefoxOnWindows, "145", "146"),
		safariOnIPhone:   strings.NewReplacer("18_6", "19_0", "26.0", "27.1").Replace(safariOnIPhone),
		"curl/8.7.1":     "curl/9.0",
	} {
		want(t, d.Name(new), d.Name(old), "Name(%s)", new)
	}
}

func devicesUnknown(t tester, d ports.Devices) {
	for _, header := range []string{"", " ", "x", "Mozilla/5.0", "Firefoxy Windowsy", "\x00", "()"} {
		want(t, d.Name(header), "", "Name(%q)", header)
	}
}

// The header is an attacker's to write, and the name is read in a mail that
// comes from us: "a new device, Call 555-0100 now".
func devicesRaw(t tester, d ports.Devices) {
	const marker = "evil"
	for _, header := range []string{
		marker, marker + "/1.0", "Evil-App/1.0 (" + marker + ")", "Mozilla/5.0 (" + marker + ") " + marker + "/1.0",
		strings.ReplaceAll(firefoxOnWindows, "Firefox", marker), strings.ReplaceAll(firefoxOnWindows, "Windows NT 10.0", marker),
		firefoxOnWindows + " " + marker + "/1.0", marker + " " + safariOnIPhone, strings.ReplaceAll(safariOnIPhone, "15E148", marker),
		"Mozilla/5.0 (Linux; Android 14; " + marker + ") Chrome/142.0 Mobile Safari/537.36", "curl/" + marker, "Mozilla/5.0 (compatible; " + marker + "bot/1.0; +http://evil.example)",
	} {
		if got := d.Name(header); strings.Contains(strings.ToLower(got), marker) {
			t.Errorf("Name(%q) = %q, which hands on what its sender wrote", header, got)
		}
	}
}

func devicesHostile(t tester, d ports.Devices) {
	var headers []string
	for _, piece := range []string{"(", ")", "/", " ", ";", "\x00", "\xff", "가", "en-US ", "Mozilla/5.0 (", "Windows NT 10.0; ", "Firefox/1 ", "curl/", "Android 1; ", "1.", "\U0010ffff"} {
		for _, n := range []int{1, 7, 1000, 100_000} {
			headers = append(headers, strings.Repeat(piece, n), firefoxOnWindows+strings.Repeat(piece, n), strings.Repeat(piece, n)+safariOnIPhone)
		}
	}
	for cut := range len(safariOnIPhone) {
		headers = append(headers, safariOnIPhone[:cut], safariOnIPhone[cut:])
	}
	for _, header := range headers {
		got := d.Name(header)
		odd := strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) })
		if odd || !utf8.ValidString(got) || utf8.RuneCountInString(got) > 100 || got != strings.TrimSpace(got) {
			t.Errorf("Name(%.60q, %d bytes) = %.200q, want up to 100 printable characters", header, len(header), got)
		}
	}
}

func devicesAtOnce(t tester, d ports.Devices) {
	headers := []string{firefoxOnWindows, safariOnIPhone, "curl/8.7.1", ""}
	names := make([]string, len(headers))
	for i, header := range headers {
		names[i] = d.Name(header)
	}
	atOnce(8, func(i int) {
		for n := range 100 {
			at := (i + n) % len(headers)
			want(t, d.Name(headers[at]), names[at], "Name(%s) beside others", headers[at])
		}
	})
}
