package clients_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/smithy-go/middleware"
	awshttp "github.com/aws/smithy-go/transport/http"

	"trellis/test/trellistest"
)

// signingClient returns a client with a profile of a credentials file, as serve asks for.
func signingClient(t *testing.T, p *trellistest.Process, file, profile string) *vpclattice.Client {
	t.Helper()
	return newClient(t, p, config.WithSharedCredentialsFiles([]string{file}), config.WithSharedConfigProfile(profile))
}

// devClient returns a client of an account of dev.
func devClient(t *testing.T, p *trellistest.Process, account string) *vpclattice.Client {
	t.Helper()
	return newClient(t, p, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(account, "any", "")))
}

func newClient(t *testing.T, p *trellistest.Process, options ...func(*config.LoadOptions) error) *vpclattice.Client {
	t.Helper()
	options = append(options, config.WithRegion("us-west-2"), config.WithSharedConfigFiles(nil))
	cfg, err := config.LoadDefaultConfig(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	return vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) {
		o.BaseEndpoint = &p.API
		// A response of 500 must show, not be tried again.
		o.Retryer = aws.NopRetryer{}
	})
}

// recording returns a client like another one that reports each operation that is called.
func recording(c *vpclattice.Client, called func(operation string)) *vpclattice.Client {
	record := middleware.InitializeMiddlewareFunc("record", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		called(awsmiddleware.GetOperationName(ctx))
		return next.HandleInitialize(ctx, in)
	})
	return vpclattice.New(c.Options(), func(o *vpclattice.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(record, middleware.After) })
	})
}

// operations returns the names of all operations.
func operations() (names []string) {
	client := reflect.TypeFor[*vpclattice.Client]()
	for i := range client.NumMethod() {
		// Options is the one method that is no operation.
		if name := client.Method(i).Name; name != "Options" {
			names = append(names, name)
		}
	}
	return names
}

// call performs an operation by its name. input is a pointer to the SDK's input of the operation, or nil for one
// without members; members are strings that are put into it.
func call(ctx context.Context, c *vpclattice.Client, operation string, input any, members map[string]string) (output any, err error) {
	method := reflect.ValueOf(c).MethodByName(operation)
	in := reflect.New(method.Type().In(1).Elem())
	if input != nil {
		in.Elem().Set(reflect.ValueOf(input).Elem())
	}
	for name, value := range members {
		in.Elem().FieldByName(name).Set(reflect.ValueOf(&value))
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), in})
	err, _ = results[1].Interface().(error)
	return results[0].Interface(), err
}

// member returns a string member of an output, or "" when it has none.
func member(output any, name string) string {
	field := reflect.Indirect(reflect.ValueOf(output)).FieldByName(name)
	switch {
	case !field.IsValid() || field.Kind() == reflect.Pointer && field.IsNil():
		return ""
	default:
		return reflect.Indirect(field).String()
	}
}

// missing says what of the wanted output is not in the one that was seen. Members that are not wanted may have any
// value; lists must be equal in length.
func missing(seen, wanted any) string {
	return strings.Join(differences("", reflect.ValueOf(seen), reflect.ValueOf(wanted)), "\n")
}

func differences(at string, seen, wanted reflect.Value) (all []string) {
	switch wanted.Kind() {
	case reflect.Pointer, reflect.Interface:
		if wanted.IsNil() {
			return nil
		}
		if seen.IsNil() || seen.Elem().Type() != wanted.Elem().Type() {
			return []string{fmt.Sprintf("%s is %v", at, seen)}
		}
		return differences(at, seen.Elem(), wanted.Elem())
	case reflect.Struct:
		for i := range wanted.NumField() {
			field := wanted.Type().Field(i)
			if field.IsExported() && field.Name != "ResultMetadata" && !wanted.Field(i).IsZero() {
				all = append(all, differences(at+"."+field.Name, seen.Field(i), wanted.Field(i))...)
			}
		}
		return all
	case reflect.Slice:
		// An empty list that is there is not an absent one.
		if seen.Len() != wanted.Len() || seen.IsNil() {
			return []string{fmt.Sprintf("%s is %v, not %v", at, seen, wanted)}
		}
		for i := range wanted.Len() {
			all = append(all, differences(fmt.Sprintf("%s[%d]", at, i), seen.Index(i), wanted.Index(i))...)
		}
		return all
	}
	if !reflect.DeepEqual(seen.Interface(), wanted.Interface()) {
		return []string{fmt.Sprintf("%s is %v, not %v", at, seen, wanted)}
	}
	return nil
}

// refusal expects an error of the SDK's own type, with a status.
func refusal[E error](t *testing.T, err error, status int) (refused E) {
	t.Helper()
	refused, ok := errors.AsType[E](err)
	if !ok {
		t.Fatalf("the error is %v, not a %T", err, refused)
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); !ok || response.HTTPStatusCode() != status {
		t.Errorf("%v comes with another status than %d", err, status)
	}
	return refused
}

// must ends the test unless a call has succeeded: must(client.Operation(ctx, input))(t).
func must[Out any](out Out, err error) func(t *testing.T) Out {
	return func(t *testing.T) Out {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
