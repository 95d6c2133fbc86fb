package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/argon2"
)

// productJSON is a product as the floor answers it.
type productJSON struct {
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

const productColumns = "id::text, owner_id::text, name, description, price_amount, price_currency, stock, status, version, created_at, updated_at"

func readProduct(row pgx.Row) (p productJSON, err error) {
	err = row.Scan(&p.ID, &p.OwnerID, &p.Name, &p.Description, &p.Amount, &p.Currency, &p.Stock, &p.Status, &p.Version, &p.CreatedAt, &p.UpdatedAt)
	return p, err
}

// serveFloor is the least that an answer can cost with the same server, driver
// and hash: one hand-written statement, no session, no rights, no check of what
// was sent. To sign in takes two and the hash.
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
		p, err := readProduct(pool.QueryRow(c.UserContext(), "SELECT "+productColumns+" FROM products WHERE id = $1", c.Params("id")))
		if err != nil {
			return err
		}
		return c.JSON(p)
	})
	app.Get("/products", func(c *fiber.Ctx) error {
		rows, err := pool.Query(c.UserContext(), "SELECT "+productColumns+" FROM products WHERE status = 'published' ORDER BY created_at DESC, id DESC LIMIT $1", c.QueryInt("limit"))
		if err != nil {
			return err
		}
		items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (productJSON, error) { return readProduct(row) })
		if err != nil {
			return err
		}
		return c.JSON(fiber.Map{"items": items})
	})
	app.Patch("/products/:id", func(c *fiber.Ctx) error {
		var change struct{ Stock int64 }
		if err := c.BodyParser(&change); err != nil {
			return err
		}
		p, err := readProduct(pool.QueryRow(c.UserContext(), "UPDATE products SET stock = $2, version = version + 1, updated_at = now() WHERE id = $1 RETURNING "+productColumns,
			c.Params("id"), change.Stock))
		if err != nil {
			return err
		}
		return c.JSON(p)
	})
	if _, err := pool.Exec(ctx, "CREATE TABLE IF NOT EXISTS floor_sessions (token text PRIMARY KEY, user_id uuid NOT NULL, expires_at timestamptz NOT NULL)"); err != nil {
		return err
	}
	app.Post("/login", func(c *fiber.Ctx) error {
		var account struct{ Email, Password string }
		if err := c.BodyParser(&account); err != nil {
			return err
		}
		var id, hash string
		if err := pool.QueryRow(c.UserContext(), "SELECT id::text, password_hash FROM users WHERE email_canonical = $1", account.Email).Scan(&id, &hash); err != nil {
			return err
		}
		if !matches(account.Password, hash) {
			return fiber.ErrUnauthorized
		}
		token := rand.Text()
		if _, err := pool.Exec(c.UserContext(), "INSERT INTO floor_sessions (token, user_id, expires_at) VALUES ($1, $2, now() + interval '7 days')", token, id); err != nil {
			return err
		}
		c.Cookie(&fiber.Cookie{Name: "sid", Value: token, HTTPOnly: true})
		return c.JSON(fiber.Map{"id": id})
	})
	go func() {
		<-ctx.Done()
		_ = app.Shutdown()
	}()
	return app.Listen(listen)
}

// matches hashes a password as the stored hash was made, whoever else does so.
func matches(password, stored string) bool {
	var memory, passes uint32
	var lanes uint8
	part := strings.Split(stored, "$")
	if len(part) != 6 {
		return false
	}
	_, err1 := fmt.Sscanf(part[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
	salt, err2 := base64.RawStdEncoding.DecodeString(part[4])
	want, err3 := base64.RawStdEncoding.DecodeString(part[5])
	if errors.Join(err1, err2, err3) != nil {
		return false
	}
	return subtle.ConstantTimeCompare(argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want))), want) == 1
}
