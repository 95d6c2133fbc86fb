package oteltrace

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Postgres follows statements through pgx, and the wait for a connection.
func (t *Tracer) Postgres() pgx.QueryTracer { return postgres{t} }

type postgres struct{ tracer *Tracer }

var (
	_ pgx.QueryTracer       = postgres{}
	_ pgx.BatchTracer       = postgres{}
	_ pgxpool.AcquireTracer = postgres{}
)

type spanKey struct{}

// keep has the end of what is begun find its span, and no other's.
func keep(ctx context.Context, span trace.Span) context.Context {
	if span == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, span)
}

func end(ctx context.Context, err error) {
	span, ok := ctx.Value(spanKey{}).(trace.Span)
	if !ok {
		return
	}
	failed(span, err)
	span.End()
}

// failed marks a span. Of an error its SQLSTATE is told alone.
func failed(span trace.Span, err error) {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return
	}
	span.SetStatus(codes.Error, "")
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		span.SetAttributes(attribute.String("db.response.status_code", pg.Code))
	}
}

func (p postgres) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return keep(p.tracer.statement(ctx, "postgresql", d.SQL, time.Time{}))
}

func (postgres) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	end(ctx, d.Err)
}

func (p postgres) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	texts := make([]string, len(d.Batch.QueuedQueries))
	for i, q := range d.Batch.QueuedQueries {
		texts[i] = q.SQL
	}
	return keep(p.tracer.statement(ctx, "postgresql", strings.Join(texts, ";\n"), time.Time{}))
}

func (postgres) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (postgres) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	end(ctx, d.Err)
}

func (p postgres) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return keep(p.tracer.begin(ctx, "connection acquire"))
}

func (postgres) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, d pgxpool.TraceAcquireEndData) {
	end(ctx, d.Err)
}

// SQLite is told of a statement that is over. The text holds no values.
func (t *Tracer) SQLite(ctx context.Context, text func() string, began time.Time, err error) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	if _, span := t.statement(ctx, "sqlite", text(), began); span != nil {
		failed(span, err)
		span.End()
	}
}

// statement opens the span of a statement, one that began then if that is not
// zero.
func (t *Tracer) statement(ctx context.Context, system, text string, began time.Time) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, nil
	}
	operation := "SQL"
	if words := strings.Fields(text); len(words) > 0 {
		operation = strings.ToUpper(strings.TrimSuffix(words[0], ";"))
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", system), attribute.String("db.operation.name", operation), attribute.String("db.query.text", text))}
	if !began.IsZero() {
		options = append(options, trace.WithTimestamp(began))
	}
	return t.tracer.Start(ctx, operation, options...)
}
