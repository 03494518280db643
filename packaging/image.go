package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageUser has no name and no rights.
const imageUser = 65532

// writeImage writes a container image for all architectures as an OCI archive, which podman load, docker load and skopeo
// read. It has the program, and nothing else to run.
func writeImage(r release, programs []program, name string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		image, err := buildImage(r, p)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: p.target.OS, Architecture: p.target.Arch},
		}})
	}
	// The archive names one thing, the image of all architectures, from which tools choose theirs.
	named := "trellis:" + strings.ReplaceAll(r.number(), "+", "-")
	index = mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: index, Descriptor: v1.Descriptor{
		Annotations: map[string]string{"org.opencontainers.image.ref.name": named, "io.containerd.image.name": "docker.io/library/" + named},
	}})
	folder, err := os.MkdirTemp("", "trellis-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if _, err := layout.Write(folder, index); err != nil {
		return err
	}
	files, err := readFolder(folder)
	if err != nil {
		return err
	}
	return writeFile(name, func(w io.Writer) error { return writeTar(w, r, "", files) })
}

func buildImage(r release, p program) (v1.Image, error) {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	err = writeTar(&layer, r, "", []file{
		{name: "data", mode: fs.ModeDir | 0o700, uid: imageUser},
		{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{name: "usr", mode: fs.ModeDir | 0o755},
		{name: "usr/bin", mode: fs.ModeDir | 0o755},
		{name: "usr/bin/trellis", mode: 0o755, data: binary},
	})
	if err != nil {
		return nil, err
	}
	made, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{
		Layer: made, History: v1.History{Created: v1.Time{Time: r.Time}, CreatedBy: "make dist"},
	})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.target.OS, p.target.Arch, v1.Time{Time: r.Time}
	config.Config = v1.Config{
		User:       "65532:65532",
		Entrypoint: []string{"/usr/bin/trellis"},
		Cmd:        []string{"serve"},
		WorkingDir: "/data",
		// A container has its own network, and the operator decides what to publish.
		Env: []string{
			"HOME=/data",
			"TRELLIS_ADMIN_ADDR=0.0.0.0:7601",
			"TRELLIS_API_ADDR=0.0.0.0:7600",
			"TRELLIS_DATA_ADDR=0.0.0.0",
			"TRELLIS_DATA_DIR=/data",
		},
		ExposedPorts: map[string]struct{}{"7600/tcp": {}, "7601/tcp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Trellis",
			"org.opencontainers.image.version":  r.number(),
			"org.opencontainers.image.revision": r.Commit,
			"org.opencontainers.image.created":  r.Time.Format(time.RFC3339),
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// readFolder reads all files below a folder, sorted by name.
func readFolder(folder string) ([]file, error) {
	var found []file
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		found = append(found, file{name: filepath.ToSlash(name), mode: 0o644, data: data})
		return nil
	})
	slices.SortFunc(found, func(a, b file) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return found, err
}
