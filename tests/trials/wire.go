package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wire is one connection to a node over which bytes go as they are: attackers
// keep to no library's idea of HTTP.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// answerTime is how long an answer is waited for.
const answerTime = 30 * time.Second

func (n *node) dial() (*wire, error) {
	c, err := net.DialTimeout("tcp", n.address, answerTime)
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c, in: bufio.NewReaderSize(c, 4096)}, nil
}

func (w *wire) close() { _ = w.Conn.Close() }

// reply is an answer.
type reply struct {
	status int
	header []byte // the lines, without the status line
	body   []byte
	took   time.Duration
}

// request puts one together; headers are whole lines, and "" no body.
func request(method, path, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Content-Type:") }) {
			b.WriteString("Content-Type: application/json\r\n")
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// send sends a request and reads the answer.
func (w *wire) send(method, path, body string, headers ...string) (reply, error) {
	return w.exchange(request(method, path, body, headers...))
}

// exchange sends bytes and reads one answer. If the sending fails because the
// answer came first, the answer counts.
func (w *wire) exchange(raw []byte) (reply, error) {
	began := time.Now()
	_ = w.SetDeadline(began.Add(answerTime))
	_, sent := w.Write(raw)
	r, err := w.answer(bytes.HasPrefix(raw, []byte("HEAD ")))
	r.took = time.Since(began)
	if err != nil {
		return r, errors.Join(sent, err)
	}
	return r, nil
}

// answer reads one; to HEAD it has no body, whatever it says.
func (w *wire) answer(head bool) (reply, error) {
	var r reply
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return r, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return r, fmt.Errorf("no status line: %q", line)
	}
	if r.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, err
	}
	length := 0
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return r, err
		}
		if len(line) <= 2 {
			break
		}
		r.header = append(r.header, line...)
		if rest, ok := header(line, "Content-Length"); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(rest))); err != nil {
				return r, err
			}
		}
	}
	if head || r.status == 204 || r.status == 304 || r.status < 200 {
		return r, nil
	}
	r.body = make([]byte, length)
	_, err = io.ReadFull(w.in, r.body)
	return r, err
}

// header gives the value in a line if that is the header of the name, however it is
// spelled: a proxy writes it in small letters.
func header(line []byte, name string) ([]byte, bool) {
	key, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(key) != len(name) || !strings.EqualFold(string(key), name) {
		return nil, false
	}
	return value, true
}

// get gives a header of the answer, "" if it has none.
func (r reply) get(name string) string {
	for line := range bytes.Lines(r.header) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		if strings.EqualFold(string(key), name) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// closes reports whether the server says that it closes.
func (r reply) closes() bool { return strings.EqualFold(r.get("Connection"), "close") }

// cookie gives the value that the answer sets a cookie to, as a Cookie header.
func (r reply) cookie(name string) string {
	for line := range bytes.Lines(r.header) {
		rest, ok := header(line, "Set-Cookie")
		if !ok {
			continue
		}
		if k, err := http.ParseSetCookie(string(bytes.TrimSpace(rest))); err == nil && k.Name == name {
			return "Cookie: " + name + "=" + k.Value
		}
	}
	return ""
}

// raw opens a connection, sends bytes, and reads all answers until the server
// closes or is silent for a while.
func (n *node) raw(bytes []byte, silence time.Duration) (answers []reply, closed bool, err error) {
	w, err := n.dial()
	if err != nil {
		return nil, false, err
	}
	defer w.close()
	_ = w.SetWriteDeadline(time.Now().Add(answerTime))
	_, _ = w.Write(bytes) // what is refused early is not read to its end
	for {
		_ = w.SetReadDeadline(time.Now().Add(silence))
		r, err := w.answer(false)
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return answers, false, nil
		case err != nil: // the end, or a reset, which is one too
			return answers, true, nil
		}
		answers = append(answers, r)
	}
}
