package bootstrap

import (
	"fmt"
	"path/filepath"

	"gatehouse/adapters/gomail"
	"gatehouse/adapters/memory"
	"gatehouse/application/mailing"
	"gatehouse/configs"
	"gatehouse/ports"
)

// post sets up the sending of mail, which takes the public URL.
func (n *Node) post() error {
	c, h := n.program.Config, n.house
	mailer, err := newMailer(c, n.public.Hostname())
	if err != nil {
		return err
	}
	link := n.public.String()
	if c.Mail.Link != nil {
		link = c.Mail.Link.String()
	}
	n.mailing = mailing.New(mailing.Config{
		Outbox: h.stores.outbox, Tickets: h.stores.tickets, Users: h.stores.users, Mailer: mailer, Random: h.random, Now: n.program.Now,
		Site: n.public.Host, Link: link,
	})
	return nil
}
