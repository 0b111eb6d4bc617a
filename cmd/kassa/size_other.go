//go:build !unix

package main

import "os"

// columnsOf returns how wide a terminal is, 0 if that can not be told.
func columnsOf(*os.File) int { return 0 }
