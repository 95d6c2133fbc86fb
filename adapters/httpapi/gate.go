package httpapi

import "bytes"

// envelope is what the header block says as it came over the wire, which the
// parsed view of fasthttp no longer shows: how often framing headers stand
// there, and every cookie header.
type envelope struct {
	sound   bool // framed in one way only
	types   int  // how many Content-Type headers there are
	session found
	device  found
}

// cookieNames are the names of the cookies that mean something here.
type cookieNames struct{ session, device string }

// open reads a raw header block.
//
// A request with two lengths, a length and an encoding, two hosts or none means
// different things to us and to a proxy in front of us; what one takes for a
// body the other executes as the next request (request smuggling, CWE-444).
// Such a request is refused, whichever of its readings would be harmless.
func open(block []byte, names cookieNames) envelope {
	var e envelope
	var hosts, lengths, encodings int
	odd := false
	for len(block) > 0 {
		line := block
		if i := bytes.IndexByte(block, '\n'); i >= 0 {
			line, block = block[:i], block[i+1:]
			if !bytes.HasSuffix(line, []byte("\r")) { // an end of line to some, part of the value to others
				odd = true
			}
		} else {
			block = nil
		}
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') { // obsolete folding, read in two ways too
			odd = true
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		name := line[:colon]
		if bytes.ContainsAny(name, " \t") { // no name: some readers take the first word for one
			odd = true
		}
		switch len(name) {
		case len("Host"):
			if bytes.EqualFold(name, []byte("Host")) && len(bytes.TrimSpace(line[colon+1:])) > 0 {
				hosts++
			}
		case len("Cookie"):
			if bytes.EqualFold(name, []byte("Cookie")) {
				e.findCookies(line[colon+1:], names)
			}
		case len("Content-Type"):
			if bytes.EqualFold(name, []byte("Content-Type")) {
				e.types++
			}
		case len("Content-Length"):
			if bytes.EqualFold(name, []byte("Content-Length")) {
				lengths++
			}
		case len("Transfer-Encoding"):
			if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
				encodings++
			}
		}
	}
	e.sound = hosts == 1 && lengths+encodings <= 1 && !odd
	return e
}
