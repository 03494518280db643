package amazon

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"trellis/internal/inventory"
)

// newFunctions reads which functions Lambda has. Lambda runs them.
func newFunctions(cfg aws.Config) read {
	client := lambda.NewFromConfig(cfg)
	return func(ctx context.Context) (*inventory.Facts, error) {
		facts := &inventory.Facts{}
		for pages := lambda.NewListFunctionsPaginator(client, &lambda.ListFunctionsInput{}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, f := range page.Functions {
				facts.Functions = append(facts.Functions, inventory.Function{ARN: aws.ToString(f.FunctionArn), IsElsewhere: true})
			}
		}
		slices.SortFunc(facts.Functions, func(a, b inventory.Function) int { return strings.Compare(a.ARN, b.ARN) })
		return facts, nil
	}
}
