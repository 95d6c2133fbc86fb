package memory

import (
	"context"

	"gatehouse/ports"
)

// Keys keeps the shared key in memory.
type Keys struct{ db *DB }

var _ ports.KeyKeeper = (*Keys)(nil)

// Key implements ports.KeyKeeper.
func (s *Keys) Key(ctx context.Context, fresh [32]byte) (key [32]byte, err error) {
	err = s.db.write(ctx, func() error {
		if s.db.key == nil {
			s.db.key = &fresh
		}
		key = *s.db.key
		return nil
	})
	return key, err
}
