package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Group is a part of the suite: cells that answer one question.
type Group struct {
	Name  string
	About string
	rows  []row
}

// row is some cells and the servers that they are run on.
type row struct {
	cells []string
	peers []string
}

var (
	// inGo are kassa and what one would write in Go instead, with the bound that all of them have: an echo.
	inGo = []string{Subject, "gnet-echo", "gonet", "gonet-workers"}

	// elsewhere are other ways to have requests answered.
	elsewhere = []string{"node", "nethttp", "fasthttp", "grpc", "nats", "gearmand", "redis-lists"}

	echoes = []string{Subject, "gnet-echo"} // they speak all codecs, and have event loops to count
)

// suite is what is measured when nothing is named.
var suite = []Group{
	{"requests", "throughput, latency, CPU time and memory, by connections and requests in flight", []row{
		{[]string{"1x1", "64x1", "64x16", "1000x1", "10000x1", "idle", "storm", "open64", "open1000", "open10000"}, inGo},
		{[]string{"1x1", "64x1", "64x16", "10000x1", "idle", "open1000"}, elsewhere},
	}},
	{"codecs", "payloads of 478 and 16,384 bytes, and the codecs crab and binary beside JSON lines", []row{
		{[]string{"64x16/478", "64x16/16384"}, append([]string{"gonet-workers"}, echoes...)},
		{[]string{"64x16/crab", "64x16/crab/478", "64x16/crab/16384", "64x16/binary", "64x16/binary/478", "64x16/binary/16384"}, echoes},
	}},
	{"loops", "one, two and four event loops", []row{
		{[]string{"64x16/loops=1", "64x16/loops=2", "64x16/loops=4"}, echoes},
	}},
	{"jobbers", "requests that take a millisecond, and requests that take CPU time, one of each type at a time", []row{
		{[]string{"64x1/work=sleep", "64x1/work=cpu"}, []string{Subject, "gonet-workers", "node", "nats"}},
	}},
	{"capacity", "latency at 10,000 requests a second, over ever more connections", []row{
		{[]string{"open100", "open1000", "open5000", "open10000", "open18000"}, slices.Concat(inGo, []string{"node", "nethttp", "fasthttp", "nats"})},
	}},
	{"pools", "pairs of acquire and release, both durable, and restarts of a store; TMPDIR is to be on a disk", []row{
		{PoolCellNames(), []string{Subject, "postgres", "postgres-batch", "redis", "etcd"}},
	}},
}

// GroupAll is the name of all groups together.
const GroupAll = "all"

// groupQuick has some cell of each group, and each server in at least one of them.
var groupQuick = []string{"1x1", "64x16", "idle", "open1000", "64x16/binary/478", "64x16/loops=1", "64x1/work=sleep", "pairs64x1"}

// Groups are those of the suite, in their order.
func Groups() []Group { return suite }

// Cells are the names of a group's cells.
func (g *Group) Cells() []string {
	var all []string
	for _, r := range g.rows {
		for _, name := range r.cells {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// CellNames are those of all cells of the suite, in the order in which it runs them.
func CellNames() []string {
	var all []string
	for _, g := range suite {
		for _, name := range g.Cells() {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// QuickCellNames are those in which all servers are seen.
func QuickCellNames() []string { return groupQuick }

// SuitePlan says how often and for how long the suite measures, unless it is told otherwise: half an hour for all cells.
func SuitePlan() Plan {
	return Plan{Rounds: 3, WarmUp: 500 * time.Millisecond, Measure: 2 * time.Second, Idle: 5 * time.Second, RepeatsMax: 2, Threads: 1}
}

// QuickPlan is the same of the quick cells: three minutes.
func QuickPlan() Plan {
	return Plan{Rounds: 1, WarmUp: 200 * time.Millisecond, Measure: 500 * time.Millisecond, Idle: 2 * time.Second, Threads: 1}
}

// suitePeers are the names of the servers that the suite runs a cell on.
func suitePeers(cell string) []string {
	var all []string
	for _, g := range suite {
		for _, r := range g.rows {
			if slices.Contains(r.cells, cell) {
				all = append(all, r.peers...)
			}
		}
	}
	return all
}

// Suite returns the parts of a plan: cells, by the names of cells and groups, with those of the peers on which the suite
// runs them. No cells are all of them. A cell that the suite does not have is run on all peers that can. Where peers are
// named, no others are run, and a cell that is named too is run on each of them. The error says which name is unknown, and
// which there are.
func Suite(peers []Peer, cellNames, peerNames []string) ([]Part, error) {
	var known []string
	for _, p := range peers {
		known = append(known, p.Name())
	}
	for _, name := range peerNames {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no peer %q: there are %s", name, strings.Join(known, ", "))
		}
	}
	if len(cellNames) == 0 {
		cellNames = []string{GroupAll}
	}
	var parts []Part
	for _, name := range cellNames {
		names, isGroup := cellsOf(name)
		for _, name := range names {
			cell, err := ParseCell(name)
			if err != nil {
				return nil, fmt.Errorf("%w; or a group: %s", err, strings.Join(groupNames(), ", "))
			}
			if slices.ContainsFunc(parts, func(p Part) bool { return p.Cell == cell }) {
				continue
			}
			part := Part{Cell: cell}
			inSuite := suitePeers(name)
			for _, p := range peers {
				_, can := p.Wire(cell)
				named := slices.Contains(peerNames, p.Name())
				usual := can && (inSuite == nil || slices.Contains(inSuite, p.Name()))
				if named && (usual || !isGroup) || len(peerNames) == 0 && usual {
					part.Peers = append(part.Peers, p)
				}
			}
			if len(part.Peers) > 0 {
				parts = append(parts, part)
			}
		}
	}
	return parts, nil
}

// cellsOf returns the cells of a group, or the name itself.
func cellsOf(name string) (names []string, isGroup bool) {
	if name == GroupAll {
		return CellNames(), true
	}
	for _, g := range suite {
		if g.Name == name {
			return g.Cells(), true
		}
	}
	return []string{name}, false
}

func groupNames() []string {
	var names []string
	for _, g := range suite {
		names = append(names, g.Name)
	}
	return append(names, GroupAll)
}

// about says what the peers are, by name.
var about = map[string]string{
	Subject:          "kassa: gnet event loops, a jobber a request type; for pools kassad with its store",
	"gnet-echo":      "gnet, sends back what it gets: the bound",
	"gonet":          "Go net, a goroutine a connection that answers itself",
	"gonet-workers":  "Go net, one queue, one worker a type",
	"node":           "Node.js net, an array as queue",
	"nethttp":        "Go net/http, POST",
	"fasthttp":       "fasthttp, POST",
	"grpc":           "grpc-go, unary calls",
	"nats":           "NATS, request and reply, one subscriber a type",
	"gearmand":       "Gearman's job server in C, one worker a type",
	"redis-lists":    "Redis, lists of requests and published replies, one worker a type",
	"postgres":       "PostgreSQL, SKIP LOCKED, a transaction a statement",
	"postgres-batch": "PostgreSQL, what a connection writes at once is one transaction",
	"redis":          "Redis, a Lua script an operation, appendfsync always",
	"etcd":           "etcd, a transaction an operation",
}

// About says in a line what a peer is; empty: nothing is written of it.
func About(peer string) string { return about[peer] }
