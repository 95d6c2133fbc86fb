package gormrepo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gatehouse/ports"
)

var _ ports.KeyKeeper = (*Keys)(nil)

// Keys keeps the key that the nodes share.
type Keys struct{ db *DB }

// Key returns the key. Of nodes that find none, one puts its own in.
func (s *Keys) Key(ctx context.Context, fresh [32]byte) ([32]byte, error) {
	key, err := s.find(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		// GORM takes bytes that follow a parenthesis for a list of values.
		_, err = s.db.exec(ctx, "keep key", "INSERT INTO server_keys (single, key) VALUES (TRUE, ?) ON CONFLICT (single) DO NOTHING", fresh[:])
		if err == nil {
			key, err = s.find(ctx)
		}
	}
	return key, s.db.failed("find key", err, nil)
}

func (s *Keys) find(ctx context.Context) ([32]byte, error) {
	var key []byte
	if err := s.db.one(ctx, []any{&key}, "SELECT key FROM server_keys"); err != nil {
		return [32]byte{}, err
	}
	if len(key) != 32 {
		return [32]byte{}, fmt.Errorf("the key of the nodes has %d bytes", len(key))
	}
	return [32]byte(key), nil
}
