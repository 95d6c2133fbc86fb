//go:build race

package httpapi_test

// raced reports whether the race detector is on.
const raced = true
