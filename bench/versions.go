package main

import (
	"context"
	"debug/buildinfo"
	"os/exec"
	"regexp"
	"strings"
)

// outputOf returns what a program prints about itself, or "" if it cannot be run, which its start will show.
func outputOf(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	return string(out)
}

// firstMatch returns the first group of the first expression that matches.
func firstMatch(text string, expressions ...string) string {
	for _, expression := range expressions {
		if m := regexp.MustCompile(expression).FindStringSubmatch(text); m != nil {
			return m[1]
		}
	}
	return "unknown"
}

func versionOfNginx(ctx context.Context, program string) string {
	text := outputOf(ctx, program, "-V")
	return firstMatch(text, `nginx/(\S+)`) + ", " + firstMatch(text, `running with (\S+ \S+)`, `built with (\S+SSL \S+)`)
}

func versionOfHAProxy(ctx context.Context, program string) string {
	text := outputOf(ctx, program, "-vv")
	return firstMatch(text, `HAProxy version (\S+)`) + ", " + firstMatch(text, `Running on OpenSSL version : (\S+ \S+)`)
}

func versionOfCaddy(ctx context.Context, program string) string {
	version, _, _ := strings.Cut(outputOf(ctx, program, "version"), " ")
	return strings.TrimSpace(version) + ", " + goTLS(program)
}

// Its version is commit/number/state/kind/library.
func versionOfEnvoy(ctx context.Context, program string) string {
	return firstMatch(outputOf(ctx, program, "--version"), `version: [^/]+/([^/]+)/`) + ", " +
		firstMatch(outputOf(ctx, program, "--version"), `version: .*/(\S+)`)
}

func versionOfTrellis(ctx context.Context, program string) string {
	version := firstMatch(outputOf(ctx, program, "version"), `^trellis (\S+)`)
	return version[:min(len(version), 12)] + ", " + goTLS(program)
}

// goTLS names the TLS library of a program in Go.
func goTLS(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "crypto/tls"
	}
	return "crypto/tls of " + info.GoVersion
}
