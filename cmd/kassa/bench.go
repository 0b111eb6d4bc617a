package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// kassa bench is a program of its own, built from kassa's source: it builds the servers that it measures from there, and what
// it needs besides is not for kassa.

const (
	benchModule = "bench/cmd/bench"
	benchBinary = "bin/kassa-bench"
)

var errLinuxOnly = errors.New("bench runs on Linux only: it reads the CPU clocks of the servers, and its generator uses epoll")

// bench is what is left of kassa bench when flags of kassa stand before it: else runBench has it.
func (*options) bench(context.Context, terminal, []string) error {
	return usagef("kassa's own flags are not for bench: kassa bench [flags of bench]")
}

// runBench builds the suite and becomes it. It returns only when it can not.
func runBench(ctx context.Context, args, environment []string) error {
	if runtime.GOOS != "linux" {
		return errLinuxOnly
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := sourceRoot(dir)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("bench builds what it measures, and for that it needs Go, which is not installed: see https://go.dev/doc/install")
	}
	program := filepath.Join(root, benchBinary)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir, build.Env = filepath.Join(root, benchModule), environment
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: go build in %s: %w\n%s", build.Dir, err, out)
	}
	return become(program, append([]string{program}, args...), environment)
}

// sourceRoot returns the directory of kassa's source that dir is in.
func sourceRoot(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && slices.Contains(strings.Split(string(mod), "\n"), "module github.com/kassa-go/kassa") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("bench runs in kassa's source, and %s is not in it: go to where its go.mod is, and call it there", dir)
		}
	}
}
