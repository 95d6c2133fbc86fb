// Package portstest holds one contract suite for each port. Every adapter runs
// the suites of the ports that it implements from its own tests, so that a
// store in memory, SQLite and PostgreSQL keep the same promises.
//
// A suite is a list of named checks. Each check is given something of its own,
// opened empty by the function that the adapter passes in, and runs as a
// subtest. Read [Users] first; what the checks are made of stands in
// fixtures.go. selftest_test.go breaks the stores of package memory in as many
// ways as there are checks: one that cannot fail is found there.
package portstest

import (
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"gatehouse/domain/access"
	"gatehouse/ports"
)

// SessionStores are the stores that the suites of sessions need, all of them
// over one empty database.
type SessionStores struct {
	Users     ports.UserRepository
	Sessions  ports.SessionRepository
	Directory ports.SessionDirectory
	Policies  ports.PolicyRepository
}

// ProductStores are the stores that the suite of products needs, both over one
// empty database.
type ProductStores struct {
	Users    ports.UserRepository
	Products ports.ProductRepository
}

// PolicyStores are the stores that the suite of the policy's history needs, all
// of them over one empty database.
type PolicyStores struct {
	Policies ports.PolicyRepository
	History  ports.PolicyHistory
	Log      ports.AuditLog
}

// RoleStores are the stores that the suite of roles needs, both over one empty
// database.
type RoleStores struct {
	Users     ports.UserRepository
	Directory ports.RoleDirectory
}

// CensusStores are the stores that the suite of the census needs, all of them over
// one empty database.
type CensusStores struct {
	Users    ports.UserRepository
	Products ports.ProductRepository
	Census   ports.Census
}

// RecordStores are the stores of what is kept of users and beside their changes,
// all of them over one empty database.
type RecordStores struct {
	Users    ports.UserRepository
	Factors  ports.FactorRepository
	Products ports.ProductRepository
	Ledger   ports.Ledger
	Log      ports.AuditLog
	Tickets  ports.TicketRepository
	Answers  ports.IdempotencyRepository
	Outbox   ports.Outbox
	Events   ports.EventQueue
}

// Users holds a ports.UserRepository to its promises.
func Users(t *testing.T, open func(t *testing.T) ports.UserRepository) { run(t, userChecks, open) }

// Sessions holds a ports.SessionRepository to its promises.
func Sessions(t *testing.T, open func(t *testing.T) SessionStores) { run(t, sessionChecks, open) }

// SessionDirectory holds a ports.SessionDirectory to its promises.
func SessionDirectory(t *testing.T, open func(t *testing.T) SessionStores) {
	run(t, directoryChecks, open)
}

// Along holds the ports that take a ports.Along to keeping it together with the
// change, or nothing of either.
func Along(t *testing.T, open func(t *testing.T) RecordStores) { run(t, alongChecks, open) }

// Factors holds a ports.FactorRepository to its promises.
func Factors(t *testing.T, open func(t *testing.T) RecordStores) { run(t, factorChecks, open) }

// Ledger holds a ports.Ledger and a ports.AuditLog to their promises.
func Ledger(t *testing.T, open func(t *testing.T) RecordStores) { run(t, ledgerChecks, open) }

// Tickets holds a ports.TicketRepository to its promises, and what redeems
// tickets to those of ports.Along.
func Tickets(t *testing.T, open func(t *testing.T) RecordStores) { run(t, ticketChecks, open) }

// Idempotency holds a ports.IdempotencyRepository to its promises, and what keeps
// answers to those of ports.Along.
func Idempotency(t *testing.T, open func(t *testing.T) RecordStores) { run(t, answerChecks, open) }

// Outbox holds a ports.Outbox to its promises.
func Outbox(t *testing.T, open func(t *testing.T) RecordStores) { run(t, outboxChecks, open) }

// Events holds a ports.EventQueue to its promises, and what puts events in to
// those of ports.Along.
func Events(t *testing.T, open func(t *testing.T) RecordStores) { run(t, eventChecks, open) }

// Limiter holds a ports.Limiter to its promises.
func Limiter(t *testing.T, open func(t *testing.T) ports.Limiter) { run(t, limiterChecks, open) }

// KeyKeeper holds a ports.KeyKeeper to its promises.
func KeyKeeper(t *testing.T, open func(t *testing.T) ports.KeyKeeper) { run(t, keyChecks, open) }

// Products holds a ports.ProductRepository to its promises.
func Products(t *testing.T, open func(t *testing.T) ProductStores) {
	run(t, slices.Concat(productChecks, sharingChecks), open)
}

// Policies holds a ports.PolicyRepository to its promises.
func Policies(t *testing.T, open func(t *testing.T) ports.PolicyRepository) {
	run(t, policyChecks, open)
}

// PolicyHistory holds a ports.PolicyHistory to its promises.
func PolicyHistory(t *testing.T, open func(t *testing.T) PolicyStores) { run(t, historyChecks, open) }

// Authorizer holds a ports.Authorizer to its promises. open makes one that
// decides by the policies, in the words of the vocabulary; the policies are the
// suite's own, so that a table can be raised, go bad and be out of reach.
func Authorizer(t *testing.T, open func(t *testing.T, policies ports.PolicyRepository, vocabulary access.Vocabulary) ports.Authorizer) {
	run(t, authorizerChecks, func(t *testing.T) authorizerOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) ports.Authorizer { return open(t, p, v) }
	})
}

// Rehearsal holds a ports.Rehearsal to its promises, beside the ports.Authorizer
// that it is the other side of. open is that of [Authorizer].
func Rehearsal[D interface {
	ports.Authorizer
	ports.Rehearsal
}](t *testing.T, open func(t *testing.T, policies ports.PolicyRepository, vocabulary access.Vocabulary) D) {
	run(t, rehearsalChecks, func(t *testing.T) rehearsalOpener {
		return func(p ports.PolicyRepository, v access.Vocabulary) decider { return open(t, p, v) }
	})
}

// RoleDirectory holds a ports.RoleDirectory to its promises.
func RoleDirectory(t *testing.T, open func(t *testing.T) RoleStores) { run(t, roleChecks, open) }

// Census holds a ports.Census to its promises.
func Census(t *testing.T, open func(t *testing.T) CensusStores) { run(t, censusChecks, open) }

// PasswordHasher holds a ports.PasswordHasher to its promises.
func PasswordHasher(t *testing.T, open func(t *testing.T) ports.PasswordHasher) {
	run(t, hasherChecks, open)
}

// tester is what a check needs of *testing.T; the self-test puts a recorder in
// its place, to see a check fail.
type tester interface {
	rapid.TB
	Context() context.Context
}

// check is one named promise, tried on a store that is its own.
type check[S any] struct {
	name string
	run  func(t tester, store S)
}

func run[S any](t *testing.T, checks []check[S], open func(*testing.T) S) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}
