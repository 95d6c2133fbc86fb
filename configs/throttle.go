package configs

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/domain/throttle"
)

// Throttles bound how often something may be tried (application/guard.Rules,
// whose fields these are).
type Throttles struct {
	SignIn   throttle.Rule
	Account  throttle.Rule
	Network  throttle.Rule
	Code     throttle.Rule
	Confirm  throttle.Rule
	Register throttle.Rule
	Forgot   throttle.Rule
	Search   throttle.Rule
}

// The bounds of a bound. No count is kept for longer than a day.
const (
	maxTries  = 1_000_000
	maxWindow = 24 * time.Hour
)

const acceptsThrottle = "LIMIT/WINDOW with up to 1000000 tries and 1s to 24h, such as 10/15m, or off"

// inARow is for tries that fail one after the other: after so many a pause,
// which doubles from the first one up to the window.
func inARow(first time.Duration) func(string) (throttle.Rule, error) {
	return func(s string) (throttle.Rule, error) {
		r, err := parseThrottle(s)
		if err == nil && !r.Off() {
			r.Pause, r.MaxPause = min(first, r.Window), r.Window
		}
		return r, err
	}
}

// perWindow is for tries of whatever outcome.
func perWindow(s string) (throttle.Rule, error) {
	r, err := parseThrottle(s)
	r.PerWindow = err == nil && !r.Off()
	return r, err
}

func parseThrottle(s string) (throttle.Rule, error) {
	if s == off {
		return throttle.Rule{}, nil
	}
	tries, window, found := strings.Cut(s, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(tries), 10, 32)
	if !found || err != nil {
		return throttle.Rule{}, errors.New("is neither LIMIT/WINDOW nor off")
	}
	if n < 1 || n > maxTries {
		return throttle.Rule{}, errors.New("has a limit that is not between 1 and 1000000")
	}
	d, err := parseDuration(strings.TrimSpace(window))
	if err != nil {
		return throttle.Rule{}, errors.New("has a window that " + err.Error())
	}
	if d < time.Second || d > maxWindow {
		return throttle.Rule{}, errors.New("has a window that is not between 1s and 24h")
	}
	return throttle.Rule{Limit: int(n), Window: d}, nil
}
