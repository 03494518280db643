package amazon

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"trellis/internal/accesslog/delivery"
)

// recordLimits are those of PutRecordBatch (https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html).
var recordLimits = limits{entries: 500, bytes: 4 << 20, overhead: 1, entryBytes: 1000<<10 - 1}

// putRecords puts each entry of a batch, with a line end, into a delivery stream as a record. Records that Firehose
// does not take are left for the next attempt.
func (s *Sink) putRecords(ctx context.Context, b delivery.Batch) (rest []byte, refused int64, err error) {
	region, resource := arnFields(b.To.DestinationARN)
	stream := strings.TrimPrefix(resource, "deliverystream/")
	client := firehose.NewFromConfig(s.cfg, func(o *firehose.Options) { o.Region = region })
	lines, err := b.Lines()
	if err != nil {
		return nil, 0, err
	}
	for rest = lines; len(rest) > 0; {
		entries, after, tooLong := recordLimits.piece(rest)
		refused += tooLong
		if len(entries) == 0 {
			rest = after
			continue
		}
		records := make([]types.Record, len(entries))
		for i, entry := range entries {
			records[i].Data = append(entry[:len(entry):len(entry)], '\n')
		}
		out, err := client.PutRecordBatch(ctx, &firehose.PutRecordBatchInput{DeliveryStreamName: &stream, Records: records})
		if err != nil {
			return rest, refused - tooLong, fmt.Errorf("putting records into the delivery stream %s: %w", stream, err)
		}
		if aws.ToInt32(out.FailedPutCount) > 0 {
			return append(failedRecords(records, out.RequestResponses), after...), refused, firstFailure(stream, out)
		}
		rest = after
	}
	return nil, refused, nil
}

// failedRecords returns the records that Firehose did not take. The response lists its results in the order of the records.
func failedRecords(records []types.Record, answers []types.PutRecordBatchResponseEntry) (lines []byte) {
	for i, answer := range answers {
		if answer.ErrorCode != nil && i < len(records) {
			lines = append(lines, records[i].Data...)
		}
	}
	return lines
}

func firstFailure(stream string, out *firehose.PutRecordBatchOutput) error {
	for _, answer := range out.RequestResponses {
		if answer.ErrorCode != nil {
			return fmt.Errorf("the delivery stream %s did not take %d records: %s: %s",
				stream, aws.ToInt32(out.FailedPutCount), *answer.ErrorCode, aws.ToString(answer.ErrorMessage))
		}
	}
	return fmt.Errorf("the delivery stream %s did not take %d records, and does not say which", stream, aws.ToInt32(out.FailedPutCount))
}
