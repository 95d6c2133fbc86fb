package promstats

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sample is one metric that is read out of a T.
type sample[T any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(T) float64
}

// readings are metrics that are read together, when Prometheus asks.
type readings[T any] struct {
	read    func() (T, bool) // false where it cannot be known
	samples []sample[T]
	descs   []*prometheus.Desc
}

// reading registers metrics with these labels.
func reading[T any](s *Stats, labels prometheus.Labels, read func() (T, bool), samples ...sample[T]) {
	r := &readings[T]{read: read, samples: samples}
	for _, one := range samples {
		r.descs = append(r.descs, prometheus.NewDesc(one.name, one.help, nil, labels))
	}
	s.registry.MustRegister(r)
}

// Describe implements prometheus.Collector.
func (r *readings[T]) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (r *readings[T]) Collect(out chan<- prometheus.Metric) {
	v, known := r.read()
	if !known {
		return
	}
	for i, one := range r.samples {
		out <- prometheus.MustNewConstMetric(r.descs[i], one.kind, one.value(v))
	}
}

// always is a reading that can always be had.
func always[T any](read func() T) func() (T, bool) {
	return func() (T, bool) { return read(), true }
}

// Server is what is going on in the HTTP adapter.
type Server struct {
	Connections, MaxConnections int // open
	InWork, MaxInWork           int // requests
	Hashing, MaxHashing         int // of these, such as hash a password
	Refused                     uint64
	Draining                    bool
}

// Server has the HTTP adapter read.
func (s *Stats) Server(read func() Server) {
	g, c := prometheus.GaugeValue, prometheus.CounterValue
	reading(s, nil, always(read),
		sample[Server]{"gatehouse_http_connections", "Connections that are open.", g, func(v Server) float64 { return float64(v.Connections) }},
		sample[Server]{"gatehouse_http_connections_max", "Connections that may be open at one time.", g, func(v Server) float64 { return float64(v.MaxConnections) }},
		sample[Server]{"gatehouse_http_connections_refused_total", "Connections that were one too many.", c, func(v Server) float64 { return float64(v.Refused) }},
		sample[Server]{"gatehouse_http_requests_in_work", "Requests that are being worked on.", g, func(v Server) float64 { return float64(v.InWork) }},
		sample[Server]{"gatehouse_http_requests_in_work_max", "Requests that may be worked on at one time.", g, func(v Server) float64 { return float64(v.MaxInWork) }},
		sample[Server]{"gatehouse_http_hashing_requests_in_work", "Requests that hash a password, or wait to.", g, func(v Server) float64 { return float64(v.Hashing) }},
		sample[Server]{"gatehouse_http_hashing_requests_in_work_max", "Requests that may hash a password, or wait to, at one time.", g, func(v Server) float64 { return float64(v.MaxHashing) }},
		sample[Server]{"gatehouse_draining", "1 while the node lets its last requests come to their end.", g, func(v Server) float64 { return truth(v.Draining) }},
	)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Pool is a pool of connections to the database.
type Pool struct {
	Acquired, Idle, Max int
	Waits               int64         // for a connection, since the start
	Waited              time.Duration // in all of them
	Opened              int64         // connections, since the start
}

// Pool has a pool read, under a name such as "postgres".
func (s *Stats) Pool(name string, read func() Pool) {
	g, c := prometheus.GaugeValue, prometheus.CounterValue
	reading(s, prometheus.Labels{"pool": name}, always(read),
		sample[Pool]{"gatehouse_db_connections_acquired", "Connections to the database that are in use.", g, func(v Pool) float64 { return float64(v.Acquired) }},
		sample[Pool]{"gatehouse_db_connections_idle", "Connections to the database that wait to be used.", g, func(v Pool) float64 { return float64(v.Idle) }},
		sample[Pool]{"gatehouse_db_connections_max", "Connections to the database that this node may have.", g, func(v Pool) float64 { return float64(v.Max) }},
		sample[Pool]{"gatehouse_db_connections_opened_total", "Connections to the database that were made.", c, func(v Pool) float64 { return float64(v.Opened) }},
		sample[Pool]{"gatehouse_db_waits_total", "How often a connection had to be waited for.", c, func(v Pool) float64 { return float64(v.Waits) }},
		sample[Pool]{"gatehouse_db_wait_seconds_total", "How long connections were waited for.", c, func(v Pool) float64 { return v.Waited.Seconds() }},
	)
}
