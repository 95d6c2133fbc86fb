// Package useragent names devices by their User-Agent header, with
// github.com/medama-io/go-useragent. Read [Devices].
//
// The header is whatever its sender likes, and what is made of it is shown to
// people and written into mails. So nothing of its text is ever handed on: a
// name is put together out of the words that stand here and in the library.
package useragent

import (
	"strings"
	"sync"

	parser "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"

	"gatehouse/ports"
)

// maxLooked bounds how many bytes of a header are looked at.
const maxLooked = 1024

// Devices names devices.
type Devices struct{ parse func() *parser.Parser }

var _ ports.Devices = Devices{}

// New returns what names devices. The library takes some 40 ms and 5 MiB when
// the first of them is named, which most runs of a command never do.
func New() Devices { return Devices{sync.OnceValue(parser.NewParser)} }

// Name implements ports.Devices.
func (d Devices) Name(userAgent string) string {
	userAgent = userAgent[:min(len(userAgent), maxLooked)]
	if tool := find(tools, userAgent, strings.HasPrefix); tool != "" {
		return tool
	}
	a := d.parse().Parse(userAgent)
	what, where := find(apps, userAgent, strings.Contains), device(a)
	if what == "" {
		what = browser(a)
	}
	if what != "" && where != "" {
		return what + " on " + where
	}
	return what + where
}

// known is a piece of a header and what it stands for.
type known struct{ piece, name string }

func find(all []known, userAgent string, in func(s, piece string) bool) string {
	for _, k := range all {
		if in(userAgent, k.piece) {
			return k.name
		}
	}
	return ""
}

// tools are programs whose header begins so.
var tools = []known{
	{"curl/", "curl"},
	{"Wget/", "Wget"},
	{"HTTPie/", "HTTPie"},
	{"xh/", "xh"},
	{"PostmanRuntime/", "Postman"},
	{"insomnia/", "Insomnia"},
	{"bruno-runtime/", "Bruno"},
	{"Go-http-client/", "Go program"},
	{"python-requests/", "Python program"},
	{"python-httpx/", "Python program"},
	{"Python", "Python program"},
	{"okhttp/", "OkHttp"},
	{"Java", "Java program"},
	{"Dart/", "Dart program"},
	{"node", "Node.js program"},
	{"undici", "Node.js program"},
	{"axios/", "Node.js program"},
}

// apps are browsers, and apps with a browser in them, that the library takes
// for the browser which they are made of.
var apps = []known{
	{"PowerShell/", "PowerShell"},
	{"KAKAOTALK", "KakaoTalk"},
	{"NAVER(", "NAVER"},
	{"Whale/", "Whale"},
	{" Line/", "LINE"},
	{"Instagram", "Instagram"},
	{"FBAN/", "Facebook"},
	{"FB_IAB/", "Facebook"},
	{"DuckDuckGo/", "DuckDuckGo"},
}

func browser(a parser.UserAgent) string {
	if name := a.Browser(); name != agents.BrowserIE {
		return string(name)
	}
	return "Internet Explorer"
}

// device is what people call what they hold in their hands.
func device(a parser.UserAgent) string {
	switch os := a.OS(); os {
	case agents.OSMacOS:
		return "Mac"
	case agents.OSIOS:
		if a.Device() == agents.DeviceTablet {
			return "iPad"
		}
		return "iPhone"
	default:
		return string(os)
	}
}
