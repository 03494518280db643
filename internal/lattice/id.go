package lattice

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// idPrefixes are the prefixes of ids, as in the API model's patterns.
var idPrefixes = map[Kind]string{
	KindAccessLogSubscription:             "als-",
	KindDomainVerification:                "dv-",
	KindListener:                          "listener-",
	KindResourceConfiguration:             "rcfg-",
	KindResourceEndpointAssociation:       "rea-",
	KindResourceGateway:                   "rgw-",
	KindRule:                              "rule-",
	KindService:                           "svc-",
	KindServiceNetwork:                    "sn-",
	KindServiceNetworkResourceAssociation: "snra-",
	KindServiceNetworkServiceAssociation:  "snsa-",
	KindServiceNetworkVpcAssociation:      "snva-",
	KindTargetGroup:                       "tg-",
}

// NewID returns a fresh id of a kind: the prefix, a zero and 16 random hex digits, as AWS's ids look. Hex digits
// satisfy every id pattern of the API, and clients' tests expect them.
func NewID(kind Kind) string {
	var b [8]byte
	rand.Read(b[:]) // crypto/rand.Read never fails since Go 1.24.
	return idPrefixes[kind] + "0" + hex.EncodeToString(b[:])
}

// KindOfID returns the kind of resource that an id is of, by its prefix.
func KindOfID(id string) (kind Kind, ok bool) {
	prefix := id[:strings.IndexByte(id, '-')+1]
	for kind, p := range idPrefixes {
		if p == prefix {
			return kind, true
		}
	}
	return "", false
}
