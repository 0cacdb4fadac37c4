package relay

import (
	"crypto/ed25519"
	"encoding/hex"
	"time"

	"github.com/shoal-project/shoal/ohttp"
)

// Period is for how long the keys of a party and purpose are the same for all clients.
// Client, relay and party compute the bounds of a period from it.
const Period = 24 * time.Hour

// early is how long before its start the keys of a period are stated and witnessed.
const early = time.Hour

// Purposes that statements have beside the names of roles, whose keys are those that
// reports are sealed to.
const (
	// Gateway is the purpose of the keys that requests are sealed to.
	Gateway = "gateway"
)

// Purposes returns what statements are witnessed for, with the lengths of their periods.
// Keys of the roles are: of shuffler and analyzer the signed KeyConfig, of leader and
// helper DAP's list of HPKE configurations.
func Purposes() map[string]time.Duration {
	return map[string]time.Duration{
		Gateway: Period, "shuffler": Period, "analyzer": Period, "leader": Period, "helper": Period,
	}
}

// Sizes returns the lengths of messages on which client, relay and gateway agree.
func Sizes() ohttp.Sizes { return ohttp.DefaultSizes() }

// The resources of a relay.
const (
	gatewaysPath = "/gateways/" // + name of a gateway
	keysPath     = "/keys"      // + path of a slot
	minutesPath  = "/minute/"   // + name of a party
)

// The resources of a party. A gateway that serves credentials apart from all else lets
// the relay bound how many it passes on.
const (
	GatewayPath    = "/gateway"
	IssuancePath   = "/gateway/issuance"
	statementsPath = "/statements" // + path of a slot
	minutePath     = "/minute"
)

// issuance is what the name of a gateway for issuance has behind that of the party.
const issuance = ".issuance"

// GatewayOf returns the path at which a relay forwards to a party.
func GatewayOf(identity ed25519.PublicKey) string { return gatewaysPath + nameOf(identity) }

// nameOf returns the name of a party in paths.
func nameOf(identity ed25519.PublicKey) string { return hex.EncodeToString(identity) }
