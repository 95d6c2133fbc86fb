package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"

	"gatehouse/adapters/gomail"
	"gatehouse/application/mailing"
	"gatehouse/configs"
	"gatehouse/ports"
)

// post sets up the sending of mail, which takes the public URL.
func (n *Node) post() error {
	c, h := n.program.Config, n.house
	mailer, err := n.mailer()
	if err != nil {
		return fmt.Errorf("mails cannot be sent: %w; GATEHOUSE_MAIL_URL says where they go, GATEHOUSE_MAIL_FROM who they come from", err)
	}
	n.mailing = mailing.New(mailing.Config{
		Outbox: h.stores.outbox, Tickets: h.stores.tickets, Users: h.stores.users, Mailer: n.program.stats.Mailer(mailer), Random: h.random, Now: n.program.Now,
		Site: n.public.Host, Link: c.MailLink(n.public),
	})
	return nil
}

// mailer is a mail server or a folder. Where nothing is kept, the folder is one
// that goes with the process.
func (n *Node) mailer() (ports.Mailer, error) {
	c := n.program.Config
	if s := c.Mail.Server; s.Host != "" {
		return gomail.NewSMTP(gomail.Server{
			Host: s.Host, Port: s.Port, TLS: gomail.TLS(s.TLS), User: s.User, Password: s.Password, From: c.MailFrom(),
		})
	}
	n.mailFolder = c.MailFolder()
	if n.mailFolder == "" {
		folder, err := os.MkdirTemp("", "gatehouse-mail-")
		if err != nil {
			return nil, err
		}
		n.mailFolder = folder
		n.house.database.onClose(func() error { return os.RemoveAll(folder) })
	}
	return gomail.NewFolder(n.mailFolder, c.MailFrom())
}

// mailGoes says where mails go, for a person.
func (n *Node) mailGoes() string {
	if n.mailFolder == "" {
		return n.program.Config.Mail.Server.String()
	}
	if path, err := filepath.Abs(n.mailFolder); err == nil {
		return path
	}
	return n.mailFolder
}

// mailDoubts are settings of mail that work and are probably not meant: a
// service for others whose mails nobody gets, or anybody on the way reads.
func (n *Node) mailDoubts() []string {
	c := n.program.Config
	forOthers := c.Database.Kind == configs.Postgres || c.PublicURL != nil && !configs.IsLoopback(c.PublicURL.Hostname())
	switch server := c.Mail.Server; {
	case n.mailFolder != "" && c.Mail.Folder == "" && forOthers:
		return []string{"no mail server is configured: mails are put into " + n.mailGoes() + ", where nobody gets them; GATEHOUSE_MAIL_URL=smtp://… sends them"}
	case server.TLS == configs.MailTLSNone && !configs.IsLoopback(server.Host):
		return []string{"mails go to " + server.String() + " without TLS: whoever reads them on the way can use the links in them"}
	}
	return nil
}
