package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// helpOn is what --help prints beside a command, or beside the first word of several: what help says of these. It is all of
// help if there is no such command.
func helpOn(args []string) string {
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	var chosen []string
	for name := range verbs {
		noun, _, _ := strings.Cut(name, " ")
		switch {
		case len(args) == 0:
		case len(args) > 1 && verbsOf(args[0]) != nil && verbs[args[0]+" "+args[1]].run != nil:
			if name == args[0]+" "+args[1] {
				chosen = append(chosen, name)
			}
		case noun == args[0]:
			chosen = append(chosen, name)
		}
	}
	if chosen == nil {
		return help()
	}
	usage, about, _ := strings.Cut(help(), "\n\n")
	about, examples, _ := strings.Cut(about, "\nExamples:\n")

	text := "Usage: " + strings.TrimLeft(entries(strings.ReplaceAll(usage, "Usage: kassa", "       kassa"), "       kassa", chosen), " ")
	text += "\n" + entries(about, "", chosen)
	for paragraph := range strings.SplitSeq(about, "\n\n") {
		if strings.HasPrefix(paragraph, "WHEN is ") && strings.Contains(text, " WHEN") || strings.HasPrefix(paragraph, chosen[0]+" takes ") {
			text += "\n" + paragraph + "\n"
		}
	}
	_, all := new(options).flags()
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = false
	all.VisitAll(func(f *pflag.Flag) {
		if slices.ContainsFunc(chosen, func(name string) bool { return slices.Contains(strings.Fields(verbs[name].flags), f.Name) }) {
			own.AddFlag(f)
		}
	})
	if own.HasFlags() {
		text += "\nFlags:\n" + own.FlagUsagesWrapped(helpWidth)
	}
	if shown := entries(examples, "  kassa", chosen); shown != "" {
		text += "\nExamples:\n" + shown
	}
	return text + "\nkassa --help tells of the other commands and flags, and where the server's address is from.\n"
}

// entries returns the entries of a list that are about commands. One begins with margin and the command, and goes on in the
// lines that are further to the right.
func entries(list, margin string, commands []string) string {
	var found strings.Builder
	within := false
	for line := range strings.Lines(list) {
		rest, begins := strings.CutPrefix(strings.TrimRight(line, "\n"), margin)
		begins = begins && rest != "" && (margin != "" || rest[0] != ' ')
		if begins {
			rest = strings.TrimPrefix(strings.TrimPrefix(rest, " "), "[flags] ")
			within = slices.ContainsFunc(commands, func(name string) bool { return isAbout(rest, name, margin == "") })
		} else if strings.TrimSpace(line) == "" {
			within = false
		}
		if within {
			found.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	return found.String()
}

// isAbout reports whether a line begins with a command, of which the last word may be one of several: confirm|void. In a list
// that explains commands more than one space stands behind them.
func isAbout(line, command string, explained bool) bool {
	words, wanted := strings.Fields(line), strings.Fields(command)
	if len(words) < len(wanted) || len(wanted) == 2 && words[0] != wanted[0] {
		return false
	}
	last := len(wanted) - 1
	return slices.Contains(strings.Split(words[last], "|"), wanted[last]) && (!explained || strings.HasPrefix(line, command+"  "))
}
