package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// images returns the images of an archive by their platforms.
func images(t *testing.T, archive string) map[string]v1.Image {
	t.Helper()
	folder := t.TempDir()
	if out, err := exec.Command("tar", "-xf", archive, "-C", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(outer.Manifests) != 1 || outer.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "trellis:1.2.3" {
		t.Fatalf("the archive has %+v, want one image of that name", outer.Manifests)
	}
	if index, err = index.ImageIndex(outer.Manifests[0].Digest); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		image, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		found[m.Platform.String()] = image
	}
	return found
}

func TestTheImageRunsTheProgramWithoutPrivileges(t *testing.T) {
	found := images(t, filepath.Join(pack(t), "image.tar"))
	if len(found) != 2 {
		t.Fatalf("the index has %v", found)
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		image := found["linux/"+architecture]
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		c := config.Config
		for what, pair := range map[string][2]string{
			"user": {c.User, "65532:65532"}, "architecture": {config.Architecture, architecture}, "system": {config.OS, "linux"},
			"entry point": {strings.Join(c.Entrypoint, " "), "/usr/bin/trellis"}, "command": {strings.Join(c.Cmd, " "), "serve"}, "folder": {c.WorkingDir, "/data"},
		} {
			if pair[0] != pair[1] {
				t.Errorf("%s: the %s is %q, want %q", architecture, what, pair[0], pair[1])
			}
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("%d layers, %v", len(layers), err)
		}
		content, err := layers[0].Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		var listing []string
		for files := tar.NewReader(content); ; {
			h, err := files.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if !h.ModTime.Equal(testRelease.Time) {
				t.Errorf("%s is of %s, not of the commit's time", h.Name, h.ModTime)
			}
			if h.Name == "usr/bin/trellis" {
				if text, err := io.ReadAll(files); err != nil || !bytes.HasSuffix(text, []byte(architecture)) {
					t.Errorf("the image for %s has the program for another system: %v", architecture, err)
				}
			}
			listing = append(listing, fmt.Sprintf("%s %s %d:%d", h.FileInfo().Mode(), h.Name, h.Uid, h.Gid))
		}
		want := "drwx------ data/ 65532:65532, dtrwxrwxrwx tmp/ 0:0, drwxr-xr-x usr/ 0:0, drwxr-xr-x usr/bin/ 0:0, -rwxr-xr-x usr/bin/trellis 0:0"
		if got := strings.Join(listing, ", "); got != want {
			t.Errorf("%s: the layer has %s, want %s", architecture, got, want)
		}
	}
}

// TestTheImageServes runs the image of this machine as a container tool would: its files alone, as its user, with its environment,
// but on ports that are free; by its own command, and by that of the recipes in docs/containers.md.
func TestTheImageServes(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root on Linux can change the root of a process")
	}
	built, err := build(t.Context(), "..", testRelease, target{"linux", runtime.GOARCH}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := writeImage(testRelease, []program{built}, archive); err != nil {
		t.Fatal(err)
	}
	image := images(t, archive)["linux/"+runtime.GOARCH]
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	root := t.TempDir()
	unpack := exec.Command("tar", "-xpf", "-", "-C", root, "--same-owner", "--numeric-owner")
	unpack.Stdin = content
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for folder := root; folder != "/"; folder = filepath.Dir(folder) { // The user has to get through.
		if strings.HasPrefix(folder, os.TempDir()+"/") {
			if err := os.Chmod(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	recipe := []string{"dev", "--allow-remote"}
	page, err := os.ReadFile("../docs/containers.md")
	if err != nil || !bytes.Contains(page, []byte(`.withCommand(["`+strings.Join(recipe, `", "`)+`"])`)) {
		t.Fatalf("the page does not run %v: %v", recipe, err)
	}
	for _, command := range [][]string{config.Config.Cmd, recipe} {
		t.Run(command[0], func(t *testing.T) { runImage(t, root, config.Config, command) })
	}
	if _, err := os.Stat(filepath.Join(root, "data/credentials")); err != nil {
		t.Errorf("what it stores is not in /data: %v", err)
	}
}

// runImage runs a command of an image in the folder with its files until it is ready, and stops it.
func runImage(t *testing.T, root string, config v1.Config, command []string) {
	t.Helper()
	admin := freeAddress(t)
	line := slices.Concat(config.Entrypoint, command)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	container := exec.CommandContext(ctx, line[0], line[1:]...)
	container.Path, container.Err = line[0], nil // It is there in the new root.
	container.Dir = config.WorkingDir
	container.Env = slices.Concat(config.Env, []string{"TRELLIS_API_ADDR=" + freeAddress(t), "TRELLIS_ADMIN_ADDR=" + admin, "TRELLIS_PORT_MAP=80=0,443=0", "TRELLIS_DNS_ADDR=none"})
	container.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
	var out strings.Builder
	container.Stdout, container.Stderr = &out, &out
	if err := container.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- container.Wait() }()
	for ready := false; !ready; {
		response, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			response.Body.Close()
			ready = response.StatusCode == http.StatusOK
			continue
		}
		select {
		case err := <-ended:
			t.Fatalf("it ends with %v:\n%s", err, out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := container.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("after SIGTERM it ends with %v:\n%s", err, out.String())
	}
}

// freeAddress returns an address of the loopback with a port that is free.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
