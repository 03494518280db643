package lattice

import "testing"

func TestARNsTellTheTypesOfLogDestinations(t *testing.T) {
	for _, test := range []struct {
		arn, stored string
		destination LogDestination
	}{
		{"arn:aws:logs:us-west-2:123456789012:log-group:/orders", "arn:aws:logs:us-west-2:123456789012:log-group:/orders:*", DestinationLogGroup},
		{"arn:aws:logs:us-west-2:123456789012:log-group:/orders:*", "arn:aws:logs:us-west-2:123456789012:log-group:/orders:*", DestinationLogGroup},
		{"arn:aws-cn:s3:::access-logs", "arn:aws-cn:s3:::access-logs", DestinationBucket},
		{"arn:aws:s3:::access-logs/some/prefix/", "arn:aws:s3:::access-logs/some/prefix/", DestinationBucket},
		{"arn:aws:firehose:us-west-2:123456789012:deliverystream/orders", "arn:aws:firehose:us-west-2:123456789012:deliverystream/orders", DestinationDeliveryStream},
	} {
		if destination, stored, ok := StoredLogDestination(test.arn); !ok || destination != test.destination || stored != test.stored {
			t.Errorf("%s is %q, %q, %t", test.arn, destination, stored, ok)
		}
	}
	for _, arn := range []string{
		"arn:aws:logs:us-west-2:123456789012:log-group:", "arn:aws:logs:us-west-2:123456789012:log-group:/orders:log-stream:one",
		"arn:aws:logs:us-west-2::log-group:/orders", "arn:aws:s3:us-west-2:123456789012:access-logs", "arn:aws:s3:::UPPER",
		"arn:aws:firehose:us-west-2:123456789012:stream/orders", "arn:aws:kinesis:us-west-2:123456789012:stream/orders", "access-logs", "",
	} {
		if destination, _, ok := StoredLogDestination(arn); ok {
			t.Errorf("%s is a %s", arn, destination)
		}
	}
}
