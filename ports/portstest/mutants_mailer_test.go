package portstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/domain/uuid"
	"gatehouse/ports"
)

func TestMailerChecksCanFail(t *testing.T) {
	prove(t, mailerChecks, func() Mailbox {
		b := memory.NewMailbox()
		return Mailbox{Mailer: b, Received: b.Messages}
	}, mailerMutants)
}

// mailer is one whose method is replaced.
type mailer func(context.Context, mail.Message) error

func (f mailer) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

func mailerMutant(check, fault string, f func(r ports.Mailer) mailer) mutant[Mailbox] {
	return mutant[Mailbox]{check, fault, func(b Mailbox) Mailbox {
		b.Mailer = f(b.Mailer)
		return b
	}}
}

// writing is a mutant that alters every mail.
func writing(check, fault string, alter func(*mail.Message)) mutant[Mailbox] {
	return mailerMutant(check, fault, func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error {
			alter(&m)
			return r.Send(ctx, m)
		}
	})
}

// receiving is a mutant whose mails come otherwise than they were sent.
func receiving(check, fault string, alter func([]mail.Message) []mail.Message) mutant[Mailbox] {
	return mutant[Mailbox]{check, fault, func(b Mailbox) Mailbox {
		received := b.Received
		b.Received = func() []mail.Message { return alter(received()) }
		return b
	}}
}

// forgiving is a mutant that makes something of addresses that are none.
func forgiving(check, flaw string, mend func(to string) string) mutant[Mailbox] {
	return mailerMutant(check, flaw, func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error {
			err := r.Send(ctx, m)
			if errors.Is(err, fault.Invalid) {
				m.To = mend(m.To)
				return r.Send(ctx, m)
			}
			return err
		}
	})
}

var mailerMutants = []mutant[Mailbox]{
	writing("a mail arrives as it was sent", "writes in ASCII", func(m *mail.Message) {
		m.Text = strings.ToValidUTF8(strings.Map(func(r rune) rune {
			if r > 127 {
				return '?'
			}
			return r
		}, m.Text), "?")
	}),
	writing("a mail arrives as it was sent", "forgets the subject", func(m *mail.Message) { m.Subject = "" }),
	writing("a mail arrives as it was sent", "dates it by its own clock", func(m *mail.Message) { m.At = longAgo }),
	writing("a mail arrives as it was sent", "leaves the HTML out", func(m *mail.Message) { m.HTML = "" }),
	writing("a mail may be text alone", "makes HTML of it", func(m *mail.Message) { m.HTML = "<pre>" + m.Text + "</pre>" }),
	writing("what mail has no form for arrives all the same", "cuts long lines", func(m *mail.Message) {
		m.Text = m.Text[:min(len(m.Text), 998)]
	}),
	writing("what mail has no form for arrives all the same", "ends at a dot", func(m *mail.Message) {
		m.Text, _, _ = strings.Cut(m.Text, ".\n")
	}),
	writing("what mail has no form for arrives all the same", "trims lines", func(m *mail.Message) {
		m.Text = strings.TrimLeft(m.Text, " ")
	}),
	mailerMutant("a domain may be written in any script", "takes ASCII alone", func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error {
			if strings.ContainsFunc(m.To, func(r rune) bool { return r > 127 }) {
				return fault.New(fault.Invalid, "", "")
			}
			return r.Send(ctx, m)
		}
	}),
	writing("a domain may be written in any script", "sends it to another domain", func(m *mail.Message) {
		m.To = strings.ReplaceAll(m.To, "예시", "example")
	}),
	mailerMutant("sending again leaves one mail", "makes an id of its own", func(r ports.Mailer) mailer {
		n := 1000
		return func(ctx context.Context, m mail.Message) error {
			n++
			m.ID = id(n)
			return r.Send(ctx, m)
		}
	}),
	mailerMutant("sending again leaves one mail", "keeps the first", func(r ports.Mailer) mailer {
		seen := map[uuid.UUID]bool{}
		return func(ctx context.Context, m mail.Message) error {
			if seen[m.ID] {
				return nil
			}
			seen[m.ID] = true
			return r.Send(ctx, m)
		}
	}),
	writing("each mail is one", "takes those of one second for one", func(m *mail.Message) { m.ID = id(int(m.At.Unix() % 10)) }),
	receiving("each mail is one", "sends twice", func(all []mail.Message) []mail.Message { return slices.Concat(all, all) }),
	receiving("nothing in a mail makes a line of its head", "writes the subject as it is", func(all []mail.Message) []mail.Message {
		for i, m := range all {
			head, body, more := strings.Cut(m.Subject, "Bcc")
			if more {
				all[i].Subject, all[i].Text = strings.TrimSpace(head), body+m.Text
			}
		}
		return all
	}),
	forgiving("nothing in a mail makes a line of its head", "takes the first line of an address", func(to string) string {
		before, _, _ := strings.Cut(to, "com")
		return before + "com"
	}),
	forgiving("an address that is none is refused for good", "reads addresses out of text", func(to string) string {
		_, to, _ = strings.Cut(to, "<")
		to, _, _ = strings.Cut(to, ">")
		return to
	}),
	forgiving("an address that is none is refused for good", "takes the first of several", func(to string) string {
		to, _, _ = strings.Cut(to, ",")
		return to
	}),
	mailerMutant("an address that is none is refused for good", "takes it for an outage", func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error {
			if err := r.Send(ctx, m); err != nil {
				return fault.Outage(err)
			}
			return nil
		}
	}),
	mailerMutant("a cancelled context is an outage", "sends for nobody", func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error { return r.Send(deaf(ctx), m) }
	}),
	mailerMutant("a cancelled context is an outage", "sends first", func(r ports.Mailer) mailer {
		return func(ctx context.Context, m mail.Message) error { return late(ctx, r.Send(deaf(ctx), m)) }
	}),
	mailerMutant("many at once", "has one place for the mail in work", func(r ports.Mailer) mailer {
		both := meet()
		var mu sync.Mutex
		var work mail.Message
		return func(ctx context.Context, m mail.Message) error {
			mu.Lock()
			work = m
			mu.Unlock()
			both()
			mu.Lock()
			m = work
			mu.Unlock()
			return r.Send(ctx, m)
		}
	}),
}
