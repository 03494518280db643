package amazon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"trellis/internal/accesslog/delivery"
)

// eventLimits are those of PutLogEvents
// (https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html): 26 bytes count for each event.
var eventLimits = limits{entries: 10_000, bytes: 1 << 20, overhead: 26, entryBytes: 1<<20 - 26}

// maxSpan is less than the time that the events of a request may span, which is 24 hours.
const maxSpan = 23 * time.Hour

// putLogEvents puts the entries of a batch into a log group, as events of a stream of the subscription.
func (s *Sink) putLogEvents(ctx context.Context, b delivery.Batch) (rest []byte, refused int64, err error) {
	region, resource := arnFields(b.To.DestinationARN)
	group := strings.TrimSuffix(strings.TrimPrefix(resource, "log-group:"), ":*")
	stream := "VpcLattice/AccessLogs/" + b.To.ResourceID + "/" + b.To.ID
	client := cloudwatchlogs.NewFromConfig(s.cfg, func(o *cloudwatchlogs.Options) { o.Region = region })
	lines, err := b.Lines()
	if err != nil {
		return nil, 0, err
	}
	for rest = lines; len(rest) > 0; {
		entries, after, tooLong := eventLimits.piece(rest)
		refused += tooLong
		requests := inOrder(entries, b.Since)
		for i, events := range requests {
			n, err := putEvents(ctx, client, group, stream, events)
			if err != nil {
				return append(linesOf(requests[i:]), after...), refused, fmt.Errorf("putting events into the log group %s: %w", group, err)
			}
			refused += n
		}
		rest = after
	}
	return nil, refused, nil
}

// linesOf returns the entries that events have been made from.
func linesOf(requests [][]types.InputLogEvent) (lines []byte) {
	for _, events := range requests {
		for _, event := range events {
			lines = append(append(lines, *event.Message...), '\n')
		}
	}
	return lines
}

// inOrder returns events as PutLogEvents requires them: in order of time, and within a day in each request.
func inOrder(entries [][]byte, otherwise time.Time) (requests [][]types.InputLogEvent) {
	events := make([]types.InputLogEvent, len(entries))
	for i, entry := range entries {
		events[i] = types.InputLogEvent{Message: aws.String(string(entry)), Timestamp: aws.Int64(timeOf(entry, otherwise).UnixMilli())}
	}
	slices.SortStableFunc(events, func(a, b types.InputLogEvent) int { return int(*a.Timestamp - *b.Timestamp) })
	for len(events) > 0 {
		n := slices.IndexFunc(events, func(e types.InputLogEvent) bool {
			return *e.Timestamp-*events[0].Timestamp > maxSpan.Milliseconds()
		})
		if n < 0 {
			n = len(events)
		}
		requests = append(requests, events[:n])
		events = events[n:]
	}
	return requests
}

// timeKeys come before the time in entries of requests, in those of resources' connections, and in records of lost entries.
// What clients send is escaped in an entry, so it cannot look like these.
var timeKeys = [][]byte{[]byte(`"startTime":"`), []byte(`"eventTimestamp":"`), []byte(`"to":"`)}

// timeOf returns the time of an entry.
func timeOf(entry []byte, otherwise time.Time) time.Time {
	for _, key := range timeKeys {
		if _, after, ok := bytes.Cut(entry, key); ok {
			text, _, _ := bytes.Cut(after, []byte(`"`))
			if at, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
				return at
			}
		}
	}
	return otherwise
}

// putEvents puts events into a stream, and makes the stream if it is missing. It returns how many were too old or too new.
func putEvents(ctx context.Context, client *cloudwatchlogs.Client, group, stream string, events []types.InputLogEvent) (refused int64, err error) {
	put := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events}
	out, err := client.PutLogEvents(ctx, put)
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		_, err = client.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream})
		var exists *types.ResourceAlreadyExistsException // Another node has just made it.
		if err != nil && !errors.As(err, &exists) {
			return 0, err
		}
		out, err = client.PutLogEvents(ctx, put)
	}
	if err != nil {
		return 0, err
	}
	if r := out.RejectedLogEventsInfo; r != nil {
		// Both indexes are those of the first event that is taken.
		first := max(aws.ToInt32(r.TooOldLogEventEndIndex), aws.ToInt32(r.ExpiredLogEventEndIndex))
		refused += int64(first)
		if r.TooNewLogEventStartIndex != nil {
			refused += int64(len(events)) - int64(*r.TooNewLogEventStartIndex)
		}
	}
	return refused, nil
}
