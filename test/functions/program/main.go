// Command program is a Lambda function in Go, for tests and benchmarks. It returns the content of its event, or does what the
// path asks for.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

// event has the members of both versions.
type event struct {
	Version          string          `json:"version"`
	RawPath          string          `json:"raw_path"`
	Path             string          `json:"path"`
	Method           string          `json:"method"`
	Headers          json.RawMessage `json:"headers"`
	QueryV1          json.RawMessage `json:"query_string_parameters"`
	QueryV2          json.RawMessage `json:"queryStringParameters"`
	Body             string          `json:"body"`
	IsBase64EncodeV1 bool            `json:"is_base64_encoded"`
	IsBase64EncodeV2 bool            `json:"isBase64Encoded"`
	Context          *struct {
		ServiceNetworkARN string            `json:"serviceNetworkArn"`
		ServiceARN        string            `json:"serviceArn"`
		TargetGroupARN    string            `json:"targetGroupArn"`
		Region            string            `json:"region"`
		Identity          map[string]string `json:"identity"`
	} `json:"requestContext"`
}

func main() { lambda.Start(handle) }

func handle(e event) (any, error) {
	path := e.Path + e.RawPath
	switch strings.TrimPrefix(path, "/") {
	case "fast":
		return map[string]any{"statusCode": 200, "body": "ok"}, nil
	case "endpoints":
		return map[string]any{"statusCode": 200, "body": fmt.Sprint(os.Getenv("AWS_ENDPOINT_URL_VPC_LATTICE"), " ", os.Getenv("AWS_ENDPOINT_URL_STS"), " ",
			os.Getenv("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API"))}, nil
	case "trace":
		return map[string]any{"statusCode": 200, "body": string(e.Headers)}, nil
	case "binary":
		return map[string]any{"statusCode": 200, "isBase64Encoded": true, "body": "AP8B", "headers": map[string]string{"content-type": "application/octet-stream"}}, nil
	case "redirect":
		return map[string]any{"statusCode": 307, "statusDescription": "307 Temporary Redirect", "headers": map[string]string{"Location": "/elsewhere", "Connection": "close", "Content-Length": "99"}}, nil
	case "cookies":
		return map[string]any{"statusCode": 204, "headers": map[string]any{"Set-Cookie": []string{"a=1", "b=2"}}}, nil
	case "large":
		return map[string]any{"statusCode": 200, "body": strings.Repeat("x", 6<<20-100)}, nil
	case "error":
		return nil, errors.New("out of stock")
	case "no-status":
		return map[string]any{"body": "hello"}, nil
	case "no-base64":
		return map[string]any{"statusCode": 200, "isBase64Encoded": true, "body": "!"}, nil
	case "too-large":
		return map[string]any{"statusCode": 200, "body": strings.Repeat("x", 6<<20)}, nil
	case "slow":
		fmt.Println("the event is here")
		time.Sleep(time.Second) // Sleeps: a function that takes its time.
	case "exit":
		os.Exit(3)
	case "hang":
		select {}
	}
	return echo(path, &e)
}

func echo(path string, e *event) (any, error) {
	data := []byte(e.Body)
	encoded := e.IsBase64EncodeV1 || e.IsBase64EncodeV2
	if encoded {
		var err error
		if data, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, err
		}
	}
	var headers map[string]any
	if err := json.Unmarshal(e.Headers, &headers); err != nil {
		return nil, err
	}
	said := map[string]any{
		"method": e.Method, "path": path, "query": map[string]any{}, "many": headers["x-many"], "forwardedFor": headers["x-forwarded-for"],
		"body": data, "encoded": encoded, "json": nil, "context": nil,
		"identity": map[string]any{"x-amzn-lattice-identity": headers["x-amzn-lattice-identity"], "x-amzn-lattice-network": headers["x-amzn-lattice-network"]},
	}
	if list, ok := said["forwardedFor"].([]any); ok {
		said["forwardedFor"] = list[0]
	}
	for _, query := range []json.RawMessage{e.QueryV1, e.QueryV2} {
		if query != nil {
			said["query"] = query
		}
	}
	if len(data) > 0 && data[0] == '{' {
		said["json"] = json.RawMessage(data)
	}
	if e.Context != nil {
		said["context"] = map[string]string{
			"serviceArn": e.Context.ServiceARN, "targetGroupArn": e.Context.TargetGroupARN, "serviceNetworkArn": e.Context.ServiceNetworkARN,
			"region": e.Context.Region, "vpc": e.Context.Identity["sourceVpcArn"],
		}
		said["identity"] = e.Context.Identity
	}
	body, err := json.Marshal(said)
	return map[string]any{
		"statusCode": 200, "body": string(body),
		"headers": map[string]string{"Content-Type": "application/json", "x-function": os.Getenv("AWS_LAMBDA_FUNCTION_NAME")},
	}, err
}
