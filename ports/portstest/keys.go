package portstest

import (
	"sync"

	"gatehouse/ports"
)

var keyChecks = []check[ports.KeyKeeper]{
	{"the first key is kept", keysKeepTheFirst},
	{"nodes that ask at once get the same", keysAtOnce},
	{"a cancelled context is an outage", keysCancelled},
}

// sharedKey is the n-th key. It holds bytes that are no text.
func sharedKey(n byte) [32]byte { return [32]byte{0, n, 0xff, '\'', 31: n} }

func keysKeepTheFirst(t tester, k ports.KeyKeeper) {
	for n := range byte(3) {
		got, err := k.Key(t.Context(), sharedKey(n))
		must(t, err, "Key")
		want(t, got, sharedKey(0), "Key, asked for the %d-th time", n+1)
	}
}

// Two nodes with keys of their own do not open what the other one sealed.
func keysAtOnce(t tester, k ports.KeyKeeper) {
	const n = 20
	var mu sync.Mutex
	got := map[[32]byte]int{}
	atOnce(n, func(i int) {
		key, err := k.Key(t.Context(), sharedKey(byte(i)))
		if err != nil {
			t.Errorf("Key(%d at once) = %v, want no error", n, err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[key]++
	})
	want(t, len(got), 1, "how many keys %d who asked at once got", n)
	kept, err := k.Key(t.Context(), sharedKey(0xee))
	must(t, err, "Key")
	want(t, got[kept], n, "how many of %d who asked at once got the key that is kept", n)
}

func keysCancelled(t tester, k ports.KeyKeeper) {
	wantUnavailable(t, map[string]error{"Key": second(k.Key(gone(t), sharedKey(1)))})
	got, err := k.Key(t.Context(), sharedKey(2))
	must(t, err, "Key")
	want(t, got, sharedKey(2), "Key after a cancelled call")
}
