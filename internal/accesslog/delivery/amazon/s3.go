package amazon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"trellis/internal/accesslog/delivery"
)

// putObject puts a batch into a bucket, as an object of its own.
func (s *Sink) putObject(ctx context.Context, b delivery.Batch) error {
	_, path := arnFields(b.To.DestinationARN)
	bucket, prefix, _ := strings.Cut(path, "/")
	key := b.Key + delivery.ObjectSuffix
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		key = prefix + "/" + key
	}
	file, err := os.Open(b.File)
	if err != nil {
		return err
	}
	defer file.Close()
	region := b.To.Scope.Region
	if known, ok := s.bucketRegions.Load(bucket); ok {
		region, _ = known.(string)
	}
	client := s3.NewFromConfig(s.cfg, func(o *s3.Options) {
		o.Region = region
		o.UsePathStyle = o.BaseEndpoint != nil // A bucket's name as a subdomain works at AWS only.
	})
	_, err = client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: file,
		ContentType: aws.String("application/gzip"),
	})
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusMovedPermanently {
		if elsewhere := answer.Response.Header.Get("X-Amz-Bucket-Region"); elsewhere != "" && elsewhere != region {
			s.bucketRegions.Store(bucket, elsewhere) // The next attempt goes to that Region.
		}
	}
	if err != nil {
		return fmt.Errorf("putting an object into the bucket %s: %w", bucket, err)
	}
	return nil
}
