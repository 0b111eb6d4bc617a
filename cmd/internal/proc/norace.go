//go:build !race

package proc

var raceFlag []string
