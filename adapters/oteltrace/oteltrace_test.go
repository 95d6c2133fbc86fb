package oteltrace_test

import (
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/adapters/oteltrace"
	"gatehouse/domain/access"
	"gatehouse/ports"
	"gatehouse/ports/portstest"
)

// TestWanted: nothing but OpenTelemetry's own variables asks for traces.
func TestWanted(t *testing.T) {
	const endpoint = "http://127.0.0.1:4318"
	type env map[string]string
	for _, row := range []struct {
		env    env
		wanted bool
		wrong  bool
	}{
		{env: env{}},
		{env: env{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}},
		{env: env{"OTEL_TRACES_EXPORTER": "otlp"}, wanted: true},
		{env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, wanted: true},
		{env: env{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint}, wanted: true},
		{env: env{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint}},
		{env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}},
		{env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		{env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, wanted: true},
		{env: env{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}},
		{env: env{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, wrong: true},
		{env: env{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, wrong: true},
		{env: env{"OTEL_TRACES_EXPORTER": "console"}, wrong: true},
	} {
		wanted, err := oteltrace.Wanted(func(name string) string { return row.env[name] })
		if wanted != row.wanted || (err != nil) != row.wrong {
			t.Errorf("Wanted(%v) = %v, %v, want %v, an error %v", row.env, wanted, err, row.wanted, row.wrong)
		}
	}
}

// TestNobodyAsks: a nil *Tracer stands around nothing, and costs nothing.
func TestNobodyAsks(t *testing.T) {
	var none *oteltrace.Tracer
	db := memory.New()
	authorizer := memory.NewAuthorizer(db.Policies(), access.Vocabulary{})
	if none.Hasher(memory.Hasher{}) != ports.PasswordHasher(memory.Hasher{}) || none.Authorizer(authorizer) != ports.Authorizer(authorizer) || none.Close(t.Context()) != nil {
		t.Error("something stands around a port that nobody follows")
	}
}

// What stands around a port is what it stands around: it passes the same suite.

func TestAuthorizer(t *testing.T) {
	tracer := oteltrace.Recording(t)
	portstest.Authorizer(t, func(_ *testing.T, p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer {
		return tracer.Authorizer(memory.NewAuthorizer(p, v))
	})
}

func TestPasswordHasher(t *testing.T) {
	tracer := oteltrace.Recording(t)
	portstest.PasswordHasher(t, func(*testing.T) ports.PasswordHasher { return tracer.Hasher(memory.Hasher{}) })
}
