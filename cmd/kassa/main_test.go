package main

import (
	"os"
	"testing"

	"github.com/kassa-go/kassa/cmd/internal/proc"
)

var bin string // holds the programs

func TestMain(m *testing.M) { os.Exit(proc.Build(m, &bin)) }
