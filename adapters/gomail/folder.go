package gomail

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse/domain/fault"
	"gatehouse/domain/mail"
	"gatehouse/ports"
)

// Folder puts mails into a folder, one file each, named after the id of the
// letter: in the order of the names they are in that of the letters, and a
// letter that is sent again replaces its file. Links in mails open accounts, so
// nobody but the owner of the process reads them.
type Folder struct {
	path string
	from sender
}

var _ ports.Mailer = (*Folder)(nil)

// NewFolder returns a mailer to the folder, which is made when it is not there.
func NewFolder(path, from string) (*Folder, error) {
	s, err := newSender(from)
	if err != nil {
		return nil, err
	}
	f := &Folder{path, s}
	return f, f.make()
}

func (f *Folder) make() error { return os.MkdirAll(f.path, 0o700) }

// Send implements ports.Mailer. The file is there whole or not at all, also when
// the power fails.
func (f *Folder) Send(ctx context.Context, m mail.Message) error {
	if err := ctx.Err(); err != nil {
		return fault.Outage(err)
	}
	written, err := f.from.write(m, true)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := written.WriteTo(&text); err != nil {
		return err
	}
	err = f.put(m.ID.String()+".eml", text.Bytes())
	if errors.Is(err, fs.ErrNotExist) && f.make() == nil { // somebody has tidied up
		err = f.put(m.ID.String()+".eml", text.Bytes())
	}
	if err != nil {
		return fault.Outage(err)
	}
	return nil
}

// put writes a file under another name first.
func (f *Folder) put(name string, text []byte) error {
	temporary, err := os.CreateTemp(f.path, ".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(f.path, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return f.sync()
}

// sync makes the name last. Not every system can do that with a folder, and
// none needs it for more than a power failure.
func (f *Folder) sync() error {
	d, err := os.Open(f.path)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
