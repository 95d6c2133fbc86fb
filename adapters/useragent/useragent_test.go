package useragent_test

import (
	"strings"
	"testing"
	"unicode"

	"gatehouse/adapters/useragent"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

func TestContract(t *testing.T) {
	portstest.Devices(t, func(*testing.T) ports.Devices { return useragent.New() })
}

// What people sign in with, as it was at the end of 2026.
func TestNames(t *testing.T) {
	const webkit = " AppleWebKit/537.36 (KHTML, like Gecko) "
	for header, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)" + webkit + "Chrome/142.0.0.0 Safari/537.36":                                                              "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)" + webkit + "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":                                                "Edge on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)" + webkit + "Chrome/142.0.0.0 Safari/537.36 OPR/123.0.0.0":                                                "Opera on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)" + webkit + "Chrome/142.0.0.0 Safari/537.36 Vivaldi/7.6":                                                  "Vivaldi on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64)" + webkit + "Chrome/138.0.0.0 Whale/4.33.325.17 Safari/537.36":                                            "Whale on Windows",
		"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko":                                                                              "Internet Explorer on Windows",
		"Mozilla/5.0 (Windows NT; Windows NT 10.0; ko-KR) WindowsPowerShell/5.1.22621.4391":                                                                  "PowerShell on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0":                                                               "Firefox on Mac",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15":                              "Safari on Mac",
		"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1":                     "Safari on iPad",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77 Mobile/15E148 Safari/604.1":     "Chrome on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 KAKAOTALK 10.8.5":                   "KakaoTalk on iPhone",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 NAVER(inapp; search; 2000; 12.6.5)": "NAVER on iPhone",
		"Mozilla/5.0 (Linux; Android 14; SM-S918N Build/UP1A; wv)" + webkit + "Version/4.0 Chrome/127.0.6533.103 Mobile Safari/537.36;KAKAOTALK 2410830":     "KakaoTalk on Android",
		"Mozilla/5.0 (Linux; Android 10; K)" + webkit + "Chrome/142.0.0.0 Mobile Safari/537.36":                                                              "Chrome on Android",
		"Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S928N)" + webkit + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":                           "Samsung Browser on Android",
		"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0":                                                                     "Firefox on Linux",
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)" + webkit + "Chrome/142.0.0.0 Safari/537.36":                                                               "Chrome on ChromeOS",
		"Mozilla/5.0 (X11; OpenBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                            "Firefox on OpenBSD",
		"curl/8.7.1":                      "curl",
		"PostmanRuntime/7.43.0":           "Postman",
		"Go-http-client/1.1":              "Go program",
		"Python/3.13 aiohttp/3.11":        "Python program",
		"node":                            "Node.js program",
		"Mozilla/5.0":                     "",
		"Windows":                         "",
		"Our own app/1.0":                 "",
		"Mozilla/5.0 (X11; Linux x86_64)": "Linux",
	} {
		if got := useragent.New().Name(header); got != want {
			t.Errorf("Name(%q) = %q, want %q", header, got, want)
		}
	}
}

// FuzzName: whatever the header, there is no panic, and a name holds nothing
// but words that are known.
func FuzzName(f *testing.F) {
	d := useragent.New()
	f.Add("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0")
	f.Add("Mozilla/5.0 (Linux; Android 14; SM-S918N Build/UP1A; wv) Chrome/127.0 Mobile Safari/537.36;KAKAOTALK 2410830")
	f.Add("curl/8.7.1")
	f.Add("Mozilla/5.0 (((((( en-US; \xff\x00")
	words := strings.Fields("curl Wget HTTPie xh Postman Insomnia Bruno Go Python OkHttp Java Dart Node.js program " +
		"PowerShell KakaoTalk NAVER Whale LINE Instagram Facebook DuckDuckGo on iPhone iPad Mac " +
		"Android Browser Chrome Edge Firefox Internet Explorer Opera Mini Safari Vivaldi Amazon Silk Samsung Falkon Nintendo Yandex Huawei " +
		"ChromeOS iOS Linux FreeBSD OpenBSD Windows")
	known := map[string]bool{}
	for _, w := range words {
		known[w] = true
	}
	f.Fuzz(func(t *testing.T, header string) {
		name := d.Name(header)
		for _, word := range strings.FieldsFunc(name, unicode.IsSpace) {
			if !known[word] {
				t.Errorf("Name(%q) = %q, in which %q is no word of ours", header, name, word)
			}
		}
	})
}

func BenchmarkName(b *testing.B) {
	d := useragent.New()
	b.ReportAllocs()
	for b.Loop() {
		d.Name("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0")
	}
}
