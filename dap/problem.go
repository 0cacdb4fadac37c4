package dap

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A ProblemType is one of the draft's tokens for what is wrong with a request
// (section "Errors"). It is the last part of the "type" of a problem document
// (RFC 9457).
type ProblemType string

// The problem types.
const (
	ProblemInvalidMessage              ProblemType = "invalidMessage"
	ProblemUnrecognizedTask            ProblemType = "unrecognizedTask"
	ProblemUnrecognizedAggregationJob  ProblemType = "unrecognizedAggregationJob"
	ProblemBatchInvalid                ProblemType = "batchInvalid"
	ProblemInvalidBatchSize            ProblemType = "invalidBatchSize"
	ProblemInvalidAggregationParameter ProblemType = "invalidAggregationParameter"
	ProblemBatchMismatch               ProblemType = "batchMismatch"
	ProblemStepMismatch                ProblemType = "stepMismatch"
	ProblemBatchOverlap                ProblemType = "batchOverlap"
	ProblemUnsupportedExtension        ProblemType = "unsupportedExtension"
	ProblemInvalidExtension            ProblemType = "invalidExtension"
	ProblemInvalidTask                 ProblemType = "invalidTask" // draft-ietf-ppm-dap-taskprov
)

// problemURN is the namespace that only registered types may use.
const problemURN = "urn:ietf:params:ppm:dap:error:"

// ProblemMediaType is the media type of problem documents.
const ProblemMediaType = "application/problem+json"

// URI returns the type as it is written in a problem document.
func (p ProblemType) URI() string { return problemURN + string(p) }

// Title returns a short description of the problem, "" for a type that is not the
// draft's.
func (p ProblemType) Title() string {
	switch p {
	case ProblemInvalidMessage:
		return "the message is malformed or otherwise invalid"
	case ProblemUnrecognizedTask:
		return "there is no such task here"
	case ProblemUnrecognizedAggregationJob:
		return "there is no such aggregation job here"
	case ProblemBatchInvalid:
		return "the query or selector does not name a possible batch"
	case ProblemInvalidBatchSize:
		return "the batch has too few or too many reports"
	case ProblemInvalidAggregationParameter:
		return "the aggregation parameter is not valid"
	case ProblemBatchMismatch:
		return "leader and helper aggregated different reports"
	case ProblemStepMismatch:
		return "leader and helper are at different steps of the aggregation job"
	case ProblemBatchOverlap:
		return "reports of the batch were collected before"
	case ProblemUnsupportedExtension:
		return "an extension is not known here"
	case ProblemInvalidExtension:
		return "an extension is malformed or out of order"
	case ProblemInvalidTask:
		return "the advertised task is refused"
	}
	return ""
}

// ParseProblemURI returns the problem type of a "type" member, false if it is
// not one of the draft's.
func ParseProblemURI(uri string) (ProblemType, bool) {
	token, ok := strings.CutPrefix(uri, problemURN)
	p := ProblemType(token)
	return p, ok && p.Title() != ""
}

// An Abort ends the handling of a request with a problem document.
type Abort struct {
	Type        ProblemType
	Detail      string   // for people; nothing secret
	Unsupported []uint16 // extension types, with ProblemUnsupportedExtension
}

// Error returns type and detail.
func (a *Abort) Error() string { return fmt.Sprintf("%s: %s", a.Type, a.Detail) }

// AbortOf returns the problem that err means: err itself if it holds an
// [Abort], [ProblemInvalidMessage] for [ErrMalformed] and [ErrLimit], otherwise
// nil.
func AbortOf(err error) *Abort {
	if abort, ok := errors.AsType[*Abort](err); ok {
		return abort
	}
	if errors.Is(err, ErrMalformed) || errors.Is(err, ErrLimit) {
		return &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
	}
	return nil
}

// problemDocument is the JSON form of an [Abort].
type problemDocument struct {
	Type        string   `json:"type"`
	Title       string   `json:"title,omitempty"`
	Status      int      `json:"status,omitempty"`
	Detail      string   `json:"detail,omitempty"`
	Task        string   `json:"taskid,omitempty"`
	Unsupported []uint16 `json:"unsupported_extensions,omitempty"`
}

// Document returns the problem document, with the HTTP status and the task ID if
// the task is known.
func (a *Abort) Document(status int, task *TaskID) ([]byte, error) {
	if a.Type.Title() == "" {
		return nil, fmt.Errorf("problem type %q is not one of the draft's", a.Type)
	}
	d := problemDocument{Type: a.Type.URI(), Title: a.Type.Title(), Status: status, Detail: a.Detail, Unsupported: a.Unsupported}
	if task != nil {
		d.Task = task.String()
	}
	return json.Marshal(d)
}

// ParseDocument reads a problem document. A type that is not the draft's is an
// error, as are bytes that are no JSON object.
func ParseDocument(b []byte) (*Abort, error) {
	var d problemDocument
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("reading problem document: %w", err)
	}
	p, ok := ParseProblemURI(d.Type)
	if !ok {
		return nil, fmt.Errorf("reading problem document: type %q is not one of the draft's", d.Type)
	}
	return &Abort{Type: p, Detail: d.Detail, Unsupported: d.Unsupported}, nil
}
