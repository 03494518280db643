package sts

import (
	"encoding/json"
	"encoding/xml"
	"time"
)

// response is the response of an action: XML elements, or members of JSON, with the action's name before Response and Result.
type response struct {
	action    string
	Namespace string
	result    any
	Metadata  metadata
}

// MarshalXML implements xml.Marshaler.
func (r *response) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	start := xml.StartElement{
		Name: xml.Name{Local: r.action + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: r.Namespace}},
	}
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	if err := e.EncodeElement(r.result, xml.StartElement{Name: xml.Name{Local: r.action + "Result"}}); err != nil {
		return err
	}
	if err := e.EncodeElement(r.Metadata, xml.StartElement{Name: xml.Name{Local: "ResponseMetadata"}}); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// MarshalJSON implements json.Marshaler.
func (r *response) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{r.action + "Response": map[string]any{
		r.action + "Result": r.result, "ResponseMetadata": r.Metadata,
	}})
}

type callerIdentity struct {
	ARN     string `xml:"Arn" json:"Arn"`
	UserID  string `xml:"UserId" json:"UserId"`
	Account string `xml:"Account" json:"Account"`
}

// assumedRole is the result of AssumeRole.
type assumedRole struct {
	Credentials     credentials
	AssumedRoleUser assumedRoleUser
}

type assumedRoleUser struct {
	AssumedRoleID string `xml:"AssumedRoleId" json:"AssumedRoleId"`
	ARN           string `xml:"Arn" json:"Arn"`
}

// sessionToken is the result of GetSessionToken.
type sessionToken struct{ Credentials credentials }

type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId" json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      expiration
}

// expiration is a time, written differently in XML and JSON.
type expiration time.Time

// MarshalText implements encoding.TextMarshaler, for XML.
func (e expiration) MarshalText() ([]byte, error) {
	return time.Time(e).UTC().AppendFormat(nil, "2006-01-02T15:04:05Z"), nil
}

// MarshalJSON implements json.Marshaler. AWS gives seconds.
func (e expiration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Time(e).Unix()) }

type metadata struct {
	RequestID string `xml:"RequestId" json:"RequestId"`
}

// errorResponse is the response to a request that is refused.
type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse" json:"-"`
	Namespace string   `xml:"xmlns,attr" json:"-"`
	Error     *refusal `xml:"Error"`
	RequestID string   `xml:"RequestId" json:"RequestId"`
}

// refusal is an error of STS. Type says whose fault it is: Sender or Receiver.
type refusal struct {
	Type    string
	Code    string
	Message string
	status  int
}

func (r *refusal) Error() string { return r.Code + ": " + r.Message }
