package oteltrace

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// Recording is a tracer whose spans stay in memory.
func Recording(t *testing.T) *Tracer {
	return with(sdktrace.NewSimpleSpanProcessor(tracetest.NewInMemoryExporter()), resource.Empty())
}
