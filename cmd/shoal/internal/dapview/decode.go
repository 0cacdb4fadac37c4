package dapview

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/dap"
)

// TaskConfiguration is the name of the one structure that is no message and can
// be shown all the same.
const TaskConfiguration = "task-configuration"

// Names lists what [Decode] knows.
func Names() []string {
	names := []string{TaskConfiguration}
	for _, t := range messageTypes {
		names = append(names, string(t))
	}
	slices.Sort(names)
	return names
}

var messageTypes = [...]dap.MessageType{
	dap.TypeHpkeConfigList, dap.TypeUploadRequest, dap.TypeUploadErrors,
	dap.TypeAggregationJobInitReq, dap.TypeAggregationJobResp, dap.TypeAggregationJobContinueReq,
	dap.TypeAggregateShareReq, dap.TypeAggregateShare, dap.TypeCollectionJobReq, dap.TypeCollectionJobResp,
}

// Decode reads a message of the given type, which may also be the whole media
// type. It fails with the errors of [dap.Codec.Decode].
func Decode(v *dap.Variant, name string, body []byte) (View, error) {
	if name == TaskConfiguration {
		var c dap.TaskConfiguration
		if err := dap.NewCodec(v).Decode(&c, body); err != nil {
			return nil, err
		}
		return taskConfiguration(&c, body), nil
	}
	t := dap.MessageType(name)
	if strings.Contains(name, "/") {
		var err error
		if t, err = dap.ParseMediaType(name); err != nil {
			return nil, err
		}
	}
	m, err := dap.NewMessage(t)
	if err != nil {
		return nil, fmt.Errorf("%w: want one of %s", err, strings.Join(Names(), ", "))
	}
	if err := dap.NewCodec(v).Decode(m, body); err != nil {
		return nil, err
	}
	return message(m), nil
}

func message(m dap.Message) View {
	switch m := m.(type) {
	case *dap.HpkeConfigList:
		return View{{"configs", each(*m, hpkeConfig)}}
	case *dap.UploadRequest:
		return View{{"reports", each(m.Reports, report)}}
	case *dap.UploadErrors:
		return View{{"status", each(m.Status, func(s dap.ReportUploadStatus) any {
			return View{{"report_id", s.ID.String()}, {"error", s.Error.String()}}
		})}}
	case *dap.AggregationJobInitReq:
		return append(jobHeader(&m.AggregationJobHeader), Field{"verify_inits", each(m.VerifyInits, verifyInit)})
	case *dap.AggregationJobResp:
		return View{{"verify_resps", each(m.VerifyResps, verifyResp)}}
	case *dap.AggregationJobContinueReq:
		return View{{"step", uint64(m.Step)}, {"verify_continues", each(m.VerifyContinues, func(c dap.VerifyContinue) any {
			return View{{"report_id", c.ID.String()}, {"payload", c.Payload}}
		})}}
	case *dap.AggregateShareReq:
		return View{
			{"collection_job_req", collectionJob(&m.Job)},
			{"batch_selector", selector(m.Selector.Mode, m.Selector.Config)},
			{"report_count", m.ReportCount},
			{"checksum", m.Checksum[:]},
		}
	case *dap.AggregateShare:
		return View{{"encrypted_aggregate_share", sealed(m.Encrypted)}}
	case *dap.CollectionJobReq:
		return collectionJob(m)
	case *dap.CollectionJobResp:
		return View{
			{"report_count", m.ReportCount},
			{"interval", interval(m.Interval)},
			{"leader_encrypted_agg_share", sealed(m.LeaderShare)},
			{"helper_encrypted_agg_share", sealed(m.HelperShare)},
		}
	}
	return nil // dap.NewMessage makes no other
}

func each[T any](list []T, show func(T) any) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = show(list[i])
	}
	return out
}

func hpkeConfig(c dap.HpkeConfig) any {
	return View{
		{"id", uint64(c.ID)},
		{"kem_id", fmt.Sprintf("%#04x", c.KEM)},
		{"kdf_id", fmt.Sprintf("%#04x", c.KDF)},
		{"aead_id", fmt.Sprintf("%#04x", c.AEAD)},
		{"public_key", c.PublicKey},
	}
}

