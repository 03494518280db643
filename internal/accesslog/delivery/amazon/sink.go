// Package amazon delivers access logs to the services of AWS that subscriptions name: S3, CloudWatch Logs and Firehose.
// The node's credentials, and AWS, decide what it may send where.
package amazon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/lattice"
)

const (
	// A batch for CloudWatch Logs or Firehose is complete at streamBytes or streamAge. A request holds less, so it carries a
	// piece of one.
	streamBytes = 4 << 20
	streamAge   = time.Second
)

// Sink is a delivery.Sink.
type Sink struct {
	cfg aws.Config
	// bucketRegions are the Regions of buckets, by their names, that are not where the subscription is.
	bucketRegions sync.Map
}

// New returns a sink that uses the credentials and endpoints of the usual variables and files of AWS's SDKs.
func New(ctx context.Context) (*Sink, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} })) // The spool retries.
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of AWS's SDK: %w", err)
	}
	return &Sink{cfg: cfg}, nil
}

// Complete implements delivery.Sink.
func (s *Sink) Complete(to *lattice.AccessLogSubscription) delivery.Limits {
	if to.DestinationType == lattice.DestinationBucket {
		// An object of so many bytes might take too long to send: the time for that is bounded.
		return delivery.Limits{LineBytes: delivery.ObjectBytes, Age: delivery.ObjectAge}
	}
	return delivery.Limits{LineBytes: streamBytes, Age: streamAge}
}

// Deliver implements delivery.Sink.
func (s *Sink) Deliver(ctx context.Context, b delivery.Batch) (rest []byte, refused int64, err error) {
	switch b.To.DestinationType {
	case lattice.DestinationBucket:
		err = s.putObject(ctx, b)
	case lattice.DestinationLogGroup:
		rest, refused, err = s.putLogEvents(ctx, b)
	case lattice.DestinationDeliveryStream:
		rest, refused, err = s.putRecords(ctx, b)
	default:
		err = fmt.Errorf("the destination has the unknown type %q", b.To.DestinationType)
	}
	return rest, refused, withAdvice(err)
}

// limits bound a request. The overhead counts for each entry.
type limits struct{ entries, bytes, overhead, entryBytes int }

// piece takes as many entries from the beginning of lines as a request may hold, without those that are too long.
func (l limits) piece(lines []byte) (entries [][]byte, rest []byte, tooLong int64) {
	size := 0
	for len(lines) > 0 {
		line, after, _ := bytes.Cut(lines, []byte("\n"))
		switch {
		case len(line) > l.entryBytes:
			tooLong++
		case len(entries) == l.entries || size+len(line)+l.overhead > l.bytes:
			return entries, lines, tooLong
		default:
			entries = append(entries, line)
			size += len(line) + l.overhead
		}
		lines = after
	}
	return entries, nil, tooLong
}

// arnFields returns an ARN's Region and resource.
func arnFields(arn string) (region, resource string) {
	fields := strings.SplitN(arn, ":", 6)
	return fields[3], fields[5]
}

// advice is what helps against the errors of AWS, by their codes.
var advice = map[string]string{
	"NoSuchBucket":                "create the bucket, or move the subscription with UpdateAccessLogSubscription",
	"ResourceNotFoundException":   "create the destination, or move the subscription with UpdateAccessLogSubscription",
	"AccessDenied":                "the node's credentials need s3:PutObject",
	"AccessDeniedException":       "the node's credentials need logs:CreateLogStream and logs:PutLogEvents, or firehose:PutRecordBatch",
	"InvalidAccessKeyId":          "the node's credentials are not valid at AWS",
	"UnrecognizedClientException": "the node's credentials are not valid at AWS",
	"ExpiredToken":                "the node's credentials have expired",
	"ExpiredTokenException":       "the node's credentials have expired",
}

// withAdvice adds to an error what helps against it.
func withAdvice(err error) error {
	var answer smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer):
		if help, ok := advice[answer.ErrorCode()]; ok {
			return fmt.Errorf("%s: %w", help, err)
		}
		return err
	default:
		return fmt.Errorf("no response from AWS; check the network, AWS_ENDPOINT_URL and the credentials of the node (docs/logs.md): %w", err)
	}
}
