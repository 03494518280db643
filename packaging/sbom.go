package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes the components of a program, as the program itself lists them: its modules, and Go's standard library.
func writeSBOM(r release, p program, name string) error {
	info, err := buildinfo.ReadFile(p.path)
	if err != nil {
		return fmt.Errorf("reading what the program consists of: %w", err)
	}
	components := []cyclonedx.Component{library("std", info.GoVersion[len("go"):])}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		components = append(components, library(module.Path, module.Version))
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: r.Time.Format(time.RFC3339),
		Component: &cyclonedx.Component{
			BOMRef: "trellis", Type: cyclonedx.ComponentTypeApplication, Name: "trellis", Version: r.number(),
			Licenses: &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		},
	}
	bom.Components = &components
	return writeFile(name, func(w io.Writer) error {
		return cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}

func library(path, version string) cyclonedx.Component {
	packageURL := "pkg:golang/" + path + "@" + url.PathEscape(version)
	return cyclonedx.Component{BOMRef: packageURL, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: packageURL}
}
