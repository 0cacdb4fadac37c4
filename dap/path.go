package dap

import "strings"

// Paths are relative to the endpoint of the leader or the helper (section "HTTP
// Resources Reference"); [Resolve] joins the two.

// HpkeConfigPath is where an aggregator serves its [HpkeConfigList].
const HpkeConfigPath = "hpke_config"

// Resolve returns the URL of a path under an endpoint.
func Resolve(endpoint, path string) string { return strings.TrimSuffix(endpoint, "/") + "/" + path }

// ReportsPath is where clients upload, at the leader.
func ReportsPath(t TaskID) string { return under(t, "reports") }

// AggregationJobPath is the aggregation job, at the helper.
func AggregationJobPath(t TaskID, id AggregationJobID) string {
	return under(t, "aggregation_jobs", id.String())
}

// CollectionJobPath is the collection job, at the leader.
func CollectionJobPath(t TaskID, id CollectionJobID) string {
	return under(t, "collection_jobs", id.String())
}

// AggregateSharePath is the aggregate share, at the helper.
func AggregateSharePath(t TaskID, id AggregateShareID) string {
	return under(t, "aggregate_shares", id.String())
}

// CreateAggregationJob returns method and path of the request that makes an
// aggregation job. The ID is used only where the variant's clients choose it.
func (v *Variant) CreateAggregationJob(t TaskID, id AggregationJobID) (method, path string) {
	return v.create(t, "aggregation_jobs", id.String())
}

// CreateCollectionJob is the same for a collection job.
func (v *Variant) CreateCollectionJob(t TaskID, id CollectionJobID) (method, path string) {
	return v.create(t, "collection_jobs", id.String())
}

// CreateAggregateShare is the same for an aggregate share.
func (v *Variant) CreateAggregateShare(t TaskID, id AggregateShareID) (method, path string) {
	return v.create(t, "aggregate_shares", id.String())
}

func (v *Variant) create(t TaskID, kind, id string) (string, string) {
	if v.clientIDs {
		return "PUT", under(t, kind, id)
	}
	return "POST", under(t, kind)
}

func under(t TaskID, parts ...string) string {
	return "tasks/" + t.String() + "/" + strings.Join(parts, "/")
}
