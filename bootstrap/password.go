package bootstrap

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// passwordFlags say where a password comes from. It is never a flag itself:
// command lines are kept in histories and shown in lists of processes.
type passwordFlags struct {
	PasswordStdin bool `xor:"password" help:"Read the password from standard input."`
	Generate      bool `xor:"password" help:"Make a password up and print it, once."`
}

// maxPasswordInput bounds what is read of standard input, in bytes.
const maxPasswordInput = 4096

// password gets one, and whether it was made up here.
func (f passwordFlags) password(c *call) (password string, generated bool, err error) {
	switch {
	case f.Generate:
		return generatePassword(), true, nil
	case f.PasswordStdin:
		password, err = readPassword(c.in)
	case isTerminal(c.in):
		password, err = c.askPassword()
	default:
		err = errors.New("there is no terminal to ask for a password: give it with --password-stdin, or let one be made up with --generate")
	}
	return password, false, err
}

// readPassword reads all of the input, less the end of the line.
func readPassword(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxPasswordInput+1))
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	if len(text) > maxPasswordInput {
		return "", errors.New("what stands on standard input is too long to be a password")
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if password == "" {
		return "", errors.New("there is no password on standard input")
	}
	return password, nil
}

// askPassword asks twice without showing what is typed.
func (c *call) askPassword() (string, error) {
	terminal, ok := c.in.(*os.File)
	if !ok {
		return "", errors.New("there is no terminal")
	}
	fd := int(terminal.Fd())
	shown, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	// Whoever interrupts the question would find a terminal that shows nothing.
	defer func() { _ = term.Restore(fd, shown) }()
	first, err := c.ask("Password: ", func() (string, error) { return hidden(fd) })
	if err != nil {
		return "", err
	}
	second, err := c.ask("\nOnce more: ", func() (string, error) { return hidden(fd) })
	fmt.Fprintln(c.err)
	if err == nil && first != second {
		err = errors.New("these are two different passwords; nothing was done")
	}
	return first, err
}

func hidden(fd int) (string, error) {
	text, err := term.ReadPassword(fd)
	return string(text), err
}

// ask puts a question and reads the answer. Reading a terminal cannot be
// cancelled; it is left behind when the command is told to stop.
func (c *call) ask(question string, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	fmt.Fprint(c.err, question)
	answered := make(chan answer, 1)
	go func() {
		text, err := read()
		answered <- answer{text, err}
	}()
	select {
	case a := <-answered:
		return a.text, a.err
	case <-c.ctx.Done():
		fmt.Fprintln(c.err)
		return "", errors.New("interrupted; nothing was done")
	}
}

// generatePassword makes up a password of 100 random bits that can be read out
// and typed: no letter in it looks like a digit of it.
func generatePassword() string {
	text := strings.ToLower(rand.Text())
	return text[:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:20]
}

// confirmed asks a person at a terminal; where there is none, the command
// stands as it was given.
func (c *call) confirmed(what string) bool {
	if !isTerminal(c.in) {
		return true
	}
	answer, _ := c.ask(what+" Go on? [y/N] ", func() (string, error) { return bufio.NewReader(c.in).ReadString('\n') }) // no answer is no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
