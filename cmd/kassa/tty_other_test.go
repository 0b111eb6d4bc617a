//go:build !linux

package main

import "testing"

func onTerminal(t testing.TB, _ uint16, _ []string, _ ...string) string {
	t.Helper()
	t.Skip("this test opens terminals as Linux has them")
	return ""
}
