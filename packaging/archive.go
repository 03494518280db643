package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// file is a file of an archive, an image or a wheel.
type file struct {
	name string
	mode os.FileMode // ModeDir for a folder
	uid  int         // of a file of an image; the group has the same number
	data []byte
}

// archiveFiles returns what an archive holds: the program, its documentation, the man page and the completion.
func archiveFiles(r release, p program, root string) ([]file, error) {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	files := []file{{name: p.name(), mode: 0o755, data: binary}, {name: "trellis.1", mode: 0o644, data: r.manPage()}}
	for _, pattern := range []string{"LICENSE", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/*.md", "deploy/*.*", "deploy/*/*", "packaging/completion.*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, found := range paths {
			data, err := os.ReadFile(found)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, found)
			if err != nil {
				return nil, err
			}
			name = strings.TrimPrefix(filepath.ToSlash(name), "packaging/")
			files = append(files, file{name: name, mode: 0o644, data: data})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// writeArchive writes a zip for Windows, a tar.gz for others. Its files are in a folder of the archive's name.
func writeArchive(r release, p program, files []file, name string) error {
	folder := filepath.Base(name)
	if p.target.OS == "windows" {
		return writeFile(name+".zip", func(w io.Writer) error { return writeZip(w, r, folder, files) })
	}
	return writeFile(name+".tar.gz", func(w io.Writer) error {
		compressed := gzip.NewWriter(w)
		if err := writeTar(compressed, r, folder, files); err != nil {
			return err
		}
		return compressed.Close()
	})
}

// writeFile creates a file and calls a function that writes it.
func writeFile(name string, write func(io.Writer) error) (err error) {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if closing := out.Close(); err == nil {
			err = closing
		}
	}()
	return write(out)
}

// writeTar writes files into a folder of a tar.
func writeTar(w io.Writer, r release, folder string, files []file) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(folder, f.name), Size: int64(len(f.data)), Mode: int64(f.mode.Perm()),
			ModTime: r.Time, Uid: f.uid, Gid: f.uid, Format: tar.FormatUSTAR,
		}
		if f.mode.IsDir() {
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
			if f.mode&os.ModeSticky != 0 {
				header.Mode |= 0o1000
			}
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(f.data); err != nil {
			return err
		}
	}
	return archive.Close()
}

// writeZip writes files into a folder of a zip.
func writeZip(w io.Writer, r release, folder string, files []file) error {
	archive := zip.NewWriter(w)
	for _, f := range files {
		header := &zip.FileHeader{Name: path.Join(folder, f.name), Method: zip.Deflate, Modified: r.Time}
		header.SetMode(f.mode)
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return archive.Close()
}
