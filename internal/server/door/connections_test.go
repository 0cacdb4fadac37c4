package door

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestIdleConnections: a network that opens connections without end holds as many as
// it may, and those that ask something are not closed for it.
func TestIdleConnections(t *testing.T) {
	const each, opened = 4, 50
	release, entered := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	}))
	var closed atomic.Int64
	c := NewConnections(1000, each, func(string) netip.Prefix { return netip.MustParsePrefix("192.0.2.0/24") }, func() { closed.Add(1) })
	own := srv.Config.ConnState
	srv.Config.ConnState = func(conn net.Conn, s http.ConnState) {
		if own != nil {
			own(conn, s)
		}
		c.State(conn, s)
	}
	srv.Start()
	defer srv.Close()
	slow := make(chan string, 1)
	go func() {
		resp, err := http.Get(srv.URL + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprint(string(b), err)
	}()
	<-entered
	for range opened {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	held := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.held)
	}
	for limit := 0; closed.Load() < opened+1-each && limit < 1000; limit++ {
		time.Sleep(10 * time.Millisecond)
	}
	if n, gone := held(), closed.Load(); n != each || gone != opened+1-each {
		t.Errorf("%d connections are held and %d were closed, want %d and %d", n, gone, each, opened+1-each)
	}
	close(release)
	if got := <-slow; got != "ok<nil>" {
		t.Errorf("the request under way was answered %q", got)
	}
	resp, err := http.Get(srv.URL) // one more is served all the same
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// A connection of a test has an address alone.
type addressed struct {
	net.Conn
	remote string
	closed bool
}

func (a *addressed) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", a.remote)
	return addr
}

func (a *addressed) Close() error { a.closed = true; return nil }

// TestConnectionsAreFair: the bound in all closes what is idle for longest, of any
// network; where nothing is idle the new connection is closed; nothing is remembered
// of networks without connections.
func TestConnectionsAreFair(t *testing.T) {
	c := NewConnections(3, 2, func(a string) netip.Prefix {
		host, _, _ := net.SplitHostPort(a)
		return Network(host)
	}, func() {})
	conns := map[string]*addressed{}
	open := func(name, remote string) {
		conns[name] = &addressed{remote: remote}
		c.State(conns[name], http.StateNew)
	}
	wantClosed := func(names ...string) {
		t.Helper()
		for name, conn := range conns {
			if want := slices.Contains(names, name); conn.closed != want {
				t.Errorf("%s: closed %v, want %v", name, conn.closed, want)
			}
		}
	}
	open("a", "192.0.2.1:1")
	open("b", "192.0.2.2:1") // the same network
	c.State(conns["a"], http.StateActive)
	open("c", "192.0.2.3:1") // b is idle for longest, a is used
	wantClosed("b")
	c.State(conns["b"], http.StateClosed)
	c.State(conns["c"], http.StateActive)
	open("d", "192.0.2.4:1") // nothing of the network is idle
	wantClosed("b", "d")
	open("e", "198.51.100.1:1")
	open("f", "203.0.113.1:1") // the bound in all: e is idle
	wantClosed("b", "d", "e")
	c.State(conns["f"], http.StateActive)
	open("g", "203.0.113.9:1")
	wantClosed("b", "d", "e", "g")
	open("h", "127.0.0.1:1") // of no network
	wantClosed("b", "d", "e", "g", "h")
	for _, conn := range conns {
		c.State(conn, http.StateClosed)
	}
	if len(c.held)+len(c.networks)+c.idle.Len() != 0 {
		t.Errorf("left: %d connections, %d networks, %d idle", len(c.held), len(c.networks), c.idle.Len())
	}
}
