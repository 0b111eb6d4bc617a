package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/kassa-go/kassa/bench"
)

// list prints the cells of parts, with the peers that run them, and what peers these are.
func list(ctx context.Context, out io.Writer, parts []bench.Part, all []bench.Peer) int {
	var used []bench.Peer
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range parts {
		var names []string
		for _, p := range parts[i].Peers {
			names = append(names, p.Name())
			if !slices.Contains(used, p) {
				used = append(used, p)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", parts[i].Cell.Name, strings.Join(groupsOf(parts[i].Cell.Name), ","), strings.Join(names, " "))
	}
	fmt.Fprintf(out, "CELLS, with their groups and peers\n\n")
	err := table.Flush()

	fmt.Fprintf(out, "\nGROUPS\n\n")
	for _, g := range bench.Groups() {
		fmt.Fprintf(table, "%s\t%s\n", g.Name, g.About)
	}
	fmt.Fprintf(table, "%s\tall of these: what is measured when no cells are named\n", bench.GroupAll)
	err = errors.Join(err, table.Flush())

	fmt.Fprintf(out, "\nPEERS\n\n")
	all = slices.DeleteFunc(slices.Clone(all), func(p bench.Peer) bool { return !slices.Contains(used, p) })
	there := make([]string, len(all))
	var asked sync.WaitGroup
	for i, p := range all {
		asked.Go(func() {
			version, err := bench.Version(ctx, p)
			if there[i] = version; err != nil {
				there[i] = "– " + strings.TrimPrefix(err.Error(), "bench: ")
			}
		})
	}
	asked.Wait()
	for i, p := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", p.Name(), bench.About(p.Name()), there[i])
	}
	if err = errors.Join(err, table.Flush()); err != nil {
		return fail(exitFailed, err)
	}
	return exitOK
}

func groupsOf(cell string) (names []string) {
	for _, g := range bench.Groups() {
		if slices.Contains(g.Cells(), cell) {
			names = append(names, g.Name)
		}
	}
	return names
}
