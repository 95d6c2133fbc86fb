package portstest

import (
	"strings"
	"sync"
	"testing"

	"gatehouse/adapters/useragent"
	"gatehouse/ports"
)

func TestDeviceChecksCanFail(t *testing.T) {
	sound := useragent.New()
	prove(t, deviceChecks, func() ports.Devices { return sound }, deviceMutants)
}

// devices is one whose method is replaced.
type devices func(string) string

func (f devices) Name(userAgent string) string { return f(userAgent) }

func deviceMutant(check, fault string, f func(r ports.Devices) devices) mutant[ports.Devices] {
	return mutant[ports.Devices]{check, fault, func(r ports.Devices) ports.Devices { return f(r) }}
}

// otherwise is a mutant that gives something of its own where it knows no name.
func otherwise(check, fault string, name func(header string) string) mutant[ports.Devices] {
	return deviceMutant(check, fault, func(r ports.Devices) devices {
		return func(header string) string {
			if known := r.Name(header); known != "" {
				return known
			}
			return name(header)
		}
	})
}

var deviceMutants = []mutant[ports.Devices]{
	deviceMutant("what people use is named", "names nothing", func(ports.Devices) devices {
		return func(string) string { return "" }
	}),
	deviceMutant("what people use is named", "names browsers alone", func(r ports.Devices) devices {
		return func(header string) string { browser, _, _ := strings.Cut(r.Name(header), " on "); return browser }
	}),
	deviceMutant("a newer version is the same device", "names the version", func(r ports.Devices) devices {
		return func(header string) string {
			_, version, _ := strings.Cut(header, "Firefox/")
			return strings.TrimSpace(r.Name(header) + " " + version)
		}
	}),
	otherwise("what cannot be told has no name", "has a word for it", func(string) string { return "Unknown device" }),
	otherwise("what cannot be told has no name", "looks at the first letters", func(header string) string {
		if strings.HasPrefix(header, "Firefox") {
			return "Firefox"
		}
		return ""
	}),
	otherwise("nothing of the header is handed on", "shows the header", func(header string) string { return header[:min(len(header), 100)] }),
	otherwise("nothing of the header is handed on", "shows the product in front", func(header string) string {
		product, _, _ := strings.Cut(header, "/")
		return product
	}),
	deviceMutant("nothing of the header is handed on", "shows the model of a phone", func(r ports.Devices) devices {
		return func(header string) string {
			_, model, _ := strings.Cut(header, "Android 14; ")
			model, _, _ = strings.Cut(model, ")")
			return r.Name(header) + model
		}
	}),
	otherwise("any text is taken", "shows it all", func(header string) string { return header }),
	otherwise("any text is taken", "cuts characters in two", func(header string) string { return header[:min(len(header), 100)] }),
	deviceMutant("many at once", "remembers the last header in one place", func(r ports.Devices) devices {
		var mu sync.Mutex
		calls, last := 0, ""
		return func(header string) string {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls%10 > 0 {
				last = r.Name(header)
			}
			return last
		}
	}),
}
