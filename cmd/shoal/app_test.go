package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-project/shoal"
)

// app is a program that embeds the SDK, on many devices at once: "app BUNDLE OWNER
// METRIC YES NO" has YES people to whom something happens and NO to whom it does
// not. It lets the time pass in which their devices report.
func app(args []string) int {
	if err := devices(args); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		return 1
	}
	return 0
}

func devices(args []string) error {
	bundle, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	yes, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	no, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	c := fileClock{os.Getenv(scriptClockFile)}
	if left := c.Now().Truncate(time.Hour).Add(time.Hour).Sub(c.Now()); left < 30*time.Second { // all in one epoch
		if err := forward(c.name, 60); err != nil {
			return err
		}
	}
	var all []*shoal.Client
	for i := range yes + no {
		client, err := shoal.Open(context.Background(), shoal.Options{
			Bundle: bundle, Owner: args[1], Metrics: []string{args[2]}, Mode: shoal.On, NoSender: true, Clock: c,
		})
		if err != nil {
			return err
		}
		defer client.Close()
		if i < yes {
			if o := client.Count(args[2]); !o.Queued() {
				return fmt.Errorf("counting: %v", o)
			}
		}
		all = append(all, client)
	}
	end := c.Now().Truncate(time.Hour).Add(2 * time.Hour) // of the delay after this epoch
	for c.Now().Before(end) {
		if err := forward(c.name, 60); err != nil {
			return err
		}
		for _, client := range all {
			pass, err := client.SendDue(context.Background())
			if err != nil {
				return err
			}
			if pass.Err != nil {
				return pass.Err
			}
		}
	}
	fmt.Println("an hour and the delay after it have passed")
	return nil
}

// record is a program that lives briefly: "record DIR BUNDLE OWNER METRIC VALUE"
// leaves one value in its outbox and sends nothing.
func record(args []string) int {
	bundle, err := os.ReadFile(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		return 1
	}
	client, err := shoal.Open(context.Background(), shoal.Options{
		Bundle: bundle, Owner: args[2], Metrics: []string{args[3]}, Dir: args[0], Mode: shoal.On, NoSender: true, Clock: scriptClock(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		return 1
	}
	defer client.Close()
	if o := client.Observe(args[3], args[4]); !o.Queued() {
		fmt.Fprintln(os.Stderr, "record:", o)
		return 1
	}
	return 0
}

// forward lets seconds pass, in all processes at once.
func forward(name string, seconds int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", []byte(strconv.Itoa(n+seconds)), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// letPass lets seconds pass.
func letPass(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(forward(ts.Getenv(scriptClockFile), n))
}

// capture sets a variable to what a pattern finds in the last output.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("%s is not in\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[len(found)-1])
}

// expand replaces the variables in a file.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(name, []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), 0o600))
}

// eventually repeats a command, at most for half a minute, until its output has a
// pattern in it.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	for range 120 {
		if err := ts.Exec(args[1], args[2:]...); err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	ts.Fatalf("%s never says %s, but\n%s\n%s", strings.Join(args[1:], " "), args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}
