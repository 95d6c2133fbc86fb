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

// Hashing is what is going on in the hashing of passwords.
type Hashing struct {
	Slots    int // hashes that may be made at one time
	InFlight int // are being made
	Waiting  int // for a slot
}

// Hashing has the hasher read.
func (s *Stats) Hashing(read func() Hashing) {
	g := prometheus.GaugeValue
	reading(s, nil, always(read),
		sample[Hashing]{"gatehouse_password_hashes_in_flight", "Passwords that are being hashed.", g, func(v Hashing) float64 { return float64(v.InFlight) }},
		sample[Hashing]{"gatehouse_password_hashes_waiting", "Passwords that wait to be hashed.", g, func(v Hashing) float64 { return float64(v.Waiting) }},
		sample[Hashing]{"gatehouse_password_hash_slots", "Passwords that may be hashed at one time.", g, func(v Hashing) float64 { return float64(v.Slots) }},
	)
}

// Policy is the policy that a node decides by.
type Policy struct {
	Version int64 // 0 for none
	Bad     int64 // a newer version that cannot be used; 0 for none
}

// Policy has the authorizer read.
func (s *Stats) Policy(read func() Policy) {
	g := prometheus.GaugeValue
	reading(s, nil, always(read),
		sample[Policy]{"gatehouse_policy_version", "Version of the policy that this node decides by.", g, func(v Policy) float64 { return float64(v.Version) }},
		sample[Policy]{"gatehouse_policy_unusable_version", "Newer version of the policy that cannot be used; 0 for none.", g, func(v Policy) float64 { return float64(v.Bad) }},
	)
}

// Cache is what a cache of resumed sessions has done since it was made.
type Cache struct {
	On           bool // it is used now
	Entries      int
	Hits, Misses uint64
	Off          uint64 // asked while it was not to be used
	Told, Own    uint64 // changes that were heard of, and that were made through this node
	Lost         uint64 // how often the connection over which they are heard of was lost
}

// Cache has a cache of resumed sessions read.
func (s *Stats) Cache(read func() Cache) {
	g, c := prometheus.GaugeValue, prometheus.CounterValue
	reading(s, nil, always(read),
		sample[Cache]{"gatehouse_session_cache_on", "1 while the session cache is used, 0 while it has turned itself off.", g, func(v Cache) float64 { return truth(v.On) }},
		sample[Cache]{"gatehouse_session_cache_entries", "Sessions in the cache.", g, func(v Cache) float64 { return float64(v.Entries) }},
		sample[Cache]{"gatehouse_session_cache_hits_total", "Sessions that were found in the cache.", c, func(v Cache) float64 { return float64(v.Hits) }},
		sample[Cache]{"gatehouse_session_cache_misses_total", "Sessions that were not found in the cache, or too old there.", c, func(v Cache) float64 { return float64(v.Misses) }},
		sample[Cache]{"gatehouse_session_cache_off_total", "Sessions that were asked for while the cache was off.", c, func(v Cache) float64 { return float64(v.Off) }},
		sample[Cache]{"gatehouse_session_cache_told_total", "Changes of which the cache has heard.", c, func(v Cache) float64 { return float64(v.Told) }},
		sample[Cache]{"gatehouse_session_cache_own_total", "Changes that were made through this node.", c, func(v Cache) float64 { return float64(v.Own) }},
		sample[Cache]{"gatehouse_session_cache_connection_lost_total", "How often the connection over which changes are heard of was lost or silent.", c, func(v Cache) float64 { return float64(v.Lost) }},
	)
}
