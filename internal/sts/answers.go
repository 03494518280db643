package sts

import (
	"encoding/json"
	"encoding/xml"
)

// getCallerIdentityResponse is the answer of GetCallerIdentity.
type getCallerIdentityResponse struct {
	XMLName   xml.Name       `xml:"GetCallerIdentityResponse"`
	Namespace string         `xml:"xmlns,attr"`
	Result    callerIdentity `xml:"GetCallerIdentityResult"`
	Metadata  metadata       `xml:"ResponseMetadata"`
}

type callerIdentity struct {
	ARN     string `xml:"Arn" json:"Arn"`
	UserID  string `xml:"UserId" json:"UserId"`
	Account string `xml:"Account" json:"Account"`
}

type metadata struct {
	RequestID string `xml:"RequestId" json:"RequestId"`
}

// MarshalJSON puts the answer under its name, as AWS does.
func (r getCallerIdentityResponse) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"GetCallerIdentityResponse": map[string]any{
		"GetCallerIdentityResult": r.Result, "ResponseMetadata": r.Metadata,
	}})
}

// errorResponse is the answer of everything else.
type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse" json:"-"`
	Namespace string   `xml:"xmlns,attr" json:"-"`
	Error     *refusal `xml:"Error"`
	RequestID string   `xml:"RequestId" json:"RequestId"`
}

// refusal is an error of STS. Type is Sender or Receiver: whose fault it is.
type refusal struct {
	Type    string
	Code    string
	Message string
	status  int
}

func (r *refusal) Error() string { return r.Code + ": " + r.Message }
