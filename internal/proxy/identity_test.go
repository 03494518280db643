package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// aboutTheCaller are the headers that tell targets about the caller, as a target got them; repeated ones are joined.
func aboutTheCaller(values func(name string) []string) string {
	var said []string
	for _, name := range []string{"x-amzn-lattice-identity", "x-amzn-lattice-identity-tags", "x-amzn-lattice-network", "x-amzn-source-vpc"} {
		if got := values(name); got != nil {
			said = append(said, name+": "+strings.Join(got, "|"))
		}
	}
	return strings.Join(said, "\n")
}

// forged are header lines in which a client says who it is. They must not be believed.
var forged = []string{
	"x-amzn-lattice-identity", "Principal=arn:aws:iam::111122223333:root", "X-Amzn-Lattice-Identity-Tags", "principal=me;team=red",
	"X-AMZN-LATTICE-NETWORK", "SourceVpcArn=mine", "x-amzn-source-vpc", "vpc-mine", "x_amzn_lattice_identity", "me", "x-amzn-lattice-new", "me",
}

func TestTargetsLearnWhoTheCallerIsAndWhereItIs(t *testing.T) {
	const (
		userSays = "x-amzn-lattice-identity: Principal=" + userARN + "; PrincipalOrgID=; PrincipalOrgPaths=; SessionName="
		userTags = "\nx-amzn-lattice-identity-tags: principal=" + userARN + ";principalorgid=;principalorgpath=;team=blue"
		session  = "x-amzn-lattice-identity: Principal=" + sessionARN + "; PrincipalOrgID=o-a1b2c3d4e5; PrincipalOrgPaths=" + orgPath + "; SessionName=i-1; Type=AWS_IAM" +
			"\nx-amzn-lattice-identity-tags: principal=" + sessionARN + ";principalorgid=o-a1b2c3d4e5;principalorgpath=" + orgPath + ";cost=1\\;2;team=red"
		nowhere = "x-amzn-lattice-network: SourceVpcArn="
		inVPC   = "\nx-amzn-lattice-network: SourceVpcArn=arn:aws:ec2:us-west-2:111122223333:vpc/vpc-1\nx-amzn-source-vpc: vpc-1"
	)
	for _, test := range []struct {
		name    string
		key     string
		guarded bool // an auth policy applies
		vpc     bool
		want    string
	}{
		{"anonymous", "", false, false, nowhere},
		{"anonymous, allowed by a policy, of a VPC", "", true, true, strings.TrimPrefix(inVPC, "\n")},
		{"a user, and nobody asks", userKey, false, false, userSays + userTags + "\n" + nowhere},
		{"a user, of a VPC", userKey, true, true, userSays + "; Type=AWS_IAM" + userTags + inVPC},
		{"a session with tags", sessionKey, true, false, session + "\n" + nowhere},
		{"a session with tags, of a VPC", sessionKey, true, true, session + inVPC},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			target := http2Backend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				for name := range r.Header {
					if strings.Contains(name, "_") || strings.EqualFold(name, "x-amzn-lattice-new") {
						t.Errorf("the target got %s", name)
					}
				}
				got <- r.Proto + "\n" + aboutTheCaller(r.Header.Values)
			}))
			service := &grpcService{unary: func(ctx context.Context, in []byte) ([]byte, error) {
				md, _ := metadata.FromIncomingContext(ctx)
				got <- "gRPC\n" + aboutTheCaller(md.Get)
				return in, nil
			}}
			w := newGuardedWorld(t)
			lead := func(version shape.TargetGroupProtocolVersion, address string) {
				group := "tg-" + string(version)
				w.targetGroup(group, shape.TargetGroupProtocolHttp)
				w.setVersion(group, version)
				w.put(w.targets(group, address))
				w.service("svc-1", 80, forwardTo(group), group)
				if test.guarded {
					w.guard("svc-1", statement("Allow", ""))
				}
			}
			lead(shape.TargetGroupProtocolVersionHttp1, target)
			if test.vpc {
				w.put(&lattice.ServiceNetworkVpcAssociation{Base: w.base("snva-1"), ServiceNetworkID: "sn-1", VpcID: "vpc-1"})
			}
			expect := func(version string) {
				t.Helper()
				select {
				case said := <-got:
					if said != version+"\n"+test.want {
						t.Errorf("the target got\n%s\nwant\n%s\n%s", said, version, test.want)
					}
				default:
					t.Errorf("%s: the target got no request", version)
				}
			}
			ask := func(client *http.Client) {
				t.Helper()
				request := requestTo(t, "GET", "/")
				sign(t, request, test.key)
				for i := 0; i < len(forged); i += 2 {
					request.Header[forged[i]] = []string{forged[i+1]}
				}
				if r := do(t, client, request); r.StatusCode != 200 {
					t.Errorf("%d %q", r.StatusCode, r.body)
				}
			}
			ask(w.http1Client())
			expect("HTTP/1.1")
			ask(w.http2Client())
			expect("HTTP/1.1")
			lead(shape.TargetGroupProtocolVersionHttp2, target)
			ask(w.http2Client())
			expect("HTTP/2.0")

			lead(shape.TargetGroupProtocolVersionGrpc, service.serve(t))
			conn := w.grpcClient(grpc.WithUnaryInterceptor(signingInterceptor(t, test.key)))
			var claimed []string
			for i := 0; i < len(forged); i += 2 {
				claimed = append(claimed, strings.ToLower(forged[i]), forged[i+1])
			}
			ctx := metadata.AppendToOutgoingContext(grpcContext(t), claimed...)
			if err := conn.Invoke(ctx, "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue)); err != nil {
				t.Error(err)
			}
			expect("gRPC")
		})
	}
}
