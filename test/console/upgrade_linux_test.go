package console

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"trellis/test/trellistest"
)

// TestPagesGoOnAfterAnUpgrade has a page open while a new process takes over. It follows what changes there, and its forms work.
func TestPagesGoOnAfterAnUpgrade(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(credentialsFile), 0o600); err != nil {
		t.Fatal(err)
	}
	node := trellistest.Start(t, trellistest.BuildFast(t), "serve", "--data-dir", t.TempDir(), "--credentials", file)
	cfg := must[aws.Config](t)(config.LoadDefaultConfig(t.Context(), config.WithRegion("us-west-2"), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIAADMIN", "secret-of-admin", ""))))
	client := vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) { o.BaseEndpoint = &node.API })
	service := must[*vpclattice.CreateServiceOutput](t)(client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("orders")}))
	page := node.Admin + home + "services/" + *service.Id
	b.open(node.Admin + "/console/sign-in?back=" + home + "services/" + *service.Id)
	b.do(chromedp.SendKeys(`input[name="access-key-id"]`, "AKIAADMIN"), chromedp.SendKeys(`input[name="secret-access-key"]`, "secret-of-admin"+kb.Enter), chromedp.WaitVisible(`//h1[.="orders"]`))
	if at := eval[string](b, "location.href"); at != page {
		t.Fatalf("the page after signing in is %s, not %s", at, page)
	}
	b.run("window.sameDocument = true")

	node.Upgrade()
	must[*vpclattice.TagResourceOutput](t)(client.TagResource(t.Context(), &vpclattice.TagResourceInput{ResourceArn: service.Arn, Tags: map[string]string{"by": "new-process"}}))
	must[*vpclattice.UpdateServiceOutput](t)(client.UpdateService(t.Context(), &vpclattice.UpdateServiceInput{ServiceIdentifier: service.Id, AuthType: "AWS_IAM"}))
	b.await(`window.sameDocument && document.querySelector("#facts").textContent.includes("AWS_IAM") && document.querySelector("#live").textContent === ""`)

	// Who had signed in still has.
	b.do(chromedp.SendKeys(`input[name=key]:not([type=hidden])`, "team"), chromedp.SendKeys(`input[name=value]`, "shop"+kb.Enter), chromedp.WaitVisible(`#tag-team`))

	// While the old process passed the stream on, it ended: the page has asked again.
	b.mu.Lock()
	b.complaints = slices.DeleteFunc(b.complaints, func(complaint string) bool { return strings.Contains(complaint, "/console/live") })
	b.mu.Unlock()
}
