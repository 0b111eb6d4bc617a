//go:build race

package main

const raceEnabled = true // sonic is about 100 times slower under it
