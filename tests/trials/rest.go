package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// upkeep is what a process holds that it may forget to give back.
type upkeep struct{ goroutines, descriptors int }

func (n *node) upkeep() (u upkeep, err error) {
	c, err := net.DialTimeout("unix", n.probe, answerTime)
	if err != nil {
		return u, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(answerTime))
	text, err := io.ReadAll(c)
	if err != nil {
		return u, err
	}
	if u.goroutines, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return u, err
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	u.descriptors = len(open)
	return u, err
}

// How far what a node holds may be from what it held when it had just come up,
// once nobody asks anything any more: a pool has opened its connections by then,
// ten unless the settings say otherwise.
const (
	slackGoroutines  = 10
	slackDescriptors = 10 + 4
	restTime         = 15 * time.Second
)

// rest waits until a node that is no longer asked anything holds what it held at
// first, prints what came of it, and ends the node. One that has ended already
// holds nothing.
func (a *trial) rest(n *node) {
	defer n.kill()
	select {
	case <-n.ended:
		return
	default:
	}
	if n.address == "" { // it never served
		return
	}
	var now upkeep
	var err error
	near := func() bool {
		return now.goroutines-n.fresh.goroutines <= slackGoroutines && now.descriptors-n.fresh.descriptors <= slackDescriptors
	}
	for deadline := time.Now().Add(restTime); ; time.Sleep(100 * time.Millisecond) {
		if now, err = n.upkeep(); err != nil || near() || time.Now().After(deadline) {
			break
		}
	}
	a.row(err == nil && near(), "at rest: goroutines, descriptors", fmt.Sprintf("≤ + %d, ≤ + %d", slackGoroutines, slackDescriptors),
		fmt.Sprintf("%d after %d, %d after %d", now.goroutines, n.fresh.goroutines, now.descriptors, n.fresh.descriptors))
}
