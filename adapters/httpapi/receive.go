package httpapi

import (
	"io"

	"github.com/valyala/fasthttp"
)

// fasthttp hands a request over when its headers are there, and its body as a
// stream, of which it has read no more than readAhead bytes. Left to itself it
// makes room for all that Content-Length promises before a byte of it came:
// measured, five thousand senders that promise 60 KB and send a byte a second
// took 470 MiB and had honest requests wait four times as long.
const (
	readAhead = 1   // bytes; fasthttp knows no less
	firstRoom = 512 // bytes; most bodies fit
)

// receive reads the body of a request and puts it where handlers find it. The
// read timeout counts from the request's first byte and so bounds this too. An
// error has left the connection in the middle of a body: it must be closed.
//
// Nobody but receive touches the stream: Request.Body of one that fails gives
// the text of the error for the body.
func (s *Server) receive(rc *fasthttp.RequestCtx) error {
	stream := rc.RequestBodyStream()
	if stream == nil {
		return nil
	}
	announced := rc.Request.Header.ContentLength() // -1 for a body in chunks
	if announced > s.BodyLimit {
		return fasthttp.ErrBodyTooLarge
	}
	body, err := readStream(stream, announced, s.BodyLimit)
	if err != nil {
		return err
	}
	rc.Request.SetBodyRaw(body)
	return nil
}

// readStream reads a body of the announced length, or, if that is negative, one
// that ends where the stream does, of at most limit bytes. The room that it takes
// is at most twice what has arrived.
func readStream(r io.Reader, announced, limit int) ([]byte, error) {
	most := limit + 1
	if announced >= 0 {
		most = announced
	}
	body := make([]byte, 0, min(most, firstRoom))
	var err error
	for len(body) < most && err == nil {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(2*cap(body), most)), body...)
		}
		var n int
		n, err = r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
	}
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case len(body) > limit:
		return nil, fasthttp.ErrBodyTooLarge
	case len(body) < announced: // which fasthttp takes for the end
		return nil, io.ErrUnexpectedEOF
	}
	return body, nil
}
