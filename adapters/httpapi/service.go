package httpapi

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"gatehouse/domain/fault"
	"gatehouse/ports"
)

// openAPI is the surface in words, kept by hand.
//
//go:embed openapi.json
var openAPI []byte

// checkTime is how long GET /readyz waits for what it asks.
const checkTime = time.Second

// livez says that the process answers, and asks nothing else: what restarts it
// on a failure must not do so because a database is away.
func (s *Server) livez(c *fiber.Ctx) error {
	return send(c, fiber.StatusOK, []byte(`{"status":"ok"}`))
}

// readyz says whether requests should be sent here: not while draining, nor
// while something is away without which every answer would be 503. Where all is
// answered well though something is wrong, it says what and is ready.
func (s *Server) readyz(c *fiber.Ctx) error {
	if s.draining.Load() {
		return fault.New(fault.Unavailable, "unavailable", "The service is shutting down.")
	}
	found, failed := s.checkAll(c.UserContext())
	if failed != nil {
		return failed
	}
	b := append(newBody(), `{"status":`...)
	if slices.ContainsFunc(found, func(one checked) bool { return one.says != fine }) {
		b = append(b, `"degraded","checks":{`...)
	} else {
		b = append(b, `"ok","checks":{`...)
	}
	for i, one := range found {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, one.name), ':')
		b = appendString(b, one.says)
	}
	return send(c, fiber.StatusOK, append(b, "}}"...))
}

// checked is something that works; says is fine, or what is wrong with it.
type checked struct{ name, says string }

const fine = "ok"

// checkAll asks everything at once. Its error names what fails to the client
// and holds why for the log.
func (s *Server) checkAll(ctx context.Context) (found []checked, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(checkTime, s.RequestTimeout))
	defer cancel()
	results := map[string]chan error{}
	var names []string
	for name, h := range s.Health {
		result := make(chan error, 1) // with room, so that nobody has to be waiting
		results[name] = result
		go func() { result <- check(ctx, h) }()
		names = append(names, name)
	}
	slices.Sort(names)
	var failing []string
	var causes []error
	for _, name := range names {
		err := await(ctx, results[name])
		switch d, degraded := errors.AsType[*ports.Degraded](err); {
		case err == nil:
			found = append(found, checked{name, fine})
		case degraded:
			found = append(found, checked{name, d.Says})
		default:
			failing = append(failing, name)
			causes = append(causes, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(failing) > 0 {
		detail := "Not ready: " + strings.Join(failing, ", ") + "."
		return nil, fault.New(fault.Unavailable, "unavailable", detail).Because(errors.Join(causes...))
	}
	return found, nil
}

// check asks one. A panic in a goroutine would end the process.
func check(ctx context.Context, h ports.Health) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return h.Check(ctx)
}

// await does not wait for a check that disregards its deadline.
func await(ctx context.Context, result chan error) error {
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select { // it may have come in together with the deadline
	case err := <-result:
		return err
	default:
		return ctx.Err()
	}
}

func (s *Server) getDocument(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "no-cache")
	if notModified(c, s.document.etag) {
		return nil
	}
	return send(c, fiber.StatusOK, s.document.body)
}
