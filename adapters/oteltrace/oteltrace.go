// Package oteltrace follows requests through the service as spans of
// OpenTelemetry, and sends them over OTLP (HTTP, protobuf).
//
// It is asked for by OpenTelemetry's own variables and by nothing else: see
// [Open]. Where they ask for nothing there is no [Tracer], nothing stands around
// any port, and nothing is paid.
//
// A span tells the pattern of a route, never the path; the text of a statement,
// never its values; and of a failure its code, never its text, in which databases
// quote what they refuse. A collector that is away costs spans and nothing else:
// they wait in a queue of bounded length, beside the requests.
package oteltrace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer opens spans.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Wanted reports whether the environment asks for traces: by
// OTEL_TRACES_EXPORTER=otlp, or by an OTEL_EXPORTER_OTLP_ENDPOINT (or
// …_TRACES_ENDPOINT) without OTEL_TRACES_EXPORTER=none, and without
// OTEL_SDK_DISABLED=true. It returns an error where they ask for what there is
// not: another exporter, or another protocol.
func Wanted(env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	first := func(names ...string) (name, value string) {
		for _, name := range names {
			if value := strings.TrimSpace(env(name)); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	switch _, exporter := first("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "":
		if name, _ := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"); name == "" {
			return false, nil
		}
	case "otlp":
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER is %q; traces go to otlp, or nowhere (none)", exporter)
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); name != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("%s is %q; traces are sent as http/protobuf, usually to port 4318", name, protocol)
	}
	return true, nil
}

// Open returns a tracer, or nil where the environment does not ask for one
// ([Wanted]). Where spans go, which are sampled, and under which name, the
// environment says: OTEL_EXPORTER_OTLP_…, OTEL_TRACES_SAMPLER, OTEL_BSP_…,
// OTEL_SPAN_…, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES. log is told once when
// spans cannot be sent, and once when they can be again.
func Open(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	wanted, err := Wanted(os.Getenv)
	if err != nil || !wanted {
		return nil, err
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("the exporter of traces: %w", err)
	}
	// What the environment says comes last, and so counts. The command line is not
	// told: there may be a password in it.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "gatehouse"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The SDK tells what it does not like, such as a sampler that there is not, to
	// a handler of the whole process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("tracing", "error", err) }))
	return with(sdktrace.NewBatchSpanProcessor(&patient{SpanExporter: exporter, log: log}), about), nil
}

func with(p sdktrace.SpanProcessor, about *resource.Resource) *Tracer {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p), sdktrace.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("gatehouse")}
}

// Close sends what has not been sent, as far as ctx has time for it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// patient is an exporter that says once that it does not work.
type patient struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans sends spans. One batch that fails is lost, and is no error to
// anybody: no request has waited for it.
func (p *patient) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	switch err := p.SpanExporter.ExportSpans(ctx, spans); {
	case err != nil && !p.failing.Swap(true):
		p.log.Warn("traces cannot be sent; the service goes on without", "error", strings.Join(strings.Fields(err.Error()), " "))
	case err == nil && p.failing.Swap(false):
		p.log.Info("traces are sent again")
	}
	return nil
}

// headers are those of a request, as a carrier.
type headers func(name string) string

func (h headers) Get(name string) string { return h(name) }
func (headers) Set(string, string)       {}
func (headers) Keys() []string           { return nil }

// Request opens the span of a request. Where header is not nil, the caller's span
// is the one that traceparent names (W3C Trace Context). It returns the context of
// the span, the id of the trace for the log, and what ends it: with the pattern of
// the route ("" for none) and the status.
func (t *Tracer) Request(ctx context.Context, method, requestID string, header func(name string) string) (_ context.Context, traceID string, end func(route string, status int)) {
	if header != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, headers(header))
	}
	ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("gatehouse.request_id", requestID)))
	return ctx, span.SpanContext().TraceID().String(), func(route string, status int) {
		if route != "" {
			span.SetName(method + " " + route)
			span.SetAttributes(attribute.String("http.route", route))
		}
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Step opens the span of a part of a request. What it returns ends it, and says
// whether the part failed.
func (t *Tracer) Step(ctx context.Context, name string) (context.Context, func(failed bool)) {
	ctx, span := t.begin(ctx, name)
	return ctx, func(failed bool) { finish(span, failed) }
}

// begin opens a span below that of ctx, if anybody records that: what the
// background does is nobody's request.
func (t *Tracer) begin(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if span := trace.SpanFromContext(ctx); !span.IsRecording() {
		return ctx, nil
	}
	return t.tracer.Start(ctx, name, trace.WithAttributes(attributes...))
}

// finish ends a span that was begun.
func finish(span trace.Span, failed bool) {
	if span == nil {
		return
	}
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
