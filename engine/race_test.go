//go:build race

package engine_test

// raceEnabled shrinks what is heavy: with the race detector, decoding JSON takes about a hundred times as long.
const raceEnabled = true
