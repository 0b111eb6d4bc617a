//go:build !linux

package main

// become is for Linux, as the suite is.
func become(string, []string, []string) error { return errLinuxOnly }
