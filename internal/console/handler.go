package console

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

//go:embed assets templates
var files embed.FS

// Options are the settings of a console.
type Options struct {
	// Hosts are the host names, with or without a port, by which the console
	// may be addressed besides localhost and the loopback addresses.
	Hosts []string
	// Clock is the time that the pages are relative to.
	Clock clock.Clock
	// Query answers SQL over what has been released; nil means that there is no
	// such page.
	Query Querier
	// Failed is called with errors that a page could not be made for. It may be
	// nil. The errors hold nothing of a request.
	Failed func(error)
}

// securityPolicy lets a page load the console's style sheet and nothing else.
const securityPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type console struct {
	source Source
	o      Options
	pages  map[string]*template.Template
	assets fs.FS
}

// New returns the console's handler.
func New(source Source, o Options) (http.Handler, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	assets, err := fs.Sub(files, "assets")
	if err != nil {
		return nil, fmt.Errorf("reading assets: %w", err)
	}
	c := &console{source: source, o: o, pages: make(map[string]*template.Template), assets: assets}
	for _, name := range []string{"list", "question", "aggregate", "query", "error"} {
		t, err := template.New("layout.html").Funcs(functions).
			ParseFS(files, "templates/layout.html", "templates/charts.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("reading template %s: %w", name, err)
		}
		c.pages[name] = t
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.list)
	mux.HandleFunc("GET /questions/{task}", c.question)
	mux.HandleFunc("GET /questions/{task}/{file}", c.export)
	if o.Query != nil {
		mux.HandleFunc("GET /query", c.query)
		mux.HandleFunc("GET /query/{file}", c.queryFile)
	}
	mux.HandleFunc("GET /assets/{file}", c.asset)
	mux.HandleFunc("/", c.missing)
	return c.guard(mux), nil
}

// guard sets the headers of every answer and refuses requests that were meant
// for another host.
func (c *console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", securityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !c.expects(r.Host) {
			c.fail(w, http.StatusMisdirectedRequest, "This address is not the console's",
				"The console answers to localhost, and to the names listed under console.hosts in the configuration.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *console) expects(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if slices.Contains(c.o.Hosts, host) || slices.Contains(c.o.Hosts, name) {
		return true
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// page is what every template gets.
type page struct {
	Title string
	Org   Organisation
	Now   time.Time
	Query bool // there is a query page
	Body  any
}

func (c *console) render(w http.ResponseWriter, status int, name, title string, body any) {
	var b bytes.Buffer
	err := c.pages[name].Execute(&b, page{title, c.source.Organisation(), c.o.Clock.Now(), c.o.Query != nil, body})
	if err != nil {
		c.o.Failed(fmt.Errorf("rendering page %s: %w", name, err))
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

func (c *console) fail(w http.ResponseWriter, status int, title, text string) {
	c.render(w, status, "error", title, text)
}

func (c *console) missing(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		c.fail(w, http.StatusMethodNotAllowed, "The console only shows", "It changes nothing. Use the management API or the command line.")
		return
	}
	c.fail(w, http.StatusNotFound, "There is no such page", "The question may have been removed, or the link is incomplete.")
}

// sourceFailed answers for a source that returned err.
func (c *console) sourceFailed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, ErrNotFound) {
		c.missing(w, r)
		return
	}
	c.o.Failed(fmt.Errorf("reading results: %w", err))
	c.fail(w, http.StatusInternalServerError, "The results could not be read", "The server's log says why. Nothing is lost; try again in a moment.")
}

func (c *console) list(w http.ResponseWriter, r *http.Request) {
	questions, err := c.source.Questions(r.Context())
	if err != nil {
		c.sourceFailed(w, r, err)
		return
	}
	c.render(w, http.StatusOK, "list", "Questions", questions)
}

func (c *console) question(w http.ResponseWriter, r *http.Request) {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		c.missing(w, r)
		return
	}
	a, err := c.source.Answer(r.Context(), id)
	if err != nil {
		c.sourceFailed(w, r, err)
		return
	}
	name := "question"
	if a.Aggregate != nil {
		name = "aggregate"
	}
	c.render(w, http.StatusOK, name, a.Metric, a)
}

// mediaTypes are those of the exports.
var mediaTypes = map[Format]string{
	CSV:     "text/csv; charset=utf-8",
	Parquet: "application/vnd.apache.parquet",
	JSON:    "application/json",
}

func (c *console) export(w http.ResponseWriter, r *http.Request) {
	id, err := task.ParseID(r.PathValue("task"))
	format := Format(strings.TrimPrefix(r.PathValue("file"), "export."))
	media, known := mediaTypes[format]
	if err != nil || !known || r.PathValue("file") != "export."+string(format) {
		c.missing(w, r)
		return
	}
	out := &download{w: w, media: media, name: "shoal-" + id.String()[:12] + "." + string(format)}
	if err := c.source.Export(r.Context(), out, id, format); err != nil {
		if !out.begun {
			c.sourceFailed(w, r, err)
			return
		}
		c.o.Failed(fmt.Errorf("exporting: %w", err))
		if _, partial := errors.AsType[*release.Partial](err); partial {
			return // the epochs that are in the file are whole, and the page names the others
		}
		panic(http.ErrAbortHandler) // a cut connection, rather than a file that looks whole
	}
}

// download sets the headers of a file when its first byte is written, so that
// an error before that can still have a page.
type download struct {
	w           http.ResponseWriter
	media, name string
	begun       bool
}

func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		d.w.Header().Set("Content-Type", d.media)
		d.w.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.w.Write(b)
}

func (c *console) asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeFileFS(w, r, c.assets, r.PathValue("file"))
}
