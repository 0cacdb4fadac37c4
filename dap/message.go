package dap

import (
	"fmt"
	"mime"
)

// A MessageType is the value of the parameter "message" of the media type
// (section "Protocol Message Media Type").
type MessageType string

// The message types.
const (
	TypeHpkeConfigList            MessageType = "hpke-config-list"
	TypeUploadRequest             MessageType = "upload-req"
	TypeUploadErrors              MessageType = "upload-errors"
	TypeAggregationJobInitReq     MessageType = "aggregation-job-init-req"
	TypeAggregationJobResp        MessageType = "aggregation-job-resp"
	TypeAggregationJobContinueReq MessageType = "aggregation-job-continue-req"
	TypeAggregateShareReq         MessageType = "aggregate-share-req"
	TypeAggregateShare            MessageType = "aggregate-share"
	TypeCollectionJobReq          MessageType = "collection-job-req"
	TypeCollectionJobResp         MessageType = "collection-job-resp"
)

const mediaType = "application/ppm-dap"

// MediaType returns the value of the header Content-Type.
func (t MessageType) MediaType() string { return mediaType + ";message=" + string(t) }

// ParseMediaType returns the message type of a header Content-Type. Parameters
// other than "message", such as the optional "version", are passed over.
func ParseMediaType(header string) (MessageType, error) {
	kind, parameters, err := mime.ParseMediaType(header)
	if err != nil {
		return "", fmt.Errorf("media type %q: %w", header, err)
	}
	if kind != mediaType || parameters["message"] == "" {
		return "", fmt.Errorf("media type %q: want %s with the parameter message", header, mediaType)
	}
	return MessageType(parameters["message"]), nil
}

// A Message is a [Structure] that is the body of an HTTP request or response.
type Message interface {
	Structure
	// Type is the message's type.
	Type() MessageType
}

// NewMessage returns an empty message of a type, to decode into.
func NewMessage(t MessageType) (Message, error) {
	for _, m := range []Message{
		new(HpkeConfigList), new(UploadRequest), new(UploadErrors),
		new(AggregationJobInitReq), new(AggregationJobResp), new(AggregationJobContinueReq),
		new(AggregateShareReq), new(AggregateShare), new(CollectionJobReq), new(CollectionJobResp),
	} {
		if m.Type() == t {
			return m, nil
		}
	}
	return nil, fmt.Errorf("message type %q is not known", t)
}

// Type implements [Message].
func (*HpkeConfigList) Type() MessageType { return TypeHpkeConfigList }

// Type implements [Message].
func (*UploadRequest) Type() MessageType { return TypeUploadRequest }

// Type implements [Message].
func (*UploadErrors) Type() MessageType { return TypeUploadErrors }

// Type implements [Message].
func (*AggregationJobInitReq) Type() MessageType { return TypeAggregationJobInitReq }

// Type implements [Message].
func (*AggregationJobResp) Type() MessageType { return TypeAggregationJobResp }

// Type implements [Message].
func (*AggregationJobContinueReq) Type() MessageType { return TypeAggregationJobContinueReq }

// Type implements [Message].
func (*AggregateShareReq) Type() MessageType { return TypeAggregateShareReq }

// Type implements [Message].
func (*AggregateShare) Type() MessageType { return TypeAggregateShare }

// Type implements [Message].
func (*CollectionJobReq) Type() MessageType { return TypeCollectionJobReq }

// Type implements [Message].
func (*CollectionJobResp) Type() MessageType { return TypeCollectionJobResp }

// vector reads elements to the end of the message, in a prefixed variant after
// their length.
func vector[T any](r *reader, field string, unmarshal func(*T, *reader)) []T {
	if r.codec.variant.prefixed {
		body := r.opaque32(field, 0, int(min(r.codec.limits.Body, 1<<31-1)))
		r.end()
		if r.err != nil {
			return nil
		}
		r.s = body
	}
	return elements(r, field, unmarshal)
}

// elements reads elements to the end of the message.
func elements[T any](r *reader, field string, unmarshal func(*T, *reader)) []T {
	var list []T
	for r.err == nil && !r.s.Empty() {
		if len(list) == r.codec.limits.Reports {
			r.fail(fmt.Errorf("%w: more than %d of %s", ErrLimit, len(list), field))
			return nil
		}
		var e T
		unmarshal(&e, r)
		if r.err != nil {
			r.err = fmt.Errorf("%s %d: %w", field, len(list)+1, r.err)
			return nil
		}
		list = append(list, e)
	}
	return list
}

// marshalVector is the counterpart of [vector].
func marshalVector[T any](w *writer, field string, list []T, marshal func(*T, *writer)) {
	if !w.codec.variant.prefixed {
		marshalElements(w, list, marshal)
		return
	}
	body := &writer{Builder: newBuilder(), codec: w.codec}
	marshalElements(body, list, marshal)
	b, err := body.Bytes()
	if err != nil {
		w.SetError(err)
		return
	}
	w.opaque32(field, 0, b)
}

func marshalElements[T any](w *writer, list []T, marshal func(*T, *writer)) {
	for i := range list {
		marshal(&list[i], w)
	}
}
