package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/shoal-project/shoal/cmd/shoal/internal/dapview"
	"github.com/shoal-project/shoal/dap"
)

// dapCmd has tools for the protocol of the aggregate route.
type dapCmd struct {
	Decode dapDecodeCmd `cmd:"" help:"Decode a message and print its fields."`
}

// dapDecodeCmd shows a message.
type dapDecodeCmd struct {
	Type    string `short:"t" required:"" placeholder:"MESSAGE" help:"The message: the parameter of its media type, such as upload-req, or the media type."`
	Variant string `default:"dap-18" enum:"dap-18,dap-19,janus" help:"In which form of the protocol: dap-18, dap-19 or janus (${default})."`
	Hex     bool   `help:"The input is hexadecimal."`
	JSON    bool   `name:"json" help:"Print JSON."`
	File    string `arg:"" default:"-" help:"The message's bytes; - for standard input (${default})."`
}

// Help is printed by "shoal dap decode --help".
func (*dapDecodeCmd) Help() string {
	return "Messages: " + strings.Join(dapview.Names(), ", ") + `.

Nothing is opened: what is sealed stays sealed. Input of the wrong form is an
error that says at which byte it goes wrong.

Examples:
  curl -s https://leader.example/hpke_config | shoal dap decode -t hpke-config-list
  shoal dap decode -t upload-req --json report.bin`
}

// maxMessage bounds what is read. It is that of the decoder.
const maxMessage = 256 << 20

// Run decodes and prints.
func (c *dapDecodeCmd) Run(e *env) error {
	body, err := c.read()
	if err != nil {
		return setup(err)
	}
	v, err := dap.ParseVariant(c.Variant)
	if err != nil {
		return setup(err)
	}
	view, err := dapview.Decode(v, c.Type, body)
	if err != nil {
		return err
	}
	if !c.JSON {
		return view.WriteText(e.stdout)
	}
	j := json.NewEncoder(e.stdout)
	j.SetIndent("", "  ")
	return j.Encode(view)
}

func (c *dapDecodeCmd) read() ([]byte, error) {
	var in io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("reading the message: %w", err)
		}
		defer f.Close()
		in = f
	}
	if c.Hex {
		in = hexText{in}
	}
	body, err := io.ReadAll(io.LimitReader(in, maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	if c.Hex {
		body, err = hex.DecodeString(string(body))
		if err != nil {
			return nil, fmt.Errorf("reading the message: not hexadecimal: %w", err)
		}
	}
	return body, nil
}

// hexText leaves out white space.
type hexText struct{ r io.Reader }

func (h hexText) Read(p []byte) (int, error) {
	for {
		n, err := h.r.Read(p)
		kept := 0
		for _, b := range p[:n] {
			if b != ' ' && b != '\n' && b != '\t' && b != '\r' {
				p[kept] = b
				kept++
			}
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}