func metadata(m *dap.ReportMetadata) View {
	return View{{"report_id", m.ID.String()}, {"time", uint64(m.Time)}, {"public_extensions", reportExtensions(m.PublicExtensions)}}
}

// reportExtensions shows a list that a client wrote, which may be none.
func reportExtensions(x dap.Extensions) any {
	list, err := x.List()
	if err != nil {
		return View{{"malformed", err.Error()}, {"bytes", []byte(x)}}
	}
	return extensions(list)
}

func extensions(list []dap.Extension) []any {
	return each(list, func(e dap.Extension) any {
		return View{{"extension_type", uint64(e.Type)}, {"extension_data", e.Data}}
	})
}

func report(r dap.Report) any {
	return View{
		{"report_metadata", metadata(&r.Metadata)},
		{"public_share", r.PublicShare},
		{"leader_encrypted_input_share", sealed(r.LeaderShare)},
		{"helper_encrypted_input_share", sealed(r.HelperShare)},
	}
}

func sealed(c dap.HpkeCiphertext) View {
	return View{{"config_id", uint64(c.ConfigID)}, {"enc", c.Enc}, {"payload", c.Payload}}
}

func jobHeader(h *dap.AggregationJobHeader) View {
	v := View{{"verification_key_id", uint64(h.VerificationKey)}, {"agg_param", h.AggParam}}
	if h.Selector.Mode != 0 {
		return append(v, Field{"part_batch_selector", selector(h.Selector.Mode, h.Selector.Config)})
	}
	return append(v, Field{"extensions", extensions(h.Extensions)})
}

func verifyInit(i dap.VerifyInit) any {
	return View{
		{"report_share", View{
			{"report_metadata", metadata(&i.Share.Metadata)},
			{"public_share", i.Share.PublicShare},
			{"encrypted_input_share", sealed(i.Share.InputShare)},
		}},
		{"payload", i.Payload},
	}
}

func verifyResp(r dap.VerifyResp) any {
	v := View{{"report_id", r.ID.String()}}
	switch r.Type {
	case dap.RespContinue:
		return append(v, Field{"type", "continue"}, Field{"payload", r.Payload})
	case dap.RespFinish:
		return append(v, Field{"type", "finish"})
	}
	return append(v, Field{"type", "reject"}, Field{"error", r.Error.String()})
}

func collectionJob(r *dap.CollectionJobReq) View {
	return View{{"query", selector(r.Query.Mode, r.Query.Config)}, {"agg_param", r.AggParam}, {"extensions", extensions(r.Extensions)}}
}

// selector shows a query or a selector of a batch.
func selector(mode dap.BatchMode, config []byte) View {
	v := View{{"batch_mode", mode.String()}}
	if i, err := (dap.Query{Mode: mode, Config: config}).Interval(); err == nil {
		return append(v, Field{"batch_interval", interval(i)})
	}
	if id, err := (dap.BatchSelector{Mode: mode, Config: config}).BatchID(); err == nil {
		return append(v, Field{"batch_id", id.String()})
	}
	return append(v, Field{"config", config})
}

func interval(i dap.Interval) View {
	return View{{"start", uint64(i.Start)}, {"duration", uint64(i.Duration)}}
}

func taskConfiguration(c *dap.TaskConfiguration, encoded []byte) View {
	v := View{
		{"task_id", dap.TaskprovID(encoded).String()},
		{"task_info", c.TaskInfo},
		{"leader_url", c.Leader},
		{"helper_url", c.Helper},
		{"time_precision", uint64(c.TimePrecision)},
		{"min_batch_size", c.MinBatchSize},
		{"batch_mode", c.BatchMode.String()},
		{"batch_config", c.BatchConfig},
	}
	if in, err := c.Instance(); err == nil {
		v = append(v, Field{"vdaf", in.Name()})
	}
	v = append(v, Field{"vdaf_type", fmt.Sprintf("%#x", c.VDAF)}, Field{"vdaf_config", c.VDAFConfig})
	if i, ok, err := c.Interval(); err == nil && ok {
		v = append(v, Field{"task_interval", interval(i)})
	}
	return append(v, Field{"extensions", extensions(c.Extensions)})
}
