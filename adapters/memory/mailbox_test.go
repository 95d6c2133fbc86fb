package memory_test

import (
	"testing"

	"gatehouse/adapters/memory"
	"gatehouse/ports/portstest"
)

func TestMailer(t *testing.T) {
	portstest.Mailer(t, func(*testing.T) portstest.Mailbox {
		b := memory.NewMailbox()
		return portstest.Mailbox{Mailer: b, Received: b.Messages}
	})
}
