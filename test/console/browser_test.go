// Package console opens the console in a browser, as people do.
package console

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"trellis/test/trellistest"
)

// browser is a tab of Chromium, with what its pages have complained about.
type browser struct {
	context.Context
	t          *testing.T
	mu         sync.Mutex // mu guards the field below.
	complaints []string
}

// chromium returns the browser's program. It is installed where that is possible.
func chromium(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err == nil {
		return program
	}
	if os.Geteuid() != 0 {
		t.Skip("needs chromium, or root to install it (Debian: apt-get install chromium)")
	}
	trellistest.Install(t, "debian_packages.sh", "chromium fonts-dejavu-core", "chromium")
	if program, err = exec.LookPath("chromium"); err != nil {
		t.Fatal(err)
	}
	return program
}

// newBrowser opens a browser for the time of a test, which must close it.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox, // It does not start as root otherwise. The pages are our own.
		chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), // Containers have little.
		chromedp.Flag("renderer-process-limit", "1"),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(awaitLimit),
	)
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{Context: tab, t: t}
	err := chromedp.Listen(tab, func(event any) {
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			said, _ := json.Marshal(event.ExceptionDetails)
			b.complain("exception: %s", said)
		case *runtime.EventConsoleAPICalled:
			if event.Type == runtime.ConsoleAPICalledTypeError || event.Type == runtime.ConsoleAPICalledTypeWarning {
				said, _ := json.Marshal(event.Args)
				b.complain("console.%s: %s", event.Type, said)
			}
		case *log.EventEntryAdded: // Violations of the content security policy, and what could not be loaded.
			if event.Entry.Level == log.EntryLevelError || event.Entry.Level == log.EntryLevelWarning {
				b.complain("%s: %s (%s)", event.Entry.Source, event.Entry.Text, event.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	command(b, log.Enable, cdp.Empty{})
	command(b, runtime.Enable, cdp.Empty{})
	return b
}

// close leaves the page, and fails the test if one has complained. A test defers it: then the node still runs.
func (b *browser) close() {
	b.t.Helper()
	b.do(chromedp.Navigate("about:blank"))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		b.t.Errorf("the browser complains: %s", complaint)
	}
}

func (b *browser) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
}

// forgive takes back a complaint that a test has caused on purpose, and fails if there is none.
func (b *browser) forgive(text string) {
	b.t.Helper()
	trellistest.Await(b.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, complaint := range b.complaints {
			if strings.Contains(complaint, text) {
				b.complaints = append(b.complaints[:i], b.complaints[i+1:]...)
				return true
			}
		}
		return false
	}, "the browser complains of %q", text)
}

// do carries out actions one after another. An action may wait for its element.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, awaitLimit)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// command sends the browser a command of its protocol.
func command[P, R any](b *browser, command cdp.Command[P, R], parameters P) R {
	b.t.Helper()
	result, err := chromedp.Call(b, command, parameters)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// look sets the browser's width and color scheme.
func (b *browser) look(width int64, scheme string) {
	b.t.Helper()
	command(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600})
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// open loads a page.
func (b *browser) open(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address), chromedp.WaitReady("main"))
}

// eval returns the value of a JavaScript expression.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression[:min(len(expression), 200)], err)
	}
	return value
}

// run runs a script.
func (b *browser) run(script string) {
	b.t.Helper()
	eval[chromedp.Void](b, script)
}

// await waits until an expression is true. While one page replaces another, it cannot be evaluated.
func (b *browser) await(expression string) {
	b.t.Helper()
	trellistest.Await(b.t, func() bool {
		holds, err := chromedp.Run(b, chromedp.Evaluate[bool]("!!("+expression+")"))
		return err == nil && holds
	}, "in the browser, %s", expression)
}

// leave does something that leads to another page, and waits until that is there.
func (b *browser) leave(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.run("window.isLeft = true")
	b.do(action)
	b.await("!window.isLeft && document.readyState === 'complete'")
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector))
}

// picture keeps a picture of the whole page among the artifacts of the test.
func (b *browser) picture(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// axe returns the script of axe-core, which checks pages for what keeps people from using them.
func axe(t *testing.T) string {
	t.Helper()
	trellistest.Install(t, "node_modules.sh", "console")
	script, err := os.ReadFile("javascript/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// violation is what axe-core finds.
type violation struct {
	ID, Help string
	Nodes    []struct {
		HTML           string
		FailureSummary string
	}
}

// check checks the page that is open.
func (b *browser) check(script, name string) {
	b.t.Helper()
	if !eval[bool](b, "'axe' in window") {
		b.run(script)
	}
	for _, v := range eval[[]violation](b, "axe.run().then((result) => result.violations)") {
		for _, node := range v.Nodes {
			b.t.Errorf("%s: %s (%s):\n%s\n%s", name, v.Help, v.ID, node.HTML, node.FailureSummary)
		}
	}
}
