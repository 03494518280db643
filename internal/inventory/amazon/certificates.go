package amazon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"trellis/internal/inventory"
)

// newCertificates reads the names and the expiry times of certificates. ACM does not give out their private keys.
func newCertificates(cfg aws.Config) read {
	client := acm.NewFromConfig(cfg)
	return func(ctx context.Context) (*inventory.Facts, error) {
		facts := &inventory.Facts{}
		in := &acm.ListCertificatesInput{
			CertificateStatuses: []types.CertificateStatus{types.CertificateStatusIssued},
			// Without this filter, ACM lists only RSA keys.
			Includes: &types.Filters{KeyTypes: types.KeyAlgorithm("").Values()},
			MaxItems: aws.Int32(1000),
		}
		for pages := acm.NewListCertificatesPaginator(client, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, c := range page.CertificateSummaryList {
				names := append([]string{aws.ToString(c.DomainName)}, c.SubjectAlternativeNameSummaries...)
				slices.Sort(names)
				leaf := &x509.Certificate{DNSNames: slices.Compact(names), NotAfter: aws.ToTime(c.NotAfter)}
				facts.Certificates = append(facts.Certificates, inventory.Certificate{ARN: aws.ToString(c.CertificateArn), TLS: &tls.Certificate{Leaf: leaf}})
			}
		}
		slices.SortFunc(facts.Certificates, func(a, b inventory.Certificate) int { return strings.Compare(a.ARN, b.ARN) })
		return facts, nil
	}
}
