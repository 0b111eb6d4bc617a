//go:build race

package proc

var raceFlag = []string{"-race"} // the programs are built as the tests were
