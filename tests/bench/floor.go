package main

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgxpool"
)

// serveFloor is the least that an answer out of a row can cost with the same
// server and driver: one statement by primary key, no session, no rights.
func serveFloor(ctx context.Context, listen, database string) error {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Get("/users/:id", func(c *fiber.Ctx) error {
		var u struct {
			ID            string    `json:"id"`
			Email         string    `json:"email"`
			Name          string    `json:"name"`
			Status        string    `json:"status"`
			EmailVerified bool      `json:"emailVerified"`
			CreatedAt     time.Time `json:"createdAt"`
			UpdatedAt     time.Time `json:"updatedAt"`
		}
		err := pool.QueryRow(c.UserContext(), `SELECT id::text, email, name, status, email_verified, created_at, updated_at FROM users WHERE id = $1`, c.Params("id")).
			Scan(&u.ID, &u.Email, &u.Name, &u.Status, &u.EmailVerified, &u.CreatedAt, &u.UpdatedAt)
		if err != nil {
			return err
		}
		return c.JSON(u)
	})
	app.Get("/products/:id", func(c *fiber.Ctx) error {
		var p struct {
			ID          string    `json:"id"`
			OwnerID     string    `json:"ownerId"`
			Name        string    `json:"name"`
			Description string    `json:"description"`
			Amount      int64     `json:"amount"`
			Currency    string    `json:"currency"`
			Stock       int64     `json:"stock"`
			Status      string    `json:"status"`
			Version     int64     `json:"version"`
			CreatedAt   time.Time `json:"createdAt"`
			UpdatedAt   time.Time `json:"updatedAt"`
		}
		err := pool.QueryRow(c.UserContext(), `SELECT id::text, owner_id::text, name, description, price_amount, price_currency, stock, status, version, created_at, updated_at
			FROM products WHERE id = $1`, c.Params("id")).
			Scan(&p.ID, &p.OwnerID, &p.Name, &p.Description, &p.Amount, &p.Currency, &p.Stock, &p.Status, &p.Version, &p.CreatedAt, &p.UpdatedAt)
		if err != nil {
			return err
		}
		return c.JSON(p)
	})
	go func() {
		<-ctx.Done()
		_ = app.Shutdown()
	}()
	return app.Listen(listen)
}
