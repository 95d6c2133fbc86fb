package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/adapters/fiberstore"
	"gatehouse/domain/session"
	"gatehouse/domain/user"
	"gatehouse/tests/redistest"
)

// anybody owns every session: what PostgreSQL is asked for is not measured here.
type anybody struct{}

func (anybody) Owner(context.Context, user.ID) (user.User, int64, error) {
	return user.User{}, 1, nil
}

type redisScale struct {
	figures
	conn  *redis.Client
	store *fiberstore.RedisSessions
}

func measureRedis(ctx context.Context, n int) (*figures, error) {
	server, err := redistest.Launch("--auto-aof-rewrite-percentage", "0")
	if err != nil {
		return nil, err
	}
	defer server.Close()
	r := &redisScale{conn: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	defer r.conn.Close()
	r.store, err = fiberstore.OpenRedis(ctx, fiberstore.RedisOptions{Addrs: []string{server.Addr()}, Conns: 32, Timeout: time.Minute}, anybody{})
	if err != nil {
		return nil, err
	}
	defer r.store.Close()
	return &r.figures, r.measure(ctx, n)
}

func (r *redisScale) measure(ctx context.Context, n int) error {
	empty, log := r.info(ctx, "used_memory"), r.info(ctx, "aof_current_size")
	took, err := each(n, func(i int) error { return r.store.Add(ctx, newSession(i)) })
	if err != nil {
		return err
	}
	r.add("memory of a session, with its share of all else", (r.info(ctx, "used_memory")-empty)/float64(n), "bytes", true)
	r.add("log of a sign-in (AOF)", (r.info(ctx, "aof_current_size")-log)/float64(n), "bytes", false)
	r.add("sign-ins written", float64(n)/took.Seconds(), "a second", false)

	ops := min(operations, n/10)
	log = r.info(ctx, "aof_current_size")
	now := began.Add(10 * time.Minute)
	if _, err := each(ops, func(i int) error {
		next, _ := newSession(i).Renewed(session.DefaultLifetime, now)
		return r.store.Replace(ctx, key(i), next, session.Reason{}, now)
	}); err != nil {
		return err
	}
	r.add("log of a renewal", (r.info(ctx, "aof_current_size")-log)/float64(ops), "bytes", false)
	if took, err = each(ops, func(i int) error { _, err := r.store.Resume(ctx, key(i)); return err }); err != nil {
		return err
	}
	r.add("sessions resumed, PostgreSQL not counted", float64(ops)/took.Seconds(), "a second", false)
	return r.prune(ctx, n)
}

// prune ends what has run out of a tenth of the sessions at a time.
func (r *redisScale) prune(ctx context.Context, n int) error {
	before := r.info(ctx, "used_memory")
	begun, pruned := time.Now(), 0
	for pruned < n/10 {
		k, err := r.store.Prune(ctx, began.Add(48*time.Hour), 1000)
		if err != nil {
			return err
		}
		if k == 0 {
			return fmt.Errorf("pruned %d of %d", pruned, n)
		}
		pruned += k
	}
	r.add("sessions pruned, by one node", float64(pruned)/time.Since(begun).Seconds(), "a second", false)
	r.add("memory that a session takes more once it is over", (r.info(ctx, "used_memory")-before)/float64(pruned), "bytes", false)
	return nil
}

// info is one number of INFO.
func (r *redisScale) info(ctx context.Context, name string) float64 {
	text, err := r.conn.Info(ctx, "memory", "persistence").Result()
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			v, _ := strconv.ParseFloat(value, 64) // Redis wrote it
			return v
		}
	}
	return 0
}
