package main

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// helpOn is what --help prints beside a command, or beside the first word of several: what help says of these.
func helpOn(args []string) (string, error) {
	if len(args) > 0 && args[0] == "help" {
		args = args[1:]
	}
	if len(args) == 0 {
		return help(), nil
	}
	command := args[0]
	if len(args) > 1 && verbsOf(command) != nil {
		command += " " + args[1]
	}
	var chosen []string
	for name := range verbs {
		if name == command || strings.HasPrefix(name, command+" ") {
			chosen = append(chosen, name)
		}
	}
	if chosen == nil {
		return "", noCommand(command)
	}
	usage, about, _ := strings.Cut(help(), "\n\n")
	about, examples, _ := strings.Cut(about, "\nExamples:\n")

	isAny := func(is func(line, name string) bool) func(string) bool {
		return func(line string) bool {
			return slices.ContainsFunc(chosen, func(name string) bool { return is(line, name) })
		}
	}
	text := "Usage: " + strings.TrimLeft(entries(strings.Replace(usage, "Usage:", "      ", 1), isAny(isUsage)), " ")
	text += "\n" + entries(about, isAny(func(line, name string) bool { return strings.HasPrefix(line, name+"  ") }))
	for paragraph := range strings.SplitSeq(about, "\n\n") {
		if strings.HasPrefix(paragraph, "WHEN is ") && strings.Contains(text, " WHEN") ||
			strings.HasPrefix(paragraph, "TIME is ") && strings.Contains(text, " TIME") ||
			slices.ContainsFunc(chosen, func(name string) bool { return strings.HasPrefix(paragraph, name+" takes ") }) {
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
	isExample := func(line, name string) bool { return strings.Contains(strings.TrimSpace(line)+" ", "kassa "+name+" ") }
	if shown := entries(examples, isAny(isExample)); shown != "" {
		text += "\nExamples:\n" + shown
	}
	return text + "\nkassa --help tells of the other commands and flags, and where the server's address is from.\n", nil
}

// entries returns the entries of a list that begin with a line that is wanted. One goes on in the lines that are further to the
// right.
func entries(list string, wanted func(line string) bool) string {
	var found strings.Builder
	within, margin := false, 0
	for line := range strings.Lines(list) {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if wanted(line) {
			within, margin = true, indent
		} else if indent <= margin {
			within = false
		}
		if within {
			found.WriteString(strings.TrimRight(line, "\n") + "\n")
		}
	}
	return found.String()
}

// isUsage reports whether a line says how a command is used. Its last word may be one of several: confirm|void.
func isUsage(line, command string) bool {
	noun, verb, _ := strings.Cut(command, " ")
	words := strings.Fields(strings.Replace(line, " [flags]", "", 1))
	return len(words) > 1 && words[0] == "kassa" && words[1] == noun &&
		(verb == "" || len(words) > 2 && slices.Contains(strings.Split(words[2], "|"), verb))
}
